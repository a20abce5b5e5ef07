"""A small backfill on a local cloud of its own, from `up` to `down`; prints one JSON line. Run inside a network namespace."""

from __future__ import annotations

import json
import sys
import time
from datetime import timedelta
from pathlib import Path

from console.session import open_session
from engine.model import DayRange
from engine.plan import Request
from provision.local import cloud as local_cloud
from provision.local.tardis.loading import load_scenario
from provision.logs import Question


def main() -> int:
    root = Path(sys.argv[1])
    scenario = load_scenario("tiny")
    request = Request(
        venues=("binance", "deribit"),
        data_types=("trades", "book_snapshot_5", "derivative_ticker", "liquidations", "options_chain"),
        start=scenario.first_day,
        end=scenario.last_day,
        shards=2,
    )
    try:
        session = open_session("local", root=root, scenario="tiny")
        launched = session.launching.launch(session.planning.plan(request))
        deadline = time.monotonic() + 120
        while session.runs.read(launched.run).unfinished and time.monotonic() < deadline:
            time.sleep(0.3)
        coverage = session.coverage.check(DayRange(request.start, request.end), request.venues, request.data_types)
        wanted = Question(since=session.clock() - timedelta(hours=1), run=launched.run, lines=50_000, where="objects")
        entries = session.logs.find_logs(wanted).entries
        print(json.dumps({"holes": len(coverage.holes()), "complete": coverage.complete_cells, "log_entries": len(entries)}))
    finally:
        local_cloud.down(root)
    return 0


if __name__ == "__main__":
    sys.exit(main())
