"""Is a day in yet: what each venue's catalogue and manifests say of it."""

from __future__ import annotations

from datetime import timedelta

import msgspec

from engine.arrivals import arrivals_of, first_seen
from engine.catalogue import save_catalogue
from engine.model import CellState, DayRange
from tests.engine.made_up_lake import Bucket, bad, catalogue, day, listing, moment, ok
from tests.engine.test_planner import cell
from tests.local_servers import Lake

BTC = "BTCUSDT"


def test_venues_are_worst_first_and_in_only_when_published_and_without_a_hole() -> None:
    offers = (
        catalogue(listing(BTC), venue="binance", published_until=moment(2)),
        catalogue(listing(BTC), venue="deribit", published_until=moment(2)),
        catalogue(listing(BTC), venue="okex", published_until=moment(1)),
        catalogue(listing(BTC, since=moment(9)), venue="bybit", published_until=moment(2)),
    )
    bucket = Bucket()
    bucket.put(cell(1), [ok(BTC)])
    bucket.put(cell(1, venue="deribit"), [bad(BTC)])
    coverage = bucket.assess(offers, DayRange(day(0), day(1)))
    found = arrivals_of(coverage, day(1), {each.venue: each for each in offers}, {"binance": moment(2, 6)})
    assert [(each.venue, each.is_in, each.state) for each in found] == [
        ("deribit", False, CellState.FAILED),
        ("okex", False, CellState.NOT_READY),
        ("binance", True, CellState.COMPLETE),
    ]
    assert (found[1].published, found[1].due) == (False, moment(2, 6))
    assert found[2].seen == moment(2, 6)


def test_the_first_catalogue_that_has_a_day_says_since_when_it_is_published(lake: Lake) -> None:
    offered = catalogue(listing(BTC))
    for hours, published in ((5, 1), (6, 1), (7, 2), (8, 2)):
        fetched = moment(2) + timedelta(hours=hours)
        save_catalogue(lake.state, msgspec.structs.replace(offered, fetched=fetched, published_until=moment(published)), b"{}")
    assert first_seen(lake.state, "binance", day(1)) == moment(2, 7)
    assert first_seen(lake.state, "binance", day(2)) is None
    assert first_seen(lake.state, "deribit", day(1)) is None
