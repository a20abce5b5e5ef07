"""Options that several verbs share."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import click

from engine.clock import parse_day, utc_now
from engine.errors import UsageError, one_line


class Day(click.ParamType[date]):
    """A UTC day: `2024-05-01`, `today`, `yesterday`, `7d`."""

    name = "day"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        """Read the text, or fail with the forms that work."""
        if isinstance(value, date):
            return value
        try:
            return parse_day(str(value), today=utc_now().date())
        except UsageError as error:
            self.fail(one_line(error), param, ctx)


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


def bucket_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--data-bucket` and `--state-bucket`."""
    for option in (
        click.option("--state-bucket", envvar="STATE_BUCKET", help="Bucket of plans, runs and manifests [<data bucket>-state]."),
        click.option("--data-bucket", envvar=["DATA_BUCKET", "GCS_BUCKET"], help="Bucket of the lake."),
    ):
        function = option(function)
    return function
