"""Memory does not depend on the size of the file: measured in fresh processes, from pyarrow's own pool."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.convert_inputs import write_input

MEASURE = """
import json, sys
from dataclasses import replace
from pathlib import Path
import pyarrow as pa
from engine.conversion.convert import ConvertSettings, convert
from engine.datatypes import DATA_TYPES
name, source, sink = sys.argv[1:]
kind = replace(DATA_TYPES[name], row_group_rows=4_000)
done = convert(Path(source), Path(sink), data_type=kind, file=None, settings=ConvertSettings(block_bytes=100_000))
pool = pa.default_memory_pool()
print(json.dumps([done.rows, pool.max_memory(), pool.bytes_allocated()]))
"""


@pytest.mark.parametrize(("name", "rows"), [("trades", 80_000), ("options_chain", 20_000)])
def test_four_times_the_rows_take_the_same_memory(name: str, rows: int, tmp_path: Path) -> None:
    peaks = []
    for times in (1, 4):
        source = tmp_path / f"{times}.csv.gz"
        write_input(name, times * rows, source, level=1)
        command = [sys.executable, "-c", MEASURE, name, str(source), str(tmp_path / "out.parquet")]
        done, peak, left = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        assert done == times * rows
        assert left < 100_000
        peaks.append(peak)
    assert peaks[1] < 1.25 * peaks[0]
