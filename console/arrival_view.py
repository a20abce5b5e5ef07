"""Whether a day is in yet, in words: one line above the map, and the panel of all venues. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from console.coverage_view import STATE_TONES
from console.widgets.figures import plural
from console.widgets.heat_looks import WORDS
from console.widgets.sentence import Phrase
from console.widgets.tones import Tone
from engine.arrivals import Arrival
from engine.model import CellState

_ORDER = {state: number for number, state in enumerate(CellState)}


def arrival_words(arrivals: Sequence[Arrival], now: datetime) -> list[Phrase]:
    """Whether a day is in, in one line: what is late first, then a count of what is in."""
    if not arrivals:
        return []
    day = arrivals[0].day
    late = [each for each in arrivals if not each.is_in]
    name = "yesterday" if day == now.date() - timedelta(days=1) else str(day)
    if not late:
        times = [each.seen for each in arrivals if each.seen is not None]
        when = f", published by {max(times):%H:%M}" if times else ""
        return [Phrase(f"✓ {name} is in", Tone.GOOD, strong=True), Phrase(f" at all {plural(len(arrivals), 'venue')}{when}")]
    phrases = [Phrase(f"{name}: {len(arrivals) - len(late)} of {plural(len(arrivals), 'venue')} in", strong=True)]
    alike: dict[tuple[str, Tone], list[str]] = {}
    for each in late:
        alike.setdefault((arrival_state(each, now), STATE_TONES[each.state]), []).append(each.venue)
    for (words, tone), venues in alike.items():
        phrases += [Phrase(" · "), Phrase(words, tone, strong=True), Phrase(f" {', '.join(venues)}")]
    return phrases


def arrival_state(arrival: Arrival, now: datetime) -> str:
    """How a venue stands with a day: `complete`, `due 06:00`, `late since 06:00`, `running 2 of 5`."""
    if not arrival.published:
        return f"due {arrival.due:%H:%M}" if arrival.due > now else f"late, was due {arrival.due:%m-%d %H:%M}"
    if arrival.is_in:
        return WORDS[arrival.state]
    total, count = sum(arrival.counts.values()), arrival.counts.get(arrival.state, 0)
    return WORDS[arrival.state] + (f" {count} of {total}" if total > 1 else "")


def arrival_record(arrivals: Sequence[Arrival], now: datetime) -> dict[str, object]:
    """All venues for the panel: what was published when, and how far the lake is with it."""
    return {each.venue: _arrival_line(each, now) for each in arrivals}


def _arrival_line(arrival: Arrival, now: datetime) -> str:
    published = "not published" if not arrival.published else "published"
    if arrival.seen is not None:
        published += f" by {arrival.seen:%H:%M}" + ("" if arrival.seen.date() == arrival.due.date() else f" on {arrival.seen:%m-%d}")
    counts = ", ".join(f"{count} {WORDS[state]}" for state, count in sorted(arrival.counts.items(), key=lambda item: -_ORDER[item[0]]))
    return f"{published}; {arrival_state(arrival, now)}" + (f" ({counts})" if counts else "")
