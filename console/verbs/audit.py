"""`tickdeck audit`: who changed what, when, and how it ended."""

from __future__ import annotations

from datetime import date, timedelta

import click

from console.verbs.options import headless_session, json_option, profile_option
from engine.errors import ExitCode
from engine.verbs.options import Day
from engine.verbs.printing import print_json, print_table
from provision.audit import list_records


@click.command("audit")
@click.option("--start", type=Day(), help="First day, UTC [a week ago].")
@click.option("--end", type=Day(), help="Last day [today].")
@profile_option
@json_option
def audit_command(start: date | None, end: date | None, profile_name: str, as_json: bool) -> int:
    """Every mutation: an intent before it, a receipt after it."""
    session = headless_session(profile_name)
    today = session.clock().date()
    records = list(list_records(session.buckets.state, start or today - timedelta(days=7), end or today))
    if as_json:
        print_json(records)
        return ExitCode.DONE
    print_table(
        ("when (UTC)", "who", "verb", "run", "things", "phase", "message"),
        [
            (f"{record.when:%Y-%m-%d %H:%M:%S}", record.who, record.verb, record.run, len(record.items), record.phase, record.message)
            for record in records
        ],
        right=(4,),
    )
    return ExitCode.DONE
