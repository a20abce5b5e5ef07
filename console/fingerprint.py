"""What is left of a message without what differs from file to file: the same trouble with another file has the same fingerprint.

Pure, and quick on at most 300 characters, so that a storm of errors is grouped as it comes. What is masked: addresses (URL, host and port,
e-mail, IPv4, IPv6), paths, quoted text, days and times, ids (UUID, hexadecimal, names with digits), symbols (BTC-PERPETUAL, ETHUSDT),
numbers with their units, and the values that the line itself names as venue, type, day or symbol. What stays: words, constants
(`PERMISSION_DENIED`), and the few numbers that are names (`HTTP 502`, `exit 78`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from hashlib import blake2s
from typing import Final

MASK: Final = "…"
NUMBER: Final = "#"
LONGEST: Final = 300
"""Characters that are looked at."""
NAMED_FIELDS: Final = ("venue", "data_type", "day", "symbol", "path", "object", "url", "vm", "file")
"""Fields whose values differ from file to file."""

_QUOTED = re.compile(r"(?<!\w)'[^'\n]{0,200}'(?!\w)|\"[^\"\n]{0,200}\"|`[^`\n]{0,200}`")
_TOKEN = re.compile(
    r"""
      (?P<mask>
          \b[a-zA-Z][\w+.-]{0,20}://[^"'<>)\],;]+
        | \b[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)+\b
        | (?<![\w.])(?:[\w.=+@-]*/){2,}[\w.=+@-]* | (?<![\w./])[/~][\w.=+@-]{2,}(?:/[\w.=+@-]*)*
        | \b\d{4}[-/]\d{2}[-/]\d{2}(?:T\d{2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?
        | \b\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?Z?\b
        | (?<![\w:])(?:\[[0-9a-fA-F:]{2,45}\](?::\d{1,5})?|(?=[0-9a-fA-F]*:[0-9a-fA-F]*:)[0-9a-fA-F:]*:[0-9a-fA-F:]*)(?![\w:])
        | \b\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5})?\b
        | \b(?:[a-zA-Z][\w-]{0,60}\.){1,8}[a-zA-Z][\w-]{0,60}:\d{1,5}\b | \blocalhost:\d{1,5}\b
        | \b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b
        | \b(?=[a-fA-F]*\d)(?=\d*[a-fA-F])[0-9a-fA-F]{6,}\b
        | \b(?=[A-Z0-9:_.-]*\d|[A-Z]+-[A-Z]|[A-Z_]{2,}(?:USD[TC]?|BUSD|BTC|ETH|EUR|JPY)\b)(?=[0-9:_.-]*[A-Z])
          [A-Z0-9][A-Z0-9:_.-]{2,}(?<=[A-Z0-9])(?:/[A-Z0-9]{2,})?\b
        | \b[A-Z0-9]{2,12}/[A-Z]{2,10}\b
        | \b(?:[a-z]\w*-)+(?=[\w-]*\d)\w+(?:-\w+)*\b
      )
    | (?P<number> (?<![\w.])[-+]?(?:0x[0-9a-fA-F]+|\d[\d,_]*(?:\.\d+)?(?:[eE][+-]?\d+)?)
        (?:[kMGT]i?B(?:/s)?|[mun\u00b5]?s|[kMGTmhdB%])?(?![\w]) )
    """,
    re.VERBOSE,
)
_UNIT = re.compile(r"#\s(?:[kMGT]i?B(?:/s)?|[mun\u00b5]?s|B|%|bytes|seconds|minutes|hours|days)(?![\w])")
_RUN = re.compile(rf"{MASK}(?:[\s,/:()\[\]|-]*{MASK})+")
_BEFORE_CODES: Final = frozenset({"http", "status", "exit", "code", "errno", "exited"})
"""Words behind which a short number is a name."""
_PUNCTUATION: Final = "()[]{}.,;:"


def fingerprint(message: str, named: Mapping[str, object] | None = None) -> str:
    """The first line of a message with what differs masked: `…` for names, `#` for numbers.

    The fingerprint of a fingerprint is itself.

    Args:
        named: The line's fields; the values of `NAMED_FIELDS` are masked wherever they stand.
    """
    text = message.lstrip().split("\n", 1)[0][:LONGEST]
    if named:
        for name in NAMED_FIELDS:
            value = named.get(name)
            if isinstance(value, str) and len(value) > 2:
                text = text.replace(value, MASK)
    if "'" in text or '"' in text or "`" in text:
        text = _QUOTED.sub(MASK, text)
    words = []
    before = ""
    for place, word in enumerate(text.split()):
        if word.isalpha() and word.islower():
            words.append(word)
        else:
            bare = word.strip(_PUNCTUATION)
            is_code = (
                len(bare) <= 3 and bare.isdecimal() and (before in _BEFORE_CODES or (not place and len(bare) == 3 and bare[0] in "45"))
            )
            words.append(word if is_code else _mask_word(word))
        before = word.strip(_PUNCTUATION).casefold()
    text = " ".join(words)
    return _RUN.sub(MASK, _UNIT.sub(NUMBER, text))


@lru_cache(maxsize=8_192)
def _mask_word(word: str) -> str:
    return _TOKEN.sub(lambda found: MASK if found["mask"] is not None else NUMBER, word)


def cause_id(fingerprint_: str) -> str:
    """Six hexadecimal digits that stand for a fingerprint, short enough to be typed: `cause:3fa9c1`."""
    return blake2s(fingerprint_.encode("utf-8", "replace"), digest_size=3).hexdigest()
