"""What can be wrong before money is spent: the table of checks of a launch, run by the engine's doctor.

The engine's doctor asks whether a worker could work here; this asks whether a fleet could be launched from here: credentials, APIs,
permissions, image, account, secret, quotas, machine types, addresses. Checks only look; each asks once, they run at once, and
`engine.doctor.checkup.examine` gives up on one that hangs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from engine.clock import Clock, utc_now
from engine.doctor import cloud
from engine.doctor.checkup import Check, examine, verdict
from engine.doctor.finding import Finding, Level, bad, from_error, good, warn
from engine.errors import EngineError, ExitCode, NotPermitted
from engine.plan import Plan
from engine.settings import Settings, resolve
from engine.store import Store
from provision.audit import AuditItem, write_intent, write_receipt
from provision.clients import ComputeClients, open_stores
from provision.errors import NotFound, PreflightFailed, cloud_errors
from provision.permissions import READ_OBJECTS, USE_OBJECTS, Holding, State, check_operator, check_worker, grants_of, services_of
from provision.platform import ENABLED, Kind, Platform, account_resource, identify, parse_image, parse_secret
from provision.profile import Profile, require_image, require_writable
from provision.quotas import ONCE, Fleet, compare, most_vms, read_project_quotas, read_region
from provision.resources import find_boot_image

LIMIT_SECONDS = 25.0
"""After this the checks that have said nothing are given up. A renewed token, a connection and a slow answer fit into it."""

PARALLEL = 8

_RESTART_LOCAL = "the local cloud runs since before an update of this program: tickdeck local down, then tickdeck local up"
"""What an older local server does not know it refuses, or says that it is not there."""

_DEFAULT_ACCOUNT = "-compute@developer.gserviceaccount.com"


def fleet_of(
    profile: Profile,
    plan: Plan | None = None,
    *,
    vms: int = 0,
    machine_type: str = "",
    model: str = "",
    external_ip: bool | None = None,
) -> Fleet:
    """The fleet that a plan wants, or that these options want; without either as many VMs as the profile allows."""
    request = plan.request if plan else None
    machine_type = machine_type or (request.machine_type if request else "")
    model = model or (request.provisioning_model if request else "") or profile.provisioning_model
    wanted = vms or (min(len(plan.shards), profile.most_vms) if plan else profile.most_vms)
    return Fleet(
        vms=max(1, wanted),
        machine_types=(machine_type,) if machine_type else profile.machine_types,
        model=model,
        disk_gb=profile.disk_gb,
        disk_type=profile.disk_type,
        external_ip=profile.external_ip if external_ip is None else external_ip,
    )


def checks_of(profile: Profile, fleet: Fleet, *, api_key: str = "", clock: Clock = utc_now) -> tuple[Check, ...]:
    """All checks, in the order of the report.

    Args:
        profile: with its endpoints, if it is a local one.
        fleet: what is to be launched.
        api_key: the source's key, if this machine has one; never part of what is said.
        clock: UTC-aware now.
    """
    settings = settings_of(profile, api_key)
    platform = Platform(profile)
    return (
        Check("credentials", partial(check_credentials, profile)),
        Check("APIs", partial(check_services, profile, platform)),
        Check("permissions", partial(check_permissions, profile, platform)),
        Check("two buckets", partial(cloud.check_separation, settings)),
        Check("data bucket", partial(cloud.check_bucket, settings, which="data", needed=frozenset(READ_OBJECTS))),
        Check("data bucket rules", partial(cloud.check_rules, settings, which="data")),
        Check("state bucket", partial(cloud.check_bucket, settings, which="state", needed=frozenset(USE_OBJECTS))),
        Check("state bucket rules", partial(cloud.check_rules, settings, which="state")),
        Check("image", partial(check_image, profile, platform)),
        Check("boot image", lambda: check_boot_image(ComputeClients(profile))),
        Check("worker account", partial(check_account, profile, platform)),
        Check("worker permissions", partial(check_worker_permissions, profile, platform)),
        Check("machine types", lambda: check_machine_types(ComputeClients(profile), fleet)),
        Check("quota", lambda: check_quota(ComputeClients(profile), fleet)),
        Check("addresses", partial(check_addresses, profile, fleet)),
        Check("secret", partial(check_secret, profile, platform)),
        Check("source key", partial(check_key, profile, settings, clock)),
        Check("clock", partial(cloud.check_clock, settings, clock)),
    )


def run_checks(checks: Iterable[Check]) -> Iterator[Finding]:
    """Run all checks at once; their findings in order, each as soon as those before it are there."""
    return examine(checks, limit_seconds=LIMIT_SECONDS)


def settings_of(profile: Profile, api_key: str = "") -> Settings:
    """The engine's settings as they follow from a profile, so that the engine's own checks can be asked."""
    return resolve(
        {},
        {
            "project": profile.project,
            "data_bucket": profile.data_bucket,
            "state_bucket": profile.state,
            "storage_endpoint": profile.endpoints.storage or None,
            "api_url": profile.tardis_api or None,
            "datasets_url": profile.tardis_datasets or None,
            "api_key": api_key or None,
        },
    )


def check_credentials(profile: Profile) -> list[Finding]:
    """Are there credentials, and are they taken?"""
    try:
        return [good("credentials", identify(profile))]
    except EngineError as error:
        return [from_error("credentials", error)]


def check_services(profile: Profile, platform: Platform) -> list[Finding]:
    """Has the project enabled every API that a launch needs?"""
    name, needed = "APIs", services_of(profile)
    try:
        enabled = platform.enabled_services(needed)
    except NotPermitted as error:
        return [warn(name, f"cannot be asked: {error}", "grant serviceusage.services.get")]
    except EngineError as error:
        return [from_error(name, error)]
    missing = [service for service in needed if service not in enabled]
    if missing:
        message = f"{', '.join(missing)} not enabled in {profile.project}"
        return [bad(name, message, f"run: gcloud services enable {' '.join(missing)} --project={profile.project}", ExitCode.CONFIGURATION)]
    return [good(name, f"{len(needed)} of {len(needed)} enabled")]


def check_permissions(profile: Profile, platform: Platform) -> list[Finding]:
    """May we do on the project what a launch and its cleaning up need? Other resources have checks of their own."""
    name = "permissions"
    try:
        grants = [grant for grant in grants_of(profile) if grant.resource.kind is Kind.PROJECT]
    except EngineError as error:
        return [from_error(name, error)]
    return _judge_holdings(name, check_operator(grants, platform, partial(open_bucket, profile)), profile)


def _judge_holdings(name: str, holdings: Sequence[Holding], profile: Profile) -> list[Finding]:
    findings = []
    for holding in holdings:
        if holding.state is State.LACKING:
            message = f"{', '.join(holding.lacking)} not granted on {holding.grant.resource}"
            findings.append(bad(name, message, "see: tickdeck iam setup --print", ExitCode.NOT_PERMITTED))
        elif holding.state is State.UNKNOWN and not holding.grant.condition:
            findings.append(warn(name, f"cannot be asked on {holding.grant.resource}: {holding.note}", "see: tickdeck iam check"))
    if findings:
        return findings
    conditional = [holding for holding in holdings if holding.unknown]
    count = sum(len(holding.grant.permissions) - len(holding.unknown) for holding in holdings)
    more = "; to delete is granted under a condition, if at all" if conditional else ""
    return [good(name, f"{count} granted on project {profile.project}{more}")]


def open_bucket(profile: Profile, bucket: str) -> Store:
    """One of the profile's two buckets by its name."""
    data, state = open_stores(profile)
    return data if bucket == data.bucket else state


def check_image(profile: Profile, platform: Platform) -> list[Finding]:
    """Is the image there, under this very digest?"""
    name = "image"
    try:
        image = parse_image(require_image(profile))
        if image is None and profile.kind == "local":
            return [good(name, f"{profile.image}: VMs run the engine of this machine, nothing is pulled")]
        if image is None:
            return [warn(name, f"{profile.image} is not in Artifact Registry: nobody could be asked", "make sure that VMs can pull it")]
        platform.require_image(image)
    except NotFound:
        return [bad(name, f"{profile.image} does not exist", "push it, and write its digest into the profile", ExitCode.CONFIGURATION)]
    except NotPermitted as error:
        return [warn(name, f"cannot be looked at: {error}", "grant artifactregistry.dockerimages.get on its repository")]
    except EngineError as error:
        return [from_error(name, error)]
    return [good(name, f"{image.name}@{image.digest[:19]} is in {image.repository.name}")]


def check_boot_image(clients: ComputeClients) -> list[Finding]:
    """What would VMs boot? A family means another image every few weeks: this is the one of today."""
    name, wanted = "boot image", clients.profile.boot_image
    try:
        found = find_boot_image(clients, wanted)
    except NotFound:
        hint = "correct boot_image in the profile, e.g. projects/cos-cloud/global/images/family/cos-stable"
        if clients.profile.kind == "local":
            hint = f"{hint}; or {_RESTART_LOCAL}"
        return [bad(name, f"{wanted} does not exist", hint, ExitCode.CONFIGURATION)]
    except NotPermitted as error:
        return [warn(name, f"cannot be looked at: {error}", "make sure that VMs of the project can boot it")]
    except EngineError as error:
        found_wrong = from_error(name, error)
        return [dataclasses.replace(found_wrong, hint=_RESTART_LOCAL) if clients.profile.kind == "local" else found_wrong]
    made = f", made {found.made:%Y-%m-%d}" if found.made else ""
    return [good(name, f"{found.name.rsplit('/', 1)[-1]}{made}")]


def check_account(profile: Profile, platform: Platform) -> list[Finding]:
    """Is the account that VMs run as there, and may we let VMs run as it?"""
    name, email = "worker account", profile.worker_service_account
    if not email:
        if profile.kind == "local":
            return [good(name, "VMs of this machine run as its user")]
        hint = "make one: tickdeck iam setup --print; then name it in the profile (worker_service_account)"
        return [bad(name, "the profile names none: VMs would have no credentials", hint, ExitCode.CONFIGURATION)]
    try:
        account = account_resource(email, profile)
        findings = [_judge_account(name, email, platform.account_is_disabled(account))]
    except NotFound:
        return [bad(name, f"{email} does not exist", "make it: tickdeck iam setup --print", ExitCode.CONFIGURATION)]
    except NotPermitted as error:
        findings = [warn(name, f"{email} cannot be looked at: {error}", "grant iam.serviceAccounts.get on it")]
    except EngineError as error:
        return [from_error(name, error)]
    try:
        granted = platform.test_permissions(account, ("iam.serviceAccounts.actAs",))
    except EngineError as error:
        return [*findings, warn(name, f"whether we may act as {email} cannot be asked: {error}", "see: tickdeck iam check")]
    if not granted:
        message = f"iam.serviceAccounts.actAs is not granted on {email}"
        findings.append(bad(name, message, "grant roles/iam.serviceAccountUser on that account only", ExitCode.NOT_PERMITTED))
    troubles = [finding for finding in findings if finding.level is not Level.OK]
    return troubles or findings


def _judge_account(name: str, email: str, disabled: bool) -> Finding:
    if disabled:
        return bad(name, f"{email} is disabled", f"run: gcloud iam service-accounts enable {email}", ExitCode.CONFIGURATION)
    if email.endswith(_DEFAULT_ACCOUNT):
        return warn(name, f"{email} is the default account, and may do far more", "make one of its own: tickdeck iam setup --print")
    return good(name, f"{email} is there, and we may act as it")


def check_worker_permissions(profile: Profile, platform: Platform) -> list[Finding]:
    """Do the policies give the worker what it needs? A warning at most: what it inherits from above the project is not seen."""
    name = "worker permissions"
    if not profile.worker_service_account:
        return [good(name, "no account to look at")]
    try:
        holdings = check_worker(profile, grants_of(profile), platform, partial(open_bucket, profile))
    except EngineError as error:
        return [from_error(name, error)]
    lacking = [f"{', '.join(holding.lacking)} on {holding.grant.resource}" for holding in holdings if holding.lacking]
    unknown = [holding for holding in holdings if holding.unknown]
    if lacking:
        return [warn(name, f"no policy gives it {'; '.join(lacking)}", "see: tickdeck iam setup --print")]
    if unknown:
        return [warn(name, f"not known for {len(unknown)} of {len(holdings)} roles: {unknown[0].note}", "see: tickdeck iam check")]
    extra = [holding.note for holding in holdings if holding.note]
    if extra:
        return [warn(name, extra[0], "take it away: a worker never deletes from the lake")]
    return [good(name, f"{len(holdings)} of {len(holdings)} roles are in the policies")]


def offered_types(clients: ComputeClients, zones: Sequence[str], machine_types: Sequence[str]) -> dict[str, dict[str, int]]:
    """Machine type -> zone that offers it -> its CPUs.

    Raises:
        CloudUnavailable, NotPermitted, CloudRefused: from `cloud_errors`.
    """

    def look(pair: tuple[str, str]) -> int:
        machine_type, zone = pair
        try:
            with cloud_errors(f"look for {machine_type} in {zone}"):
                found = clients.machine_types.get(project=clients.project, zone=zone, machine_type=machine_type, **ONCE)
        except NotFound:
            return 0
        return int(found.guest_cpus)

    pairs = [(machine_type, zone) for machine_type in machine_types for zone in zones]
    with ThreadPoolExecutor(PARALLEL, thread_name_prefix="machine-types") as pool:
        counts = list(pool.map(look, pairs))
    offered: dict[str, dict[str, int]] = {machine_type: {} for machine_type, _ in pairs}
    for (machine_type, zone), cpus in zip(pairs, counts, strict=True):
        if cpus:
            offered[machine_type][zone] = cpus
    return offered


def check_machine_types(clients: ComputeClients, fleet: Fleet) -> list[Finding]:
    """Which of the zones offer which of the types? A launch needs one pair."""
    name = "machine types"
    try:
        there = read_region(clients).zones
        zones = clients.profile.zones or there
        strays = [zone for zone in zones if zone not in there]
        offered = offered_types(clients, [zone for zone in zones if zone in there], fleet.machine_types)
    except EngineError as error:
        return [from_error(name, error)]
    if strays:
        hint = f"zones are {', '.join(there)}"
        return [bad(name, f"region {clients.region} has no zone {', '.join(strays)}", hint, ExitCode.CONFIGURATION)]
    nowhere = [machine_type for machine_type, where in offered.items() if not where]
    told = "; ".join(f"{machine_type} in {_short_zones(where, zones)}" for machine_type, where in offered.items() if where)
    if not told:
        message = f"no zone of {', '.join(zones)} offers {' or '.join(fleet.machine_types)}"
        return [bad(name, message, "name other types (machine_types) or zones in the profile", ExitCode.CONFIGURATION)]
    if nowhere:
        return [warn(name, f"{told}; nowhere: {', '.join(nowhere)}", "take it out of machine_types")]
    return [good(name, told)]


def _short_zones(where: Iterable[str], zones: Sequence[str]) -> str:
    found = list(where)
    return f"all {len(found)} zones" if len(found) == len(zones) > 1 else ", ".join(found)


def check_quota(clients: ComputeClients, fleet: Fleet) -> list[Finding]:
    """Does the fleet fit into what is free? One line for each quota that is short, each with how many VMs fit."""
    name = "quota"
    try:
        region = read_region(clients)
        quotas = (*region.quotas, *read_project_quotas(clients))
        zones = [zone for zone in clients.profile.zones or region.zones if zone in region.zones]
        offered = offered_types(clients, zones, fleet.machine_types)
    except EngineError as error:
        return [from_error(name, error)]
    cpus = {machine_type: max(where.values()) for machine_type, where in offered.items() if where}
    uses = compare(fleet, quotas, cpus)
    short = [use for use in uses if use.is_short]
    if not short:
        tight = min(uses, key=lambda use: use.fitting, default=None)
        if tight is None:
            return [warn(name, f"{clients.region} names no quota that we know", "look at the project's quotas")]
        return [good(name, f"{_vms(fleet.vms)} fit in {clients.region}; the first to run out would be {tight}")]
    most = most_vms(uses) or 0
    hint = f"launch {_vms(most)}: --vms {most}, or --shards {most}; or ask for more quota" if most else "free some, or ask for more quota"
    return [bad(name, f"{use}: {use.fitting} of {_vms(fleet.vms)} fit", hint, ExitCode.CONFIGURATION) for use in short]


def check_addresses(profile: Profile, fleet: Fleet) -> list[Finding]:
    """Do the source's keys allow as many addresses as the fleet has?"""
    name = "addresses"
    if profile.kind == "local":
        return [good(name, "all VMs download from this machine's one address")]
    if fleet.vms == 1:
        return [good(name, "1 VM")]
    limit = profile.most_addresses if fleet.external_ip else 0
    if not limit:
        known = dataclasses.replace(profile, external_ip=fleet.external_ip, addresses_per_key=0)
        hint = "ask the vendor, and set addresses_per_key in the profile: then plans keep to it"
        return [
            warn(name, f"{_vms(fleet.vms)}; {known.address_warning}", hint if fleet.external_ip else "give the NAT as many as they allow")
        ]
    keys = f"{profile.api_keys} API key{'' if profile.api_keys == 1 else 's'} of {profile.addresses_per_key} addresses each"
    if fleet.vms > limit:
        message = f"{_vms(fleet.vms)} download from as many addresses; {keys} allow {limit}"
        return [bad(name, message, f"launch {_vms(limit)}: --vms {limit}; or get more keys", ExitCode.CONFIGURATION)]
    return [good(name, f"{_vms(fleet.vms)}; {keys} allow {limit}")]


def check_secret(profile: Profile, platform: Platform) -> list[Finding]:
    """Is the version of the secret there and enabled? Its value is not asked for."""
    name, text = "secret", profile.tardis_secret
    if not text:
        if profile.kind == "local":
            return [good(name, "VMs of this machine get the key from the local cloud")]
        return [warn(name, "the profile names none: VMs get first days of months only", "set tardis_secret in the profile")]
    try:
        secret = parse_secret(text)
        state = platform.secret_state(secret)
    except NotFound:
        return [bad(name, f"{text} does not exist", "add a version, or correct tardis_secret in the profile", ExitCode.CONFIGURATION)]
    except NotPermitted as error:
        return [warn(name, f"{text} cannot be looked at: {error}", "grant secretmanager.versions.get on it")]
    except EngineError as error:
        return [from_error(name, error)]
    if state != ENABLED:
        return [bad(name, f"{text} is {state.lower() or 'in no state'}", "enable it, or name another version", ExitCode.CONFIGURATION)]
    if secret.version == "latest":
        return [warn(name, f"{text} is there and enabled", "name a version: VMs of one run may get different keys")]
    return [good(name, f"{text} is there and enabled")]


def check_key(profile: Profile, settings: Settings, clock: Clock) -> list[Finding]:
    """Does the source take the key? One cheap call, if this machine has a key; VMs may have theirs from the secret."""
    if not settings.text("api_key") and profile.tardis_secret:
        return [good("source key", "VMs read it from the secret; this machine has none to try")]
    return cloud.check_key(settings, clock)


def _vms(count: int) -> str:
    return f"{count} VM{'' if count == 1 else 's'}"


@dataclass(frozen=True, slots=True)
class Preflight:
    """What the checks of a launch found."""

    findings: tuple[Finding, ...]

    @property
    def wrong(self) -> tuple[Finding, ...]:
        """What would make the launch fail, worst first: what has to be mended first comes first."""
        return tuple(sorted((finding for finding in self.findings if finding.level is Level.BAD), key=lambda found: -found.code))

    @property
    def code(self) -> ExitCode:
        """What a program exits with because of it; 0 if nothing is wrong."""
        return verdict(self.findings)

    def error(self) -> PreflightFailed:
        """The first of what is wrong, and how much more there is, for who was about to launch. Only where something is wrong."""
        first = self.wrong[0]
        more = f" ({len(self.wrong) - 1} more)" if len(self.wrong) > 1 else ""
        return PreflightFailed(f"{first.check}{more}: {first.message}", hint=first.hint, code=first.code)


def record_skip(
    profile: Profile, state: Store, preflight: Preflight, *, plan: str, reason: str, armed: bool = False, clock: Clock = utc_now
) -> None:
    """Write down that somebody launches although the checks said no, and why.

    Raises:
        WriteRefused: if the profile may not write.
        StoreError, NotPermitted: if it cannot be written; then there must be no launch.
    """
    require_writable(profile, armed=armed)
    items = tuple(AuditItem(kind="check", name=finding.check, why=finding.line) for finding in preflight.wrong)
    intent = write_intent(state, profile, "skip-preflight", items, clock=clock, plan=plan, reason=reason)
    write_receipt(state, intent, items, f"launched although {len(items)} checks failed: {reason}", clock=clock)
