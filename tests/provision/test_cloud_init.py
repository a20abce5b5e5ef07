"""The user-data of a VM, and the script that it runs, with stand-ins for curl and docker."""

from __future__ import annotations

import base64
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

import pytest

from engine.errors import ConfigurationError
from provision.cloud_init import hash_user_data, registry_of, render_user_data
from tests.provision.made_up_fleet import DIGEST

IMAGE = f"asia-northeast1-docker.pkg.dev/p/tickdeck/engine@{DIGEST}"
SECRET = "projects/p/secrets/tardis/versions/7"
KEY = "TD.very-secret"
SCRIPT = str(files("provision") / "worker.sh")

CURL = """#!/bin/bash
stdin=""
for argument in "$@"; do [ "$argument" = "-" ] && stdin="$(cat)"; done
for last in "$@"; do :; done
echo "curl $*" >>"$CALLS"
case "$last" in
  */attributes/tickdeck-env) [ -n "${NO_ENV:-}" ] && exit 22; printf 'TICKDECK_RUN=r1\\nBATCH_SIZE=5000\\n' ;;
  */token) echo '{"access_token":"ya29.token","expires_in":3599,"token_type":"Bearer"}' ;;
  *:access) [[ "$stdin" == *ya29.token* ]] || exit 22; [ -n "${NO_SECRET:-}" ] && exit 22
    printf '{\\n  "name": "x",\\n  "payload": {\\n    "data": "%s"\\n  }\\n}\\n' "$SECRET_BASE64" ;;
  *) exit 22 ;;
esac
"""

DOCKER = """#!/bin/bash
echo "docker $*" >>"$CALLS"
if [ "$1" = pull ]; then
  [ "${PULLS_FAIL:-0}" -gt "$(grep -c 'docker pull' "$CALLS")" ] && exit 1
  exit 0
fi
if [ "$1" = stop ]; then
  echo stopped >"$CALLS.stopped"
  exit 0
fi
while [ $# -gt 0 ]; do [ "$1" = --env-file ] && cat "$2" >>"$SEEN"; shift; done
if [ -n "${WORKER_WAITS:-}" ]; then
  echo up >"$CALLS.up"
  until [ -e "$CALLS.stopped" ]; do /bin/sleep 0.02; done
fi
exit "${WORKER_EXIT:-0}"
"""

SYSTEMCTL = """#!/bin/bash
echo "systemctl $*" >>"$CALLS"
[ "$1" = is-system-running ] && echo "${SYSTEM:-running}"
exit 0
"""

QUIET = """#!/bin/bash
echo "$(basename "$0") $*" >>"$CALLS"
"""


@dataclass
class Host:
    """A host with made-up programs."""

    folder: Path

    def run(self, **environment: str) -> subprocess.CompletedProcess[str]:
        return self._run("bash", SCRIPT, **environment)

    def unit(self, text: str, *, terminate: bool = False, **environment: str) -> tuple[int, str]:
        """Run the unit of a user-data document as systemd does: start, SIGTERM if asked once the container is up, then ExecStopPost.

        Returns the exit code of the main process and what it said.
        """
        script = self.folder / "worker.sh"
        script.write_text(script_of(text))
        lines = text.split("[Service]")[1].splitlines()
        settings = [line.strip().partition("=")[::2] for line in lines if "=" in line and not line.strip().startswith("#")]
        own = dict(value.split("=", 1) for key, value in settings if key == "Environment")
        programs = {key: value.replace("/etc/tickdeck/worker.sh", str(script)).split() for key, value in settings if key.startswith("Exec")}
        merged = self._environment(**own | {"RUNTIME_DIRECTORY": str(self.folder / "runtime")} | environment)
        main = subprocess.Popen(programs["ExecStart"], env=merged, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if terminate:
            ends = time.monotonic() + 30
            while not (self.folder / "calls.up").exists():
                assert time.monotonic() < ends, "the container never started"
                time.sleep(0.02)
            main.send_signal(signal.SIGTERM)
        said, _ = main.communicate(timeout=30)
        after = subprocess.run(programs["ExecStopPost"], env=merged, capture_output=True, text=True, timeout=30, check=True)
        return main.returncode, said + after.stdout

    def _run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        merged = self._environment(
            TICKDECK_IMAGE=environment.pop("TICKDECK_IMAGE", IMAGE), TICKDECK_REGISTRY="asia-northeast1-docker.pkg.dev", **environment
        )
        return subprocess.run(arguments, env=merged, capture_output=True, text=True, timeout=30, check=False)

    def _environment(self, **environment: str) -> dict[str, str]:
        return {
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "RUNTIME_DIRECTORY": str(self.folder / "runtime"),
            "CALLS": str(self.folder / "calls"),
            "SEEN": str(self.folder / "seen"),
            "SECRET_BASE64": base64.b64encode(KEY.encode()).decode(),
            **environment,
        }

    @property
    def calls(self) -> str:
        return (self.folder / "calls").read_text()

    @property
    def seen(self) -> str:
        """What the container's environment files held."""
        return (self.folder / "seen").read_text()


@pytest.fixture
def host(tmp_path: Path) -> Host:
    (tmp_path / "bin").mkdir()
    (tmp_path / "calls").touch()
    programs = {
        "curl": CURL,
        "docker": DOCKER,
        "docker-credential-gcr": QUIET,
        "sleep": QUIET,
        "systemctl": SYSTEMCTL,
        "systemd-run": QUIET,
    }
    for name, text in programs.items():
        program = tmp_path / "bin" / name
        program.write_text(text)
        program.chmod(0o755)
    return Host(tmp_path)


def script_of(text: str) -> str:
    """The script inside a user-data document."""
    block = text.split("  content: |\n", 1)[1].split("\n- path:", 1)[0]
    return "".join(line.removeprefix("    ") + "\n" for line in block.splitlines())


def test_the_document_runs_the_image_by_digest_once_and_powers_the_vm_off() -> None:
    text = render_user_data(IMAGE, secret=SECRET)
    assert text.startswith("#cloud-config\n")
    assert f"Environment=TICKDECK_IMAGE={IMAGE}\n" in text
    assert f"Environment=TICKDECK_SECRET={SECRET}\n" in text
    assert "ExecStart=/bin/bash /etc/tickdeck/worker.sh\n" in text
    assert "ExecStopPost=/bin/bash /etc/tickdeck/worker.sh end\n" in text
    # SIGTERM goes to the script alone, which hands it to docker; the container's processes do not hear it twice.
    assert "KillMode=mixed\n" in text
    assert "Restart=no" in text
    assert "@" not in text.replace("engine@sha256", "")


def test_the_script_in_the_document_is_the_file_line_by_line() -> None:
    text = render_user_data(IMAGE)
    assert script_of(text).splitlines() == Path(SCRIPT).read_text().splitlines()
    assert "\t" not in text


def test_another_image_makes_another_hash() -> None:
    one, other = render_user_data(IMAGE), render_user_data(IMAGE.replace("engine@", "worker@"))
    assert hash_user_data(one) == hash_user_data(render_user_data(IMAGE))
    assert hash_user_data(one) != hash_user_data(other)


@pytest.mark.parametrize("image", ["", "a b", "a\nb", "a;reboot", "$(reboot)", "a'b", "-a"])
def test_nothing_but_an_image_name_reaches_the_unit_file(image: str) -> None:
    with pytest.raises(ConfigurationError):
        render_user_data(image)


@pytest.mark.parametrize("secret", ["TD.key", "projects/p/secrets/s", "projects/p/secrets/s/versions/7\nUser=x"])
def test_nothing_but_the_name_of_a_secret_version_reaches_the_unit_file(secret: str) -> None:
    with pytest.raises(ConfigurationError):
        render_user_data(IMAGE, secret=secret)


def test_credentials_are_configured_for_googles_registries_only() -> None:
    assert registry_of(IMAGE) == "asia-northeast1-docker.pkg.dev"
    assert registry_of("docker.io/library/python") == ""
    assert registry_of("tickdeck-engine") == ""


def test_the_worker_gets_the_metadata_item_as_its_environment_and_its_exit_code_is_the_units(host: Host) -> None:
    ended = host.run(WORKER_EXIT="75")
    assert ended.returncode == 75
    assert "exit code 75" in ended.stdout
    assert host.seen == "TICKDECK_RUN=r1\nBATCH_SIZE=5000\n"
    assert f"docker pull --quiet {IMAGE}" in host.calls
    assert re.search(rf"docker run --rm .*--log-driver=local .*{re.escape(IMAGE)} work\n", host.calls)


def test_the_key_comes_from_secret_manager_and_is_in_no_argument_and_no_file_afterwards(host: Host) -> None:
    ended = host.run(TICKDECK_SECRET=SECRET)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert f"TARDIS_API_KEY={KEY}\n" in host.seen
    assert KEY not in host.calls + ended.stdout + ended.stderr
    assert "ya29.token" not in host.calls
    assert not (host.folder / "runtime" / "secret").exists()


def test_a_secret_that_may_not_be_read_stops_the_worker_with_77_and_says_what_to_grant(host: Host) -> None:
    ended = host.run(TICKDECK_SECRET=SECRET, NO_SECRET="1")
    assert ended.returncode == 77
    assert "secretAccessor" in ended.stdout
    assert "docker run" not in host.calls


def test_a_vm_without_its_metadata_item_stops_with_78(host: Host) -> None:
    ended = host.run(NO_ENV="1")
    assert ended.returncode == 78
    assert "docker run" not in host.calls


def test_a_pull_that_fails_is_tried_again(host: Host) -> None:
    assert host.run(PULLS_FAIL="3").returncode == 0
    assert host.calls.count("docker pull") == 3
    assert "docker run" in host.calls


def test_a_pull_that_goes_on_failing_is_given_up_with_69_after_growing_pauses(host: Host) -> None:
    given_up = host.run(PULLS_FAIL="99")
    assert given_up.returncode == 69
    assert "artifactregistry.reader" in given_up.stdout
    assert host.calls.count("docker pull") == 5
    assert re.findall(r"sleep (\d+)", host.calls) == ["5", "10", "15", "20"]
    assert "docker run" not in host.calls


@pytest.mark.parametrize("code", [0, 75, 77])
def test_the_vm_is_powered_off_however_its_worker_ends(host: Host, code: int) -> None:
    ended, said = host.unit(render_user_data(IMAGE, secret=SECRET), WORKER_EXIT=str(code))
    assert ended == code
    assert f"exit code {code}" in said
    assert host.calls.splitlines()[-1] == "systemctl --no-block poweroff"
    assert f"docker pull --quiet {IMAGE}" in host.calls
    assert f"TARDIS_API_KEY={KEY}" in host.seen


@pytest.mark.parametrize("trouble", [{"PULLS_FAIL": "99"}, {"NO_ENV": "1"}, {"NO_SECRET": "1"}])
def test_a_vm_whose_worker_cannot_start_is_powered_off_too(host: Host, trouble: dict[str, str]) -> None:
    ended, _ = host.unit(render_user_data(IMAGE, secret=SECRET), **trouble)
    assert ended in (69, 77, 78)
    assert host.calls.splitlines()[-1] == "systemctl --no-block poweroff"


def test_sigterm_becomes_docker_stop_and_the_units_code_is_still_the_workers(host: Host) -> None:
    ended, said = host.unit(render_user_data(IMAGE), terminate=True, WORKER_WAITS="1", WORKER_EXIT="75")
    assert ended == 75
    assert "told to stop" in said
    assert host.calls.count("docker stop -t 25 tickdeck") == 1
    assert host.calls.splitlines()[-1] == "systemctl --no-block poweroff"


def in_seconds(seconds: int) -> datetime:
    return datetime.fromtimestamp(time.time() + seconds, UTC)


@pytest.mark.parametrize("code", [0, 77])
def test_a_kept_vm_is_powered_off_at_the_end_of_its_time_and_not_before(host: Host, code: int) -> None:
    _, said = host.unit(render_user_data(IMAGE, keep_until=in_seconds(3600)), WORKER_EXIT=str(code))
    assert "systemctl --no-block poweroff" not in host.calls
    (later,) = re.findall(r"systemd-run --on-active=(\d+) systemctl poweroff", host.calls)
    assert 3000 < int(later) <= 3600
    assert f"kept for {later} s more" in said


def test_a_kept_vm_whose_time_is_over_or_whose_host_shuts_down_is_powered_off(host: Host) -> None:
    host.unit(render_user_data(IMAGE, keep_until=in_seconds(-5)))
    assert host.calls.splitlines()[-1] == "systemctl --no-block poweroff"
    host.unit(render_user_data(IMAGE, keep_until=in_seconds(3600)), SYSTEM="stopping")
    assert host.calls.splitlines()[-1] == "systemctl --no-block poweroff"
    assert "systemd-run" not in host.calls


def test_shellcheck_has_nothing_to_say() -> None:
    checked = subprocess.run([Path(sys.executable).with_name("shellcheck"), SCRIPT], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout
