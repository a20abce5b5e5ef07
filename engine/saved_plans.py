"""Plans that were kept: what each would do, from one listing. The document itself is read only when a plan is opened.

`engine.plan.save_plan` writes the summary beside each plan as metadata; a plan without one (an earlier version kept it) is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import msgspec

from engine.documents import Moment, json_decoder
from engine.errors import EngineError, UsageError
from engine.paths import PLANS, parse_plan_object
from engine.plan import SUMMARY_KEY, Plan, PlanSummary, load_plan, summarize_plan
from engine.store import ObjectInfo, Store

OPENED_AT_ONCE = 8

DOWNLOAD = "download"
"""The mode of plans that download; others are one verb of the engine on one VM."""


class SavedPlan(msgspec.Struct, frozen=True, kw_only=True):
    """One kept plan, as a list shows it."""

    id: str
    saved: Moment
    """When the bucket got it."""
    size: int
    """Bytes of the document."""
    summary: PlanSummary | None
    """None: it cannot be read."""
    problem: str = ""
    """Why not, one line."""


def list_saved_plans(store: Store) -> list[SavedPlan]:
    """All plans of a state bucket, newest first; one request per thousand, and one for each that has no summary."""
    found = [info for info in store.list(PLANS) if _id_of(info)]
    with ThreadPoolExecutor(OPENED_AT_ONCE, thread_name_prefix="saved-plans") as pool:
        plans = list(pool.map(lambda info: _saved_plan(store, info), found))
    return sorted(plans, key=lambda plan: (plan.saved, plan.id), reverse=True)


def find_saved_plan(store: Store, word: str) -> Plan:
    """A plan by its id, by the beginning of it that only one has, or `last` for the newest download.

    Raises:
        UsageError: if no plan, or more than one, is meant.
        ConfigurationError: if the plan's content does not match its name.
    """
    listed = [info for info in store.list(PLANS) if _id_of(info)]
    names = [(info.updated, _id_of(info)) for info in listed]
    if not names:
        raise UsageError(f"no plan is kept in bucket {store.bucket}", hint="keep one: tickdeck plan ... --save")
    if word == "last":
        summaries = {_id_of(info): _from_metadata(info.metadata) for info in listed}
        downloads = [each for each in names if (told := summaries[each[1]]) is None or told.mode == DOWNLOAD]
        return load_plan(store, max(downloads or names)[1])
    meant = sorted(name for _, name in names if word and name.startswith(word))
    if word in meant:
        meant = [word]
    if len(meant) != 1:
        some = f"several plans begin with {word!r}: {', '.join(meant[:5])}"
        raise UsageError(some if meant else f"there is no plan {word!r} in bucket {store.bucket}", hint="see: tickdeck plan list")
    return load_plan(store, meant[0])


def _id_of(info: ObjectInfo) -> str:
    """The plan's id; empty for what is no plan."""
    try:
        return parse_plan_object(info.name)
    except UsageError:
        return ""


def _saved_plan(store: Store, info: ObjectInfo) -> SavedPlan:
    name, summary, problem = _id_of(info), _from_metadata(info.metadata), ""
    if summary is None:
        try:
            summary = summarize_plan(load_plan(store, name))
        except EngineError as error:
            problem = str(error)
    return SavedPlan(id=name, saved=info.updated, size=info.size, summary=summary, problem=problem)


def _from_metadata(metadata: Mapping[str, str]) -> PlanSummary | None:
    try:
        return json_decoder(PlanSummary).decode(metadata.get(SUMMARY_KEY, ""))
    except msgspec.DecodeError:
        return None
