"""`tickdeck adopt-resources`: what the scripts before Tickdeck left behind becomes ours, and then cleanup sees it."""

from __future__ import annotations

import click

from console.sentences import plural
from console.verbs.carrying_out import carry_out, change_options
from console.verbs.options import headless_session, json_option, profile_option


@click.command("adopt-resources")
@click.argument("patterns", nargs=-1, metavar="[NAME|PATTERN]...")
@change_options
@profile_option
@json_option
def adopt_resources_command(patterns: tuple[str, ...], dry_run: bool, yes: bool, armed: bool, profile_name: str, as_json: bool) -> int:
    """Label VMs, disks and reserved addresses that have no label [market-data-*], so that cleanup sees them.

    What carries any label is somebody else's and is never touched. Nothing is deleted: `tickdeck cleanup` proposes that, at once what
    nothing uses, a VM that runs after a day.
    """
    session = headless_session(profile_name, armed=armed)
    proposal, unmatched = session.changes.propose_adoption(patterns)
    code = carry_out(session, proposal, dry_run=dry_run, yes=yes, as_json=as_json)
    if unmatched and not as_json:
        click.echo(f"{plural(unmatched, 'reserved address')} without a label not meant by these names: name them, e.g. 'ip-*'", err=True)
    return code
