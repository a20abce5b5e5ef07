"""`tickdeck waive`: say, with a reason and on record, that the source will never have some files; or take that back."""

from __future__ import annotations

from typing import Any

import click

from console.confirming import ask_count
from console.sentences import plural
from console.verbs.carrying_out import change_options
from console.verbs.options import headless_session, json_option, profile_option, range_options
from engine.errors import ExitCode
from engine.model import DayRange
from engine.verbs.options import Words
from engine.verbs.printing import print_json, print_table
from provision.waivers import WaiverProposal, WaiverReceipt


@click.command("waive")
@range_options
@click.option("--outcomes", type=Words(), help="Only files that ended so: not_found,failed,...; `absent` for those never tried.")
@click.option("--everything", is_flag=True, help="Whatever is missing in the range.")
@click.option("--reason", required=True, help="Why, for whoever reads the lake next year.")
@click.option("--withdraw", is_flag=True, help="Take waivers back: the files are holes again.")
@change_options
@profile_option
@json_option
def waive_command(
    *,
    reason: str,
    outcomes: tuple[str, ...] | None,
    everything: bool,
    withdraw: bool,
    dry_run: bool,
    yes: bool,
    armed: bool,
    profile_name: str,
    as_json: bool,
    **options: Any,
) -> int:
    """Waive expected files that the source will never have: they count as done, are not asked for again, and stay counted apart.

    Nothing that is committed can be waived, and no day that the source has not published. Each waiver is on the audit trail.
    """
    session = headless_session(profile_name, armed=armed)
    proposal = session.coverage.propose_waivers(
        DayRange(options["start"], options["end"] or options["start"]),
        options["venues"],
        options["data_types"],
        reason=reason,
        symbols=options["symbols"] or (),
        universe=options["universe"],
        outcomes=outcomes or (),
        everything=everything,
        withdraw=withdraw,
    )
    if not as_json:
        show_waivers(proposal)
    if dry_run or not proposal.cells:
        if as_json:
            print_json(waiver_document(proposal))
        elif dry_run and proposal.cells:
            click.echo("dry run: nothing was written")
        return ExitCode.DONE
    files = plural(proposal.files, "file")
    if not yes and not ask_count(proposal.files, f"{proposal.verb} {files}"):
        click.echo("nothing was written", err=True)
        return ExitCode.TEMPORARY
    receipt = session.coverage.apply_waivers(proposal)
    if as_json:
        print_json(waiver_document(proposal, receipt))
    else:
        click.echo(f"{proposal.verb}: {files} in {plural(len(receipt.manifests), 'cell')}; audit {receipt.audit_id}")
        for cell, why in receipt.failed:
            click.echo(f"! {cell}: {why}", err=True)
    return ExitCode.PARTIAL if receipt.failed else ExitCode.DONE


def show_waivers(proposal: WaiverProposal) -> None:
    """What would be written, cell by cell."""
    if not proposal.cells:
        click.echo(f"{proposal.verb}: nothing to do")
    else:
        rows = [
            (cell.cell.day, cell.cell.venue, cell.cell.data_type, symbol, was)
            for cell in proposal.cells
            for symbol, was in zip(cell.symbols, cell.was, strict=True)
        ]
        print_table(("day", "venue", "data type", "symbol", "is now"), rows)
    for left in proposal.left:
        click.echo(f"left as it is: {left.cell} {', '.join(left.symbols[:5])}{', ...' if len(left.symbols) > 5 else ''}: {left.why}")


def waiver_document(proposal: WaiverProposal, receipt: WaiverReceipt | None = None) -> dict[str, object]:
    """A proposal, and what came of it, as JSON carries it."""
    return {
        "verb": proposal.verb,
        "reason": proposal.reason,
        "dry_run": receipt is None,
        "files": [
            {"day": cell.cell.day, "venue": cell.cell.venue, "data_type": cell.cell.data_type, "symbol": symbol, "was": was}
            for cell in proposal.cells
            for symbol, was in zip(cell.symbols, cell.was, strict=True)
        ],
        "left": [{"cell": str(left.cell), "symbols": left.symbols, "why": left.why} for left in proposal.left],
        "manifests": receipt.manifests if receipt else (),
        "failed": [{"cell": str(cell), "why": why} for cell, why in receipt.failed] if receipt else (),
        "audit": receipt.audit_id if receipt else None,
    }
