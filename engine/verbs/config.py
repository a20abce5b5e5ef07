"""`engine config`: every setting, its value and where it came from."""

from __future__ import annotations

import json

import click

from engine.settings import TABLE, resolve


@click.group("config")
def config_command() -> None:
    """Settings of the engine."""


@config_command.command("show")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.option("--vm", "on_vm", is_flag=True, help="With the defaults of a VM.")
def config_show(as_json: bool, on_vm: bool) -> None:
    """Print every setting, its value and where it came from."""
    settings = resolve(on_vm=on_vm)
    rows = []
    for setting in TABLE:
        value = settings.values[setting.name]
        text = "[set]" if setting.secret and value.text else value.text
        rows.append({"name": setting.environment[0], "value": text, "origin": value.origin, "help": setting.help})
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        click.echo(f"{row['name']:<{width}}  {row['value'] or '-':<32}  {row['origin']:<28}  {row['help']}")
