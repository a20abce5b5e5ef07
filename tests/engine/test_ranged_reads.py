"""Reading a part of an object over the wire: exactly the bytes asked for, of exactly the generation asked for."""

from __future__ import annotations

import pytest

from engine.errors import ConfigurationError
from tests.local_servers import Lake

DATA = bytes(range(256)) * 4


@pytest.mark.parametrize(("start", "end"), [(0, 1), (0, 1024), (5, 9), (1016, 1024), (1000, 5000), (1024, 1030), (4000, 5000)])
def test_a_range_is_what_a_slice_is(lake: Lake, start: int, end: int) -> None:
    lake.data.put("a", DATA, if_generation=0)
    assert lake.data.get_range("a", start, end) == DATA[start:end]


def test_a_generation_that_is_gone_is_none_and_not_its_successor(lake: Lake) -> None:
    first = lake.data.put("a", DATA, if_generation=0)
    second = lake.data.put("a", b"other", if_generation=first.generation)
    assert lake.data.get_range("a", 0, 3, generation=first.generation) is None
    assert lake.data.get_range("a", 0, 3, generation=second.generation) == b"oth"
    assert lake.data.get_range("b", 0, 3) is None


@pytest.mark.parametrize(("start", "end"), [(-8, 10), (5, 5), (6, 5)])
def test_what_is_no_range_is_refused_before_anything_is_asked(lake: Lake, start: int, end: int) -> None:
    with pytest.raises(ValueError, match="no range"):
        lake.data.get_range("a", start, end)


def test_a_bucket_that_is_missing_is_not_a_missing_object(lake: Lake) -> None:
    with pytest.raises(ConfigurationError, match="no-such-bucket"):
        lake.data.beside("no-such-bucket").get_range("a", 0, 1)
