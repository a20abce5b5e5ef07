"""Asking a person before something is done, without the console: yes for one thing, the count for many."""

from __future__ import annotations

import sys

import click

from engine.errors import UsageError


def _require_terminal() -> None:
    if not sys.stdin.isatty():
        raise UsageError("nobody is here to ask", hint="give --yes, or --dry-run to see what would be done")


def ask_yes(what: str, question: str) -> bool:
    """Ask for yes or no; no is the default."""
    _require_terminal()
    click.echo(what)
    return click.confirm(question, default=False)


def ask_count(count: int, what: str) -> bool:
    """Ask for the number of things: nobody types it by accident."""
    _require_terminal()
    typed = click.prompt(f"{what}; type the number {count} to go on", default="", show_default=False)
    return str(typed).strip() == str(count)
