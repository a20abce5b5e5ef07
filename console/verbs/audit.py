"""`tickdeck audit`: who changed what, when, and how it ended."""

from __future__ import annotations

from datetime import date, timedelta

import click

from console.deeds import WORDS, deed_record
from console.query import Query, QueryError, parse, words_of
from console.verbs.options import headless_session, json_option, profile_option
from engine.errors import ExitCode, UsageError
from engine.verbs.options import Day
from engine.verbs.printing import print_json, print_table
from provision.audit import Deed, Ending, list_records, pair_records


@click.command("audit")
@click.option("--since", "--start", type=Day(), help="First day, UTC [a week ago].")
@click.option("--until", "--end", type=Day(), help="Last day [today].")
@click.option("--verb", "verbs", multiple=True, help="Only these: launch, replace, drain, abort, delete, cleanup, ...")
@click.option("--filter", "text", default="", help="As after / in the console: words, -word, who:name, failed>0, is:unfinished.")
@click.option("--unfinished", is_flag=True, help="Only what has no receipt: whoever did it died in the middle.")
@profile_option
@json_option
def audit_command(
    since: date | None, until: date | None, verbs: tuple[str, ...], text: str, unfinished: bool, profile_name: str, as_json: bool
) -> int:
    """Every mutation, newest first, unfinished ones before all. With --json the records: an intent and a receipt share an id."""
    try:
        query = parse(text, WORDS)
    except QueryError as error:
        raise UsageError(f"--filter {text!r}: {error}", hint="as after / in the console") from error
    session = headless_session(profile_name)
    today = session.clock().date()
    records = list(list_records(session.buckets.state, since or today - timedelta(days=7), until or today))
    deeds = [
        deed
        for deed in pair_records(records, now=session.clock())
        if (not verbs or deed.intent.verb in verbs) and (not unfinished or deed.ending is Ending.UNFINISHED) and _passes(query, deed)
    ]
    if as_json:
        wanted = {deed.intent.id for deed in deeds}
        print_json([record for record in records if record.id in wanted])
        return ExitCode.DONE
    print_table(("when (UTC)", "verb", "ended", "done", "run", "who", "message"), map(_row, deeds), right=(3,))
    return ExitCode.DONE


def _passes(query: Query, deed: Deed) -> bool:
    record = deed_record(deed)
    return query.matches(record, words_of(record))


def _row(deed: Deed) -> tuple[object, ...]:
    intent = deed.intent
    counts = f"{deed.done if deed.receipt else '?'}/{len(deed.items)}"
    return f"{intent.when:%Y-%m-%d %H:%M:%S}", intent.verb, deed.ending.value, counts, intent.run, intent.who, deed.message
