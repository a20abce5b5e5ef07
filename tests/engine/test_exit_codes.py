"""What an exit code means, in the words that people read."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from engine.errors import ExitCode, describe_exit


@pytest.mark.parametrize("code", list(ExitCode))
def test_every_documented_code_says_what_it_means(code: ExitCode) -> None:
    assert describe_exit(code).startswith(f"exit code {int(code)} (")


def test_a_code_of_a_shell_names_the_signal_and_an_unknown_one_stands_bare() -> None:
    assert describe_exit(137) == "exit code 137 (ended by SIGKILL)"
    assert describe_exit(3) == "exit code 3"
    assert describe_exit(128 + 99) == "exit code 227"


LATE_SIGNAL = """
import os, sys
class Late:
    def __del__(self, kill=os.kill, process=os.getpid(), signum=int(sys.argv[1])):
        kill(process, signum)
late = Late()
from engine.cli import main
main(["--version"])
"""


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_an_interpreter_that_is_ending_changes_no_exit_code(signum: signal.Signals) -> None:
    done = subprocess.run([sys.executable, "-c", LATE_SIGNAL, str(int(signum))], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (ExitCode.DONE, "")
