"""Jobs for VMs that were kept after their work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from console.session.session import Session
    from engine.jobs import Job, JobResult
    from provision.kept_vms import JobProposal


class Jobs:
    """Another job on a kept VM. Every method blocks."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def propose_job(self, name: str, arguments: Sequence[str]) -> JobProposal:
        """What a kept VM would be given to do."""
        from provision.kept_vms import propose_job

        session = self._session
        return propose_job(session.profile, session.watching.fleet(), name, arguments)

    def give_job(self, proposal: JobProposal) -> Job:
        """Give it. Whoever calls this has asked the person."""
        from provision.kept_vms import give_job

        session = self._session
        return give_job(proposal, profile=session.profile, state=session.buckets.state, armed=session.armed, clock=session.clock)

    def job_result(self, job: Job) -> JobResult | None:
        """What became of a job; None if it has not begun."""
        from engine.jobs import read_result

        return read_result(self._session.buckets.state, job.run, job.vm, job.number)
