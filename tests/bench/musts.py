"""What a benchmark must reach, beside what it reached: the last table of `make bench`.

Apart from the benchmarks, because all of them speak of their musts in the same words. A must that is not met fails nothing: a busy machine
is no failure, and a figure that is not reached has to be seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

NAME_WIDTH = 72


@dataclass(frozen=True, slots=True)
class Must:
    """One row of the table."""

    row: str
    """What is measured, against what."""
    figure: float
    """What came out."""
    must: float
    """The border: the most that is allowed, or the least if `at_least`."""
    at_least: bool = False
    unit: str = ""
    """Empty for a ratio."""

    @property
    def met(self) -> bool:
        """Whether the figure is on the right side of the border, or on it."""
        return self.figure >= self.must if self.at_least else self.figure <= self.must

    def document(self) -> dict[str, Any]:
        """JSON-able, with `met`."""
        return asdict(self) | {"met": self.met}


def documents(musts: Iterable[Must]) -> list[dict[str, Any]]:
    """What a benchmark's `run` returns under the key `musts`."""
    return [must.document() for must in musts]


def lines(musts: Iterable[Mapping[str, Any]]) -> list[str]:
    """One line a must, for a person."""
    return [_line(must) for must in musts]


def summary(benches: Mapping[str, Mapping[str, Any]], *, quick: bool) -> str:
    """Every must of a run in one table; empty if there is none.

    Args:
        benches: figures by the name of the benchmark.
        quick: whether sizes were small: then the figures say only that it works.
    """
    found = [(name, must) for name, figures in benches.items() for must in figures.get("musts", ())]
    if not found:
        return ""
    missed = sum(not must["met"] for _, must in found)
    head = f"{'benchmark':<12}{'row':<{NAME_WIDTH}}{'figure':>10}   must"
    foot = f"{len(found) - missed} of {len(found)} met" + (" (--quick: small sizes, one round; no figure to go by)" if quick else "")
    return "\n".join([head, *(f"{name:<12}{_line(must, indent='')}" for name, must in found), foot])


def _line(must: Mapping[str, Any], *, indent: str = "  ") -> str:
    unit = f" {must['unit']}" if must["unit"] else ""
    border = f"{'>=' if must['at_least'] else '<='} {must['must']:g}{unit}"
    return f"{indent}{must['row']:<{NAME_WIDTH}}{must['figure']:>10.2f}   {border:<14}{'met' if must['met'] else 'NOT MET'}"
