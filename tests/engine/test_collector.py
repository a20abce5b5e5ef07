"""The garbage collector is held back only as long as somebody wants it, and left as it was found."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from engine.collector import EVERY, collector_held, collector_seldom, collector_spared


@pytest.fixture(autouse=True)
def as_found() -> Iterator[None]:
    """Whatever a test here does to the collector, the next one finds it as usual."""
    thresholds, frozen = gc.get_threshold(), gc.get_freeze_count()
    yield
    assert gc.get_threshold() == thresholds
    assert gc.isenabled()
    if not frozen:
        assert gc.get_freeze_count() == 0


def test_it_is_off_while_anybody_holds_it() -> None:
    with collector_held():
        with collector_held():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_somebody_who_had_it_off_keeps_it_off() -> None:
    gc.disable()
    try:
        with collector_held():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_what_is_there_when_it_was_spared_is_not_looked_at_again() -> None:
    try:
        with collector_spared():
            assert not gc.isenabled()
            made = [[] for _ in range(1000)]
        assert gc.isenabled()
        assert gc.get_freeze_count() > len(made)
    finally:
        gc.unfreeze()


def test_it_looks_seldom_until_the_last_one_is_done_in_whatever_order_they_end() -> None:
    usual = gc.get_threshold()
    first, second = collector_seldom(), collector_seldom()
    first.__enter__()
    second.__enter__()
    assert gc.get_threshold() == EVERY
    assert gc.get_freeze_count() > 0
    first.__exit__(None, None, None)
    assert gc.get_threshold() == EVERY
    second.__exit__(None, None, None)
    assert gc.get_threshold() == usual


def test_what_fails_under_it_leaves_it_as_it_was() -> None:
    usual = gc.get_threshold()
    with pytest.raises(ValueError, match="wrong"), collector_seldom():
        raise ValueError("wrong")
    assert gc.get_threshold() == usual
