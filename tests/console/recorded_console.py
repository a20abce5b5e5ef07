"""The console on the recorded world, for tests over a pseudo-terminal: `python -m tests.console.recorded_console`."""

from __future__ import annotations

import sys

from tests.console.recorded import RecordedSession, console_on

if __name__ == "__main__":
    app = console_on(RecordedSession(live="live" in sys.argv))
    app.run()
    sys.exit(app.return_code or 0)
