"""Every test of conversions runs twice: with rows read by our own library first, and by Arrow's parser alone, as without a compiler."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from engine.conversion import plain_cells


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests of the library itself decide for themselves."""
    if "reader" in metafunc.fixturenames and not metafunc.module.__name__.endswith("test_plain_cells"):
        metafunc.parametrize("reader", ["library", "arrow"], indirect=True, scope="module")


@pytest.fixture(autouse=True, scope="module")
def reader(request: pytest.FixtureRequest) -> Iterator[None]:
    """What reads rows, here and in processes that are started here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TICKDECK_PLAIN_CELLS", "0" if getattr(request, "param", "library") == "arrow" else "1")
        plain_cells._load.cache_clear()
        yield
    plain_cells._load.cache_clear()
