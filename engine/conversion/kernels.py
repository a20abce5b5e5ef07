"""Arrow's compute functions by their names, without `pyarrow.compute`.

That module makes a documented Python function of each of three hundred when it is imported: 60 ms for every process, a fifth of what
a conversion takes to begin. What it calls is called here directly.
"""

from __future__ import annotations

import math
from typing import Any

import pyarrow as pa  # noqa: F401 - waits where another thread is just importing it; the line below alone would not
from pyarrow._compute import MatchSubstringOptions, call_function


def compute(function: str, *arguments: Any) -> Any:
    """The result of an Arrow function with its default options (Arrow docs, "Compute Functions").

    Raises:
        KeyError: if there is no such function.
        pyarrow.ArrowInvalid: if it does not take these arguments.
    """
    return call_function(function, list(arguments))


def holds_text(texts: Any, part: str) -> bool:
    """Whether one of the texts has `part` in it, in either case."""
    return bool(compute("any", call_function("match_substring", [texts], MatchSubstringOptions(part, ignore_case=True))).as_py())


def is_surely_finite(numbers: Any) -> bool:
    """Whether their sum proves that none is NaN or infinite, for a tenth of what looking at each costs. False proves nothing."""
    return math.isfinite(compute("sum", numbers).as_py() or 0.0)
