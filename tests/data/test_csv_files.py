"""A user's own table."""

from __future__ import annotations

import pytest

from qdm_qiskit.data import CsvTable, find_dataset, load_with_source, row_format
from qdm_qiskit.errors import InvalidData, InvalidOption, MissingData

GOOD = "size,colour,kind\n" + "".join(
    f"{k / 4},{('red', 'blue')[k % 2]},{('a', 'b')[k // 6]}\n" for k in range(12)
)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text(GOOD)
    return path


def test_the_last_column_is_the_target(file):
    found = find_dataset(f"csv:{file}")
    assert isinstance(found, CsvTable)
    assert found.classes == ("a", "b")
    form = row_format(f"csv:{file}")
    assert (form.target, form.cells) == ("kind", 5)
    loaded = load_with_source(f"csv:{file}", image_size=3, test_fraction=0.25)
    assert len(loaded.split.train) == 8
    record = loaded.record()
    assert (record.origin, record.files[0].path) == ("files", str(file))
    assert record.rows == form


def test_it_may_begin_with_a_mark_and_end_lines_otherwise(tmp_path, file):
    other = tmp_path / "windows.csv"
    other.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    a, b = (CsvTable(path).loaded_rows for path in (file, other))
    assert a.format == b.format
    assert (a.values == b.values).all()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"a,b\n", "at least 4 rows"),
        (b"a\n1\n2\n3\n4\n", "two or more"),
        (b"a,a\n1,2\n2,3\n3,4\n4,5\n", "each once"),
        (b"a,\n1,2\n2,3\n3,4\n4,5\n", "names its columns"),
        (b"a,b\n1,2\n2\n3,4\n4,5\n", "Row 2 of .* has 1 fields, and its header 2"),
        (b"a,b\n1,2\n,3\n3,4\n4,5\n", "'a' .* no value in row 2"),
        (b"a,b\n1,x\n1,y\n1,x\n1,y\n", "'a' .* is 1 in every row"),
        (b"a,b\n1,x\n1.0,y\n1,x\n1,y\n", "'a' .* in every row"),
        (b"a,b\n1,x\n2,y\n3,y\n4,y\n", "Class 'x' .* has 1 row,"),
        (b"a,b\n\xff\xfe,2\n", "no UTF-8 text"),
        (b'a,b\n"1,2\n', "no CSV file"),
        (b"a,b\n" + b"1" * 2000 + b",2\n", "2000 characters"),
        (b"a,b\n1e200,2\n-1e308,3\n1e308,4\n5,5\n", "rescale it"),
        (b"a,b\n1,2e-20\n2,3e-20\n3,4e-20\n4,5e-20\n", "rescale it"),
    ],
)
def test_bad_files_are_refused_in_one_line(tmp_path, content, message):
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    with pytest.raises(InvalidData, match=message) as error:
        load_with_source(f"csv:{path}", image_size=4)
    assert "\n" not in str(error.value)


def test_missing_files_and_folders(tmp_path, file):
    with pytest.raises(MissingData, match=r"no file gone\.csv"):
        load_with_source(f"csv:{tmp_path}/gone.csv", image_size=4)
    with pytest.raises(InvalidOption, match="leave the folder option out"):
        load_with_source(f"csv:{file}", image_size=4, folder=tmp_path)
