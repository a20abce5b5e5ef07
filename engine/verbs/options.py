"""Options that several verbs share."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from datetime import date
from typing import Any

import click

from engine.candles.timeframes import CLOCKS, TIMEFRAMES
from engine.clock import parse_bytes, parse_day, utc_now
from engine.errors import UsageError
from engine.failure_budget import FAIL_FAST, parse_budget
from engine.model import Outcome
from engine.spelling import nearest


class Day(click.ParamType[date]):
    """A UTC day: `2024-05-01`, `today`, `yesterday`, `7d`."""

    name = "day"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:  # noqa: ARG002
        """Read the text, or fail with the forms that work."""
        if isinstance(value, date):
            return value
        try:
            return parse_day(str(value), today=utc_now().date())
        except UsageError as error:
            raise of_option(error, param) from error


class OneOf(click.Choice[str]):
    """One of a few words; a word that is none of them is answered with the nearest."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Read the word, or fail with the nearest."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            hint = nearest(str(value), [str(word) for word in self.choices], what="words")
            raise of_option(UsageError(f"{value!r} is not known", hint=hint), param) from None


class Bytes(click.ParamType[int]):
    """A size: `500GB`, `64MiB`."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:  # noqa: ARG002
        """Read the text, or fail with the forms that work."""
        if isinstance(value, int):
            return value
        try:
            return parse_bytes(str(value))
        except UsageError as error:
            raise of_option(error, param) from error


def of_option(error: UsageError, param: click.Parameter | None) -> UsageError:
    """The error with the option that it is about, and its own next step instead of a look at `--help`."""
    return UsageError(f"{param.opts[0]}: {error}" if param is not None else str(error), hint=error.hint)


class Words(click.ParamType[tuple[str, ...]]):
    """Comma-separated words."""

    name = "a,b,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Split, dropping blanks and repetitions, keeping the order."""
        if isinstance(value, tuple):
            return value
        words = tuple(dict.fromkeys(word.strip() for word in str(value).split(",") if word.strip()))
        if not words:
            self.fail("is empty", param, ctx)
        return words


def retry_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """What is asked for again, how much a day, and when to give up; one set of options for both command lines."""
    for option in (
        click.option("--fail-fast", is_flag=True, help="Stop at the first file that ends bad."),
        click.option("--max-failures", envvar="MAX_FAILURES", default="", help="Stop with more bad files: 25, or 5% of a worker's."),
        click.option("--daily-bytes", envvar="DAILY_BYTES", type=Bytes(), default=0, help="Source bytes a UTC day: 500GB."),
        click.option("--refetch-adopted", is_flag=True, help="Fetch also what was adopted from the system before."),
        click.option("--refetch-empty", "refetch", is_flag=True, help="Ask again for files that were empty."),
        click.option("--retry-outcomes", type=Words(), help="Of files tried before, only these again: failed,not_ready,..."),
    ):
        function = option(function)
    return function


def read_retries(
    *,
    retry_outcomes: tuple[str, ...] | None,
    refetch: bool,
    refetch_adopted: bool,
    daily_bytes: int,
    max_failures: str,
    fail_fast: bool,
) -> dict[str, Any]:
    """What `retry_options` gave, as the fields of a request.

    Raises:
        UsageError: for an outcome that nobody knows, or a budget that cannot be read.
    """
    if fail_fast and max_failures:
        raise UsageError("--fail-fast and --max-failures exclude each other", hint="--fail-fast is --max-failures 0")
    parse_budget(max_failures)
    return {
        "retry_outcomes": tuple(map(require_outcome, retry_outcomes or ())),
        "refetch": refetch,
        "refetch_adopted": refetch_adopted,
        "daily_bytes": daily_bytes,
        "max_failures": FAIL_FAST if fail_fast else max_failures,
    }


def require_outcome(name: str) -> Outcome:
    """The outcome of that name.

    Raises:
        UsageError: naming the nearest known one.
    """
    known = [str(outcome) for outcome in Outcome]
    if name not in known:
        near = difflib.get_close_matches(name.replace("-", "_").lower(), known, n=1)
        raise UsageError(f"{name!r} is no outcome", hint=f"did you mean {near[0]}?" if near else f"outcomes are {', '.join(known)}")
    return Outcome(name)


def candle_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """What candles are asked for; one set of options for both command lines."""
    for option in (
        click.option("--rebuild", is_flag=True, help="Make anew, and overwrite, candles whose inputs have changed since."),
        click.option("--bucket-by", type=OneOf(CLOCKS), default="exchange", show_default=True, help="Which time of a row decides its bar."),
        click.option("--timeframes", type=Words(), help=f"Only these [{','.join(TIMEFRAMES)}]."),
    ):
        function = option(function)
    return function


def bucket_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--data-bucket` and `--state-bucket`."""
    for option in (
        click.option("--state-bucket", envvar="STATE_BUCKET", help="Bucket of plans, runs and manifests [<data bucket>-state]."),
        click.option("--data-bucket", envvar=["DATA_BUCKET", "GCS_BUCKET"], help="Bucket of the lake."),
    ):
        function = option(function)
    return function
