from __future__ import annotations

import pytest

from tests.breaks import BREAKS
from tests.breaks.row import Break
from tests.environments import REPOSITORY


@pytest.mark.parametrize("row", BREAKS, ids=lambda row: row.rule)
def test_what_a_row_takes_out_is_there_once(row: Break) -> None:
    assert (REPOSITORY / row.file).read_text(encoding="utf-8").count(row.code) == 1
    file, _, test = row.test.partition("::")
    assert f"def {test.partition('[')[0]}(" in (REPOSITORY / file).read_text(encoding="utf-8")
