r"""The Logging query language as a tree: characters in, `Node` out.

Kept apart from matching (`query_match`) because the grammar can be checked without a single log entry.

Followed from Google's "Logging query language" pages: NOT binds tightest, then OR, then AND; two comparisons side by side
are ANDed; operators are upper case, and `and` is a word to search for; `--` starts a comment; text without quotes holds no
special characters, so `insertId=abc:def` is an error there and here. A quoted string knows the escapes
`\\ \" \' \n \r \t \xHH \uHHHH \UHHHHHHHH`; any other backslash stays as written, so that `=~"a\.b"` is a
regular expression with a dot in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

MAX_FILTER_CHARACTERS = 20_000
MAX_DEPTH = 60
"""Brackets and NOTs inside each other. Far above what a person writes, far below Python's recursion limit."""


class FilterError(ValueError):
    """A filter that cannot be read, or asks for something this server does not have. The text names it."""


@dataclass(frozen=True, slots=True)
class Literal:
    """A value: the right side of a comparison, or a word searched for everywhere."""

    text: str
    quoted: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """`path op value`."""

    path: tuple[str, ...]
    op: str
    """One of = != > < >= <= : =~ !~"""
    value: Literal


@dataclass(frozen=True, slots=True)
class GlobalSearch:
    """A bare value: any field of the entry contains it."""

    value: Literal


@dataclass(frozen=True, slots=True)
class Call:
    """`name(arguments)`: a field argument is a bare word, a text argument is quoted."""

    name: str
    arguments: tuple[Literal, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite of `part`."""

    part: Node


@dataclass(frozen=True, slots=True)
class And:
    """All of `parts`; no parts match everything."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Any of `parts`."""

    parts: tuple[Node, ...]


Node = Comparison | GlobalSearch | Call | Not | And | Or

_STRING = r'"(?:[^"\\]|\\.)*"'
_BARE = r"[\w.\-/*+@#$%&?|^]+"
_TOKEN = re.compile(
    rf"""(?P<space>\s+|--[^\n]*)
    |(?P<word>(?:{_BARE}|{_STRING})+)
    |(?P<op>>=|<=|!=|=~|!~|[=><:])
    |(?P<mark>[(),])""",
    re.VERBOSE | re.DOTALL,
)
_PIECE = re.compile(rf"({_STRING})|({_BARE})", re.DOTALL)
_COMPONENT = re.compile(rf"{_STRING}|[\w\-/@$]+", re.DOTALL)
_PATH = re.compile(rf"(?:{_COMPONENT.pattern})(?:\.(?:{_COMPONENT.pattern}))*", re.DOTALL)
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)", re.DOTALL)
_SIMPLE_ESCAPES = {"\\": "\\", '"': '"', "'": "'", "n": "\n", "r": "\r", "t": "\t"}


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)


def parse(source: str) -> Node:
    """Read a filter. An empty one matches everything.

    Raises:
        FilterError: with Google's wording and the line, column and token where reading stopped.
    """
    if len(source) > MAX_FILTER_CHARACTERS:
        raise FilterError(f"Unparseable filter: filter is longer than {MAX_FILTER_CHARACTERS} characters")
    return _Parser(source).parse()


def unquote(text: str) -> str:
    """The value of a quoted string, quotes included in `text`."""
    return _ESCAPE.sub(_unescape, text[1:-1])


def _unescape(match: re.Match[str]) -> str:
    body = match[1]
    if len(body) > 1:
        code = int(body[1:], 16)
        return chr(code) if code <= 0x10FFFF else match[0]
    return _SIMPLE_ESCAPES.get(body, match[0])


class _Parser:
    def __init__(self, source: str) -> None:
        self._source = source
        self._tokens = self._split(source)
        self._at = 0
        self._depth = 0

    def parse(self) -> Node:
        if not self._tokens:
            return And(())
        node = self._sequence(self._term)
        if self._at < len(self._tokens):
            raise self._syntax_error()
        return node

    def _split(self, source: str) -> list[_Token]:
        tokens: list[_Token] = []
        at = 0
        while at < len(source):
            match = _TOKEN.match(source, at)
            if match is None:
                raise self._error_at(at, source[at])
            kind = match.lastgroup
            assert kind is not None
            if kind != "space":
                tokens.append(_Token(kind, match[0], at))
            at = match.end()
        return tokens

    def _peek(self) -> _Token | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _take(self, text: str) -> bool:
        token = self._peek()
        if token is not None and token.text == text:
            self._at += 1
            return True
        return False

    def _sequence(self, leaf: Callable[[], Node]) -> Node:
        """AND of ORs of leaves, up to the end or a closing bracket."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise FilterError("Unparseable filter: too deeply nested")
        parts = [self._alternatives(leaf)]
        while (token := self._peek()) is not None and token.text != ")":
            self._take("AND")
            parts.append(self._alternatives(leaf))
        self._depth -= 1
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _alternatives(self, leaf: Callable[[], Node]) -> Node:
        parts = [self._negated(leaf)]
        while self._take("OR"):
            parts.append(self._negated(leaf))
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _negated(self, leaf: Callable[[], Node]) -> Node:
        token = self._peek()
        if token is None:
            raise self._syntax_error()
        if token.text == "NOT" or token.text == "-":
            self._at += 1
        elif token.kind == "word" and token.text.startswith("-"):
            self._tokens[self._at] = _Token("word", token.text[1:], token.start + 1)
        else:
            return self._bracketed(leaf) if token.text == "(" else leaf()
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise FilterError("Unparseable filter: too deeply nested")
        node = Not(self._negated(leaf))
        self._depth -= 1
        return node

    def _bracketed(self, leaf: Callable[[], Node]) -> Node:
        self._at += 1
        node = self._sequence(leaf)
        if not self._take(")"):
            raise self._syntax_error()
        return node

    def _term(self) -> Node:
        word = self._word()
        following = self._peek()
        if following is not None and following.kind == "op":
            self._at += 1
            return self._compared(_path(word, self._error_at(word.start, word.text)), following.text)
        if following is not None and following.text == "(" and following.start == word.end:
            return self._call(word)
        return GlobalSearch(self._literal(word))

    def _compared(self, path: tuple[str, ...], op: str) -> Node:
        """One value, or a bracket of values: `severity=(ERROR OR CRITICAL)`."""

        def leaf() -> Node:
            return Comparison(path, op, self._literal(self._word()))

        token = self._peek()
        return self._bracketed(leaf) if token is not None and token.text == "(" else leaf()

    def _call(self, name: _Token) -> Node:
        if not name.text.isidentifier():
            raise self._error_at(name.start, name.text)
        self._at += 1
        arguments = [self._literal(self._word())]
        while self._take(","):
            arguments.append(self._literal(self._word()))
        if not self._take(")"):
            raise self._syntax_error()
        return Call(name.text, tuple(arguments))

    def _word(self) -> _Token:
        token = self._peek()
        if token is None or token.kind != "word" or token.text in ("AND", "OR", "NOT"):
            raise self._syntax_error()
        self._at += 1
        return token

    def _literal(self, token: _Token) -> Literal:
        pieces = _PIECE.findall(token.text)
        if len(pieces) != 1:
            raise self._error_at(token.start, token.text)
        quoted, bare = pieces[0]
        return Literal(unquote(quoted), True) if quoted else Literal(bare, False)

    def _syntax_error(self) -> FilterError:
        token = self._peek()
        if token is None:
            return self._error_at(len(self._source), "EOF")
        return self._error_at(token.start, token.text)

    def _error_at(self, at: int, token: str) -> FilterError:
        before = self._source[:at]
        line = before.count("\n") + 1
        column = at - (before.rfind("\n") + 1) + 1
        return FilterError(f"Unparseable filter: syntax error at line {line}, column {column}, token '{token}'")


def _path(word: _Token, error: FilterError) -> tuple[str, ...]:
    """`labels."a.b".c` -> ("labels", "a.b", "c")."""
    if not _PATH.fullmatch(word.text):
        raise error
    return tuple(unquote(part) if part[0] == '"' else part for part in _COMPONENT.findall(word.text))
