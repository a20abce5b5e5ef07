"""A mistyped word and the known one that it probably means. Small: both programs import it before they do anything."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_LARGE = 5_000
"""Ids from which on the nearest is looked for among those with the same first letter only: difflib takes 10 us for each."""


def nearest(word: str, known: Iterable[str], *, what: str) -> str:
    """A hint: the known word that `word` probably means, or a few known ones."""
    by_fold = {name.casefold(): name for name in known}
    folded = word.casefold()
    candidates = list(by_fold)
    if len(candidates) > _LARGE:
        candidates = [name for name in candidates if name[:1] == folded[:1] and abs(len(name) - len(folded)) <= 3][:_LARGE]
    close = difflib.get_close_matches(folded, candidates, n=1, cutoff=0.5)
    if close:
        return f"did you mean {by_fold[close[0]]}?"
    if not by_fold:
        return f"no {what} are known yet"
    names = sorted(by_fold.values())
    return f"known {what}: {', '.join(names[:8])}{', ...' if len(names) > 8 else ''}"
