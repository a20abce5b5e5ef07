"""Rows of a view as a file: csv, one JSON object a line, or a Markdown table. Written whole or not at all.

No Textual here: `console.screens.export` asks for the form, screens hand over records by field name, as for filters.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

from console.places import state_folder

Record = Mapping[str, object]


class Form(StrEnum):
    """How rows are written; the value is the word of `:export`."""

    CSV = "csv"
    JSONL = "jsonl"
    MARKDOWN = "markdown"
    TEXT = "text"
    """Only where rows are lines of text, as in a log."""


SUFFIXES: Final[Mapping[Form, str]] = {Form.CSV: "csv", Form.JSONL: "jsonl", Form.MARKDOWN: "md", Form.TEXT: "txt"}


def render(records: Sequence[Record], form: Form, *, line: Callable[[Record], str] | None = None) -> str:
    """The rows as text. Columns are the fields of all rows, in the order in which they first appear.

    Args:
        line: A row as a line of text, for `Form.TEXT`.
    """
    return "".join(_pieces(records, form, line))


def write_export(
    name: str,
    records: Sequence[Record],
    form: Form,
    *,
    now: datetime,
    folder: Path | None = None,
    line: Callable[[Record], str] | None = None,
) -> Path:
    """Write rows into the working directory, or where that is not possible into the console's own place; returns the path.

    Args:
        name: Of the view; part of the file's name.
        records: Gone through twice at most, row by row: they need not be in memory.
        now: UTC; part of the file's name.
        folder: Instead of both places.
        line: As for `render`.

    Raises:
        OSError: if it cannot be written anywhere.
    """
    stem = f"tickdeck-{name}-{now:%Y%m%dT%H%M%SZ}"
    if folder is None:
        with suppress(OSError):
            return _write(_free_name(Path.cwd(), stem, SUFFIXES[form]), _pieces(records, form, line))
        folder = state_folder() / "exports"
        folder.mkdir(parents=True, exist_ok=True)
    return _write(_free_name(folder, stem, SUFFIXES[form]), _pieces(records, form, line))


def _write(path: Path, pieces: Iterable[str]) -> Path:
    partial = path.with_name(f".{path.name}.part")
    try:
        with partial.open("wb") as file:
            for piece in pieces:
                file.write(piece.encode("utf-8", "replace"))
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)  # noqa: PTH105 - atomic on one file system
    finally:
        partial.unlink(missing_ok=True)
    return path


def _pieces(records: Sequence[Record], form: Form, line: Callable[[Record], str] | None) -> Iterator[str]:
    if form is Form.JSONL:
        yield from (msgspec.json.encode(dict(record), enc_hook=str).decode() + "\n" for record in records)
    elif form is Form.TEXT:
        if line is None:
            raise ValueError("these rows are no lines of text")
        yield from (f"{line(record)}\n" for record in records)
    else:
        columns = list(dict.fromkeys(name for record in records for name in record))
        table = ([_text(record.get(name)) for name in columns] for record in records)
        yield from _markdown(columns, table) if form is Form.MARKDOWN else _csv(columns, table)


def _free_name(folder: Path, stem: str, suffix: str) -> Path:
    path, number = folder / f"{stem}.{suffix}", 2
    while path.exists():
        path, number = folder / f"{stem}-{number}.{suffix}", number + 1
    return path


def _csv(columns: Sequence[str], table: Iterable[Sequence[str]]) -> Iterator[str]:
    yield _csv_row(columns)
    yield from map(_csv_row, table)


def _csv_row(cells: Sequence[str]) -> str:
    out = io.StringIO()
    # Bare carriage returns would end a row: Python's writer does not quote them.
    csv.writer(out, lineterminator="\n").writerow([cell.replace("\r\n", "\n").replace("\r", "\n") for cell in cells])
    return out.getvalue()


def _markdown(columns: Sequence[str], table: Iterable[Sequence[str]]) -> Iterator[str]:
    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(" ".join(cell.replace("\\", "\\\\").replace("|", "\\|").split()) for cell in cells) + " |\n"

    yield line(columns)
    yield line("---" for _ in columns)
    yield from map(line, table)


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return msgspec.json.encode(value, enc_hook=str).decode()
    if isinstance(value, Collection) and not isinstance(value, bytes):
        return " ".join(_text(each) for each in value)
    return str(value)
