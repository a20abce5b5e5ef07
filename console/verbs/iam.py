"""`tickdeck iam`: which permissions operator and worker need, which they have, and the lines that grant them."""

from __future__ import annotations

import shlex
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from console.verbs.options import headless_session, json_option, profile_option
from engine.errors import ExitCode, UsageError
from engine.verbs.printing import print_json, print_table

if TYPE_CHECKING:
    from console.session import Session
    from provision.permissions import Grant, Holding, Setup


@click.group("iam")
def iam_command() -> None:
    """What accounts need, have, and how it is granted. Never changes a policy."""


@iam_command.command("check")
@profile_option
@json_option
def check(*, profile_name: str, as_json: bool) -> int:
    """What the current credentials and the worker's account have and lack, by role and resource.

    The operator's are asked of each resource. The worker's are read from policies, as far as they may be read; what it inherits from a
    folder or the organisation is not seen. Exits with 77 if something is lacking.
    """
    holdings = find_holdings(headless_session(profile_name))
    if as_json:
        print_json([_holding_json(holding) for holding in holdings])
    else:
        rows = [(holding.state, holding.grant.account, holding.grant.role, holding.grant.resource, _told(holding)) for holding in holdings]
        print_table(("", "account", "role", "on", ""), rows)
    lacking = [holding for holding in holdings if holding.lacking]
    if not lacking:
        return ExitCode.DONE
    first, more = lacking[0], f" ({len(lacking) - 1} more)" if len(lacking) > 1 else ""
    message = f"the {first.grant.account} lacks {', '.join(first.lacking)} on {first.grant.resource}{more}"
    click.echo(f"tickdeck: {message} -> see: tickdeck iam setup --print", err=True)
    return ExitCode.NOT_PERMITTED


def find_holdings(session: Session) -> list[Holding]:
    """Of both accounts, operator first."""
    from provision.permissions import check_operator, check_worker, grants_of
    from provision.platform import Platform
    from provision.preflight import open_bucket

    if session.profile.kind == "local":
        _ = session.buckets  # made on first use
    grants, platform = grants_of(session.profile), Platform(session.profile)
    stores = partial(open_bucket, session.profile)
    return [*check_operator(grants, platform, stores), *check_worker(session.profile, grants, platform, stores)]


def _told(holding: Holding) -> str:
    parts = [f"lacks {', '.join(holding.lacking)}"] if holding.lacking else []
    parts += [f"not known: {', '.join(holding.unknown)}"] if holding.unknown else []
    count = len(holding.grant.permissions) - len(holding.lacking) - len(holding.unknown)
    parts = parts or [f"{count} permission{'' if count == 1 else 's'}"]
    return "; ".join([*parts, holding.note] if holding.note else parts)


def _grant_json(grant: Grant) -> dict[str, Any]:
    return {
        "account": grant.account,
        "role": grant.role,
        "on": {"kind": grant.resource.kind, "project": grant.resource.project, "name": grant.resource.name},
        "permissions": grant.permissions,
        "condition": None if grant.condition is None else {"title": grant.condition.title, "expression": grant.condition.expression},
        "why": grant.why,
    }


def _holding_json(holding: Holding) -> dict[str, Any]:
    more = {"state": holding.state.name.lower(), "lacking": holding.lacking, "unknown": holding.unknown, "note": holding.note}
    return {**_grant_json(holding.grant), **more}


@iam_command.command("setup")
@click.option("--print", "as_lines", is_flag=True, help="Print the commands.")
@click.option(
    "--operator", default="", metavar="MEMBER", help="Who operates: user:EMAIL, group:EMAIL [the profile's owner, if it is an email]."
)
@profile_option
@json_option
def setup(*, profile_name: str, as_lines: bool, operator: str, as_json: bool) -> int:
    """The exact bindings of least privilege, as gcloud commands. Runs none of them: a person who may reads and runs them."""
    from provision.permissions import plan_setup
    from provision.profile import resolve_profile

    if not (as_lines or as_json):
        raise UsageError("setup changes nothing by itself", hint="print what to run: tickdeck iam setup --print, or --json")
    profile = resolve_profile(profile_name or None)
    if not operator:
        if "@" not in profile.owner:
            raise UsageError(
                f"who operates is not known: the profile's owner is {profile.owner!r}", hint="say --operator user:EMAIL or group:EMAIL"
            )
        operator = f"user:{profile.owner}"
    planned = plan_setup(profile, operator)
    if as_json:
        print_json(_setup_json(planned))
        return ExitCode.DONE
    for step in planned.steps:
        click.echo(f"# {step.why}\n{shlex.join(step.argv)}")
    for line in planned.left_out:
        click.echo(f"# left out: {line}")
    return ExitCode.DONE


def _setup_json(planned: Setup) -> dict[str, Any]:
    return {
        "bindings": [_grant_json(grant) for grant in planned.grants],
        "steps": [{"why": step.why, "argv": step.argv} for step in planned.steps],
        "left_out": planned.left_out,
    }
