"""Commands on rows of numbers: what bad tables say, and what a list tells."""

from __future__ import annotations

import re

import pytest

GOOD = "a,b\n" + "".join(f"{k},{'xy'[k % 2]}\n" for k in range(8))
BAD = {
    "missing.csv": (GOOD.replace("3,y", ",y"), "Column 'a' .* has no value in row 4"),
    "constant.csv": (GOOD.replace("y", "x"), "Column 'b' .* is x in every row"),
    "one.csv": (GOOD + "9,z\n", "Class 'z' .* has 1 row,"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_tables_end_training_with_one_line(qdm, tmp_path, name):
    content, message = BAD[name]
    (tmp_path / name).write_text(content)
    run = tmp_path / "run"
    result = qdm("train", "--model", "line", "--dataset", f"csv:{tmp_path / name}", "--out", run)
    assert result.code == 2
    assert result.err.count("\n") == 1
    assert re.search(message, result.err)
    assert not run.exists()


def test_columns_are_shown(qdm, tmp_path):
    (tmp_path / "mine.csv").write_text(GOOD)
    result = qdm("data", "show", f"csv:{tmp_path}/mine.csv", "--count", 4)
    assert result.code == 0
    assert "images   4 of 2 x 2 x 1" in result.out
    assert "column   a: 0 to 7" in result.out
    assert "column   b: x, y, the target" in result.out


def test_the_list_tells_columns(qdm):
    listed = qdm("data", "list").out
    assert "5 columns" in listed
    assert "csv:PATH" in listed
