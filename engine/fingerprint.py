"""The identity of a source file: what its gzip trailers say about the bytes inside.

It travels as custom metadata of the committed object, so that two workers, a retry after a lost reply and a later resume can
tell "the same file" from "another file under the same name" without fetching anything.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """CRC-32 and size from the trailer of every gzip member (RFC 1952, 2.3.1), in file order, and the compressed length."""

    members: tuple[tuple[int, int], ...]
    """(CRC-32, uncompressed size modulo 2**32) of each member."""
    length: int
    """Bytes of the `.csv.gz` as served."""

    def __str__(self) -> str:
        """`<length>-<members>-<crc32 of all trailers>` for more than four members, else the trailers themselves."""
        if len(self.members) <= 4:
            return f"{self.length}:" + ",".join(f"{crc:08x}.{size:x}" for crc, size in self.members)
        folded = b"".join(crc.to_bytes(4, "little") + size.to_bytes(4, "little") for crc, size in self.members)
        return f"{self.length}:n{len(self.members)}.{zlib.crc32(folded):08x}.{sum(size for _, size in self.members):x}"
