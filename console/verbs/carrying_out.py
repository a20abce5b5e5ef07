"""From a proposal to its receipt on the command line: show it, ask, apply it, show what came of it. Every verb that changes something."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from console.confirming import ask_count, ask_yes
from console.sentences import money, plural
from console.session import Session
from engine.clock import format_seconds
from engine.errors import ExitCode
from engine.verbs.printing import print_json, print_table
from provision.actions import Item, Proposal, Receipt


def change_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--dry-run` and `--yes`."""
    for option in (
        click.option("--armed", is_flag=True, help="Write although the profile is protected."),
        click.option("--yes", is_flag=True, help="Do not ask."),
        click.option("--dry-run", is_flag=True, help="Show what would be done; do nothing."),
    ):
        function = option(function)
    return function


def carry_out(session: Session, proposal: Proposal, *, dry_run: bool, yes: bool, as_json: bool) -> int:
    """Show a proposal, ask, apply it, show the receipt."""
    if not as_json:
        show_proposal(proposal)
    if dry_run or not proposal.items:
        if as_json:
            print_json(
                {"verb": proposal.verb, "dry_run": dry_run, "items": [_item(item) for item in proposal.items], "refused": proposal.refused}
            )
        elif dry_run:
            click.echo("dry run: nothing was done")
        return ExitCode.DONE
    count = len(proposal.items)
    agreed = yes or (ask_yes("", f"{proposal.verb} this?") if count == 1 else ask_count(count, f"{proposal.verb} {plural(count, 'thing')}"))
    if not agreed:
        click.echo("nothing was done", err=True)
        return ExitCode.TEMPORARY
    receipt = session.changes.apply(proposal, report=(lambda _line: None) if as_json else click.echo)
    if as_json:
        print_json(receipt_document(receipt))
    else:
        click.echo(f"{receipt.message}; audit {receipt.audit_id}")
        for warning in receipt.warnings:
            click.echo(f"! {warning}")
    return ExitCode.PARTIAL if receipt.failed else ExitCode.DONE


def show_proposal(proposal: Proposal) -> None:
    """What would be done, each with why, how old and what it costs a day."""
    if not proposal.items:
        click.echo(f"{proposal.verb}: nothing to do")
    else:
        print_table(
            ("kind", "name", "where", "why", "age", "a day"),
            (
                (
                    item.kind,
                    item.name,
                    item.place,
                    item.why,
                    format_seconds(item.age_seconds) if item.age_seconds else "",
                    money(item.cost_per_day),
                )
                for item in proposal.items
            ),
            right=(4, 5),
        )
    for refusal in proposal.refused:
        click.echo(f"not touched: {refusal.name}: {refusal.why}")


def receipt_document(receipt: Receipt) -> dict[str, Any]:
    """A receipt as JSON carries it."""
    return {
        "verb": receipt.proposal.verb,
        "message": receipt.message,
        "audit": receipt.audit_id,
        "warnings": receipt.warnings,
        "items": [_item(result.item) | {"ok": result.ok, "message": result.message} for result in receipt.results],
    }


def _item(item: Item) -> dict[str, Any]:
    document = {"kind": item.kind, "name": item.name, "place": item.place, "why": item.why, "cost_per_day": item.cost_per_day}
    return document | {"objects": [name for name, _ in item.objects]} if item.objects else document
