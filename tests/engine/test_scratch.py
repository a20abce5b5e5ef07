"""Temporary files go with the process that made them, also with one that was killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from engine.errors import ConfigurationError
from engine.scratch import PREFIX, Scratch

HOLD = """
import sys, time
from pathlib import Path
from engine.scratch import Scratch
scratch = Scratch(Path(sys.argv[1]))
(scratch.path / "half.parquet").write_bytes(b"half")
print(scratch.path, flush=True)
time.sleep(600)
"""


def test_a_closed_scratch_leaves_nothing(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path)
    (scratch.path / "folder").mkdir()
    (scratch.path / "folder" / "file").write_bytes(b"x")
    scratch.close()
    scratch.close()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_goes_when_the_next_one_starts_and_not_before(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        held = Path(process.stdout.readline().strip())
        beside = Scratch(tmp_path)
        assert (held / "half.parquet").read_bytes() == b"half"
        beside.close()
        process.send_signal(signal.SIGKILL)
    assert held.is_dir()
    following = Scratch(tmp_path)
    assert list(tmp_path.iterdir()) == [following.path]
    following.close()


def test_only_folders_of_its_own_kind_are_removed(tmp_path: Path) -> None:
    (tmp_path / "tickdeck-notes").mkdir()
    (tmp_path / f"{PREFIX}file").write_bytes(b"somebody's")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / f"{PREFIX}link").symlink_to(tmp_path / "elsewhere")
    Scratch(tmp_path).close()
    assert {path.name for path in tmp_path.iterdir()} == {"tickdeck-notes", f"{PREFIX}file", f"{PREFIX}link", "elsewhere"}


def test_a_place_where_nothing_can_be_made_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="nowhere"):
        Scratch(tmp_path / "nowhere")
