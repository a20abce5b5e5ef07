"""`tickdeck config`: what the profile says and where each value came from."""

from __future__ import annotations

import dataclasses

import click

from console.verbs.options import json_option, profile_option
from engine.errors import ExitCode
from engine.verbs.printing import print_json, print_table
from provision.config_file import config_path
from provision.notify import host_of
from provision.profile import SECRET_FIELDS, resolve_profile


@click.group("config")
def config_command() -> None:
    """Profiles and settings."""


@config_command.command("show")
@profile_option
@json_option
def show(profile_name: str, as_json: bool) -> int:
    """Every value of the active profile, with its origin."""
    profile = resolve_profile(profile_name or None)
    rows = []
    for field in dataclasses.fields(profile):
        if field.name in ("origins", "endpoints"):
            continue
        value = getattr(profile, field.name)
        if field.name in SECRET_FIELDS:
            value = tuple(host_of(address) for address in value)
        text = ",".join(value) if isinstance(value, tuple) else str(value)
        rows.append({"name": field.name, "value": text, "origin": profile.origins.get(field.name, "default")})
    if as_json:
        print_json({"file": str(config_path()), "values": rows})
        return ExitCode.DONE
    click.echo(f"file {config_path()}{'' if config_path().exists() else ' (not there: defaults)'}\n")
    print_table(("name", "value", "origin"), [(row["name"], row["value"] or "-", row["origin"]) for row in rows])
    return ExitCode.DONE
