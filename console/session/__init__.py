"""One operator's working session: the active profile, the clouds behind it, and the verbs. No terminal in it.

Both front ends, the Textual app and the headless command line, do everything through `Session`, so that people and cron agree.
Its verbs are grouped by subject, one module each: `session.planning.plan(request)`, `session.watching.fleet(run)`.
"""

from console.session.changes import STALE_DAYS
from console.session.launching import Launched
from console.session.opening import open_session
from console.session.session import Buckets, Session

__all__ = ["STALE_DAYS", "Buckets", "Launched", "Session", "open_session"]
