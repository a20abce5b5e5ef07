"""What an exit code means, in the words that people read."""

from __future__ import annotations

import pytest

from engine.errors import ExitCode, describe_exit


@pytest.mark.parametrize("code", list(ExitCode))
def test_every_documented_code_says_what_it_means(code: ExitCode) -> None:
    assert describe_exit(code).startswith(f"exit code {int(code)} (")


def test_a_code_of_a_shell_names_the_signal_and_an_unknown_one_stands_bare() -> None:
    assert describe_exit(137) == "exit code 137 (ended by SIGKILL)"
    assert describe_exit(3) == "exit code 3"
    assert describe_exit(128 + 99) == "exit code 227"
