"""Genuine files from a folder, served in place of generated ones: what a sceptic brings along to check the engine with."""

from __future__ import annotations

import os
import re
import threading
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from provision.local.tardis.columns import COLUMNS
from provision.local.tardis.listings import Listed, Listings
from provision.local.tardis.packing import pack
from provision.local.tardis.scenario import SymbolType, start_of

_TYPES = "|".join(sorted(COLUMNS, key=len, reverse=True))
_FLAT = re.compile(rf"(?P<venue>[a-z0-9-]+)_(?P<type>{_TYPES})_(?P<day>\d{{4}}-\d\d-\d\d)_(?P<symbol>.+?)\.csv(\.gz)?")
_NESTED = re.compile(rf"(?P<venue>[a-z0-9-]+)/(?P<type>{_TYPES})/(?P<day>\d{{4}}/\d\d/\d\d)/(?P<symbol>[^/]+?)\.csv(\.gz)?")
_PIECE = 1 << 20
_OPTION = re.compile(r".*-[CP]$")

FileKey = tuple[str, str, date, str]
"""Venue, data type, day, symbol."""


@dataclass(frozen=True, slots=True)
class GenuineFolder:
    """The files of a folder by what they hold, named `venue_type_YYYY-MM-DD_SYMBOL.csv[.gz]` or
    `venue/type/YYYY/MM/DD/SYMBOL.csv[.gz]`."""

    files: dict[FileKey, Path]

    @classmethod
    def scan(cls, folder: Path) -> GenuineFolder:
        """All files whose names say what they are; others are left alone."""
        files: dict[FileKey, Path] = {}
        for path in sorted(folder.rglob("*.csv*")):
            relative = path.relative_to(folder).as_posix()
            match = _NESTED.fullmatch(relative) or _FLAT.fullmatch(path.name)
            if match is not None and path.is_file():
                day = date.fromisoformat(match["day"].replace("/", "-"))
                files[match["venue"], match["type"], day, match["symbol"].upper()] = path
        return cls(files)

    def list_in(self, listings: Listings) -> None:
        """Make the catalogue name the symbols and venues that the scenario does not know."""
        symbols: dict[tuple[str, str], list[FileKey]] = {}
        for key in self.files:
            if key[3] not in listings.venue(key[0]):
                symbols.setdefault((key[0], key[3]), []).append(key)
        for (venue, symbol), keys in symbols.items():
            days = [key[2] for key in keys]
            listed = Listed(
                venue=venue,
                id=symbol,
                type=_guess_type(venue, symbol),
                since=start_of(min(days)),
                until=start_of(max(days) + timedelta(days=1)),
                data_types=tuple(dict.fromkeys(key[1] for key in keys)),
            )
            listings.add_genuine(listed, max(days))

    def body(self, key: FileKey, cache: Path) -> Path | None:
        """The compressed file, or None if the folder does not have it. A plain `.csv` is compressed into `cache` once."""
        path = self.files.get(key)
        if path is None or path.suffix == ".gz":
            return path
        stat = path.stat()
        packed = cache / "genuine" / f"{path.stem}-{stat.st_size}-{stat.st_mtime_ns}.csv.gz"
        if not packed.exists():
            packed.parent.mkdir(parents=True, exist_ok=True)
            staged = packed.with_name(f".{packed.name}.{os.getpid()}.{threading.get_ident()}")
            with path.open("rb") as plain:
                pack(iter(lambda: plain.read(_PIECE), b""), staged)
            staged.replace(packed)
        return packed


def _guess_type(venue: str, symbol: str) -> SymbolType:
    if symbol == "OPTIONS" or _OPTION.match(symbol):
        return "option"
    if "PERP" in symbol or symbol.endswith("-SWAP") or venue.endswith(("futures", "swap", "delivery")) or venue == "bitmex":
        return "perpetual"
    return "spot"
