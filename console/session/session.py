"""What the verbs of a session share: its profile, the clients of its clouds, made on first use, and whether it may write."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from console.session.audit import Audit
from console.session.catalogues import Catalogues
from console.session.changes import Changes
from console.session.coverage import LakeChecks
from console.session.healing import Healing
from console.session.health import Health
from console.session.jobs import Jobs
from console.session.launching import Launching
from console.session.logs import Logs
from console.session.money import Money
from console.session.planning import Planning
from console.session.watching import Watching
from engine.clock import Clock, utc_now
from engine.inventory import Inventory
from engine.store import Store
from provision.local.cloud import Cloud
from provision.profile import Profile

if TYPE_CHECKING:
    from provision.clients import ComputeClients
    from provision.runs import RunReader


@dataclass(frozen=True, slots=True)
class Buckets:
    """The two buckets of a profile."""

    data: Store
    state: Store


class Session:
    """The verbs of one profile, by subject. Use `open_session` to make one."""

    def __init__(self, profile: Profile, cloud: Cloud | None, *, clock: Clock = utc_now) -> None:
        self.profile = profile
        self.cloud = cloud
        self.clock = clock
        self.armed = False
        """Whether a person has armed a protected profile for writing."""
        self.catalogues = Catalogues(self)
        self.planning = Planning(self)
        self.coverage = LakeChecks(self)
        self.launching = Launching(self)
        self.watching = Watching(self)
        self.healing = Healing(self)
        self.changes = Changes(self)
        self.jobs = Jobs(self)
        self.logs = Logs(self)
        self.money = Money(self)
        self.audit = Audit(self)
        self.health = Health(self)

    @cached_property
    def buckets(self) -> Buckets:
        """Data and state; created first in the local profile."""
        from provision.clients import open_stores

        data, state = open_stores(self.profile)
        if self.profile.kind == "local":
            from engine.bucket import create_bucket

            for store in (data, state):
                create_bucket(store)
        return Buckets(data, state)

    @cached_property
    def inventory(self) -> Inventory:
        """What the state bucket knows."""
        return Inventory(self.buckets.state)

    @cached_property
    def compute(self) -> ComputeClients:
        """Compute clients. Importing them takes a second and 150 MB: never on the way to the first paint."""
        from provision.clients import make_compute

        return make_compute(self.profile)

    @cached_property
    def runs(self) -> RunReader:
        """Reads runs from the state bucket."""
        from provision.runs import RunReader

        return RunReader(self.buckets.state)

    @property
    def api_key(self) -> str:
        """The source's key: of the stand-in, or from the environment."""
        if self.cloud is not None and self.profile.source == "stand-in":
            return self.cloud.api_key
        return os.environ.get("TARDIS_API_KEY", "")
