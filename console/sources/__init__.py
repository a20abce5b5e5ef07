"""What the console looks at: a module a source, and the table of them."""

from __future__ import annotations

from typing import Any, Final

from console.feeds import FeedSource
from console.sources.audit import AuditSource
from console.sources.costs import CostsSource
from console.sources.coverage import CoverageSource
from console.sources.fleet import FleetSource

SOURCES: Final[tuple[type[FeedSource[Any]], ...]] = (FleetSource, CoverageSource, CostsSource, AuditSource)
