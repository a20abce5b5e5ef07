"""Thrift's compact protocol, read without a schema: a struct becomes a dict of field number to value.

Parquet footers are written in it. pyarrow reads them too, but ends the whole process on one that is damaged (162 of the 13,304 single
flipped bits of a small file's footer), and an adoption must get past a damaged file. Specification: Apache Thrift,
"doc/specs/thrift-compact-protocol.md".
"""

from __future__ import annotations

import struct
from typing import Final

Value = bool | int | float | bytes | list["Value"] | dict[int, "Value"]

DEEPEST: Final = 32
"""Structs within structs. A footer has six levels; damaged bytes must not exhaust the stack."""

_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)
_LONGEST_NUMBER = 10
"""Bytes of a 64-bit number, seven bits each."""
_LONG_LIST = 15
"""This size in a list's header means that the size follows."""


class ThriftFlaw(Exception):
    """The bytes are no value in this protocol."""


def read_struct(data: bytes) -> dict[int, Value]:
    """The struct at the beginning of `data`. Text stays bytes, enums are numbers.

    Raises:
        ThriftFlaw: saying what is wrong with the bytes.
    """
    return _Reader(data).struct(0)


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def struct(self, depth: int) -> dict[int, Value]:
        if depth > DEEPEST:
            raise ThriftFlaw(f"more than {DEEPEST} levels")
        fields: dict[int, Value] = {}
        number = 0
        while header := self._byte():
            step, kind = header >> 4, header & 15
            number = number + step if step else self._signed()
            fields[number] = kind == _TRUE if kind in (_TRUE, _FALSE) else self._value(kind, depth)
        return fields

    def _value(self, kind: int, depth: int) -> Value:
        if kind in (_I16, _I32, _I64):
            return self._signed()
        if kind == _BINARY:
            return self._take(self._unsigned())
        if kind == _STRUCT:
            return self.struct(depth + 1)
        if kind in (_LIST, _SET):
            return self._list(depth + 1)
        if kind == _DOUBLE:
            return float(struct.unpack("<d", self._take(8))[0])
        if kind in (_TRUE, _FALSE):
            return self._byte() == _TRUE
        if kind == _BYTE:
            return int.from_bytes(self._take(1), "little", signed=True)
        raise ThriftFlaw(f"type {kind} at byte {self._at}")

    def _list(self, depth: int) -> list[Value]:
        if depth > DEEPEST:
            raise ThriftFlaw(f"more than {DEEPEST} levels")
        header = self._byte()
        size, kind = header >> 4, header & 15
        if size == _LONG_LIST:
            size = self._unsigned()
        if size > len(self._data) - self._at:
            raise ThriftFlaw(f"a list of {size:,} at byte {self._at}")
        return [self._value(kind, depth) for _ in range(size)]

    def _signed(self) -> int:
        number = self._unsigned()
        return (number >> 1) ^ -(number & 1)

    def _unsigned(self) -> int:
        number = 0
        for place in range(_LONGEST_NUMBER):
            byte = self._byte()
            number |= (byte & 0x7F) << (7 * place)
            if byte < 0x80:
                return number
        raise ThriftFlaw(f"a number without an end at byte {self._at}")

    def _byte(self) -> int:
        if self._at >= len(self._data):
            raise ThriftFlaw("the bytes end too early")
        self._at += 1
        return self._data[self._at - 1]

    def _take(self, count: int) -> bytes:
        start = self._at
        if count > len(self._data) - start:
            raise ThriftFlaw("the bytes end too early")
        self._at += count
        return self._data[start : self._at]
