"""Rows as small pictures and back, and what cannot be rows."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest

from qdm_qiskit.data import Column, RowDataset, RowFormat, Rows, load_with_source, table_rows
from qdm_qiskit.data.record import record_from_dict
from qdm_qiskit.data.row_format import HIGH, LOW, row_format_from_dict
from qdm_qiskit.errors import InvalidArgument, InvalidData, InvalidOption


def columns(count: int = 40, seed: int = 0) -> dict[str, object]:
    rng = np.random.default_rng(seed)
    return {
        "height": rng.normal(170, 10, count).round(1),
        "children": rng.integers(0, 5, count),
        "colour": rng.choice(["red", "green", "blue"], count).tolist(),
        "kind": (["a", "b"] * count)[:count],
    }


class Own(RowDataset):
    name, licence, source, classes = "own", "CC0", "made here", ("a", "b")

    def rows(self):
        return table_rows(columns(), "kind")


def test_mixed_columns_are_undone_exactly():
    rows = table_rows(columns(), "kind")
    form = rows.format
    assert [each.kind for each in form.columns] == ["number", "number", "category", "category"]
    assert [each.decimals for each in form.columns[:2]] == [1, 0]
    assert (form.cells, form.size) == (2 + 3 + 2, 3)
    images = form.images(rows.values)
    assert images.shape == (40, 1, 3, 3)
    np.testing.assert_array_equal(form.values(images), rows.values)
    np.testing.assert_array_equal(form.values(form.at_size(images, 8)), rows.values)
    np.testing.assert_array_equal(form.at_size(form.at_size(images, 5), 3), images)
    assert images.reshape(40, 9)[:, 7:].max() == 0  # cells beyond the row


def test_cells_are_the_linear_map_that_the_page_says():
    rows = table_rows(columns(), "kind")
    heights = np.asarray(columns()["height"])
    cells = rows.format.row_cells(rows.format.images(rows.values))
    share = (heights - heights.min()) / (heights.max() - heights.min())
    np.testing.assert_allclose(cells[:, 0], LOW + (HIGH - LOW) * share, atol=1e-6)
    hot = cells[:, 2:5]
    assert set(np.unique(hot.round(6))) == {LOW, HIGH}
    np.testing.assert_array_equal(hot.argmax(axis=1), rows.values[:, 2])


def test_any_picture_is_a_row_within_the_range_of_the_data():
    form = table_rows(columns(), "kind").format
    noise = np.random.default_rng(1).random((200, 1, 3, 3), dtype=np.float32)
    values = form.values(noise)
    for place, column in enumerate(form.columns):
        assert values[:, place].min() >= column.low
        assert values[:, place].max() <= column.high
    np.testing.assert_array_equal(form.values(form.images(values)), values)


def test_table_as_csv_is_what_the_columns_were():
    given = columns()
    rows = table_rows(given, "kind")
    text = rows.format.csv(rows.format.images(rows.values), told=["a"] * 40)
    read = list(csv.DictReader(io.StringIO(text)))
    assert [float(row["height"]) for row in read] == given["height"].tolist()
    assert [row["children"] for row in read] == [str(each) for each in given["children"]]
    assert [row["colour"] for row in read] == given["colour"]
    assert {row["told_class"] for row in read} == {"a"}


def test_texts_of_several_lines_survive_csv():
    categories = ("one\rtwo", 'a "b",\nc')
    colour = Column(name="colour\r", kind="category", high=1, categories=categories)
    form = RowFormat(kind="table", columns=(colour,))
    text = form.csv(form.images(np.array([[1.0], [0.0]])))
    lines = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    assert lines == [["colour\r"], [categories[1]], [categories[0]]]


def test_spins_are_the_nearer_of_two():
    form = RowFormat(
        kind="spins",
        columns=tuple(Column(name=f"s{k}", kind="spin", low=-1, decimals=0) for k in range(4)),
        shape=(2, 2),
    )
    images = np.array([[[[0.1, 0.49], [0.51, 1.0]]]], dtype=np.float32)
    assert form.values(images).tolist() == [[-1, -1, 1, 1]]


def test_a_format_survives_json():
    form = table_rows(columns(), "kind").format
    assert row_format_from_dict(json.loads(json.dumps(form.to_dict()))) == form


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "pictures"}, "Rows are table"),
        ({"columns": []}, "1 to 4096 columns"),
        ({"shape": [3]}, "another shape"),
        ({"shape": [0]}, "whole numbers above 0"),
        ({"target": "nothing"}, "no column 'nothing'"),
        ({"classes": "ab"}, "list of names"),
        ({"more": 1}, "have the fields"),
    ],
)
def test_a_format_that_is_none_is_refused(change, message):
    content = table_rows(columns(), "kind").format.to_dict()
    with pytest.raises(InvalidOption, match=message):
        row_format_from_dict({**content, **change})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"low": 1.0, "high": 1.0}, "begins below its end"),
        ({"low": float("nan")}, "finite ends"),
        ({"decimals": 99}, "0 to 9 decimals"),
        ({"kind": "category"}, "2 to 32 different texts"),
        ({"categories": ["x", "x"]}, "2 to 32 different texts"),
        ({"name": 3}, "has a name"),
        ({"unit": "m"}, "has the fields"),
    ],
)
def test_a_column_that_is_none_is_refused(change, message):
    content = table_rows(columns(), "kind").format.to_dict()
    content["columns"][0] |= change
    with pytest.raises(InvalidOption, match=message):
        row_format_from_dict(content)


def bad(**change):
    return {**columns(8), **change}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (bad(height=[1, 2, 3, float("nan"), 5, 6, 7, 8]), "'height' .* no value in row 4"),
        (bad(colour=["a", "b", "", "a", "b", "a", "b", "a"]), "'colour' .* no value in row 3"),
        (bad(colour=["a", "b", "?", "a", "b", "a", "b", "a"]), "no value in row 3"),
        (bad(height=[1, 2, 3, float("inf"), 5, 6, 7, 8]), "'inf' in row 4"),
        (bad(height=["1", "2", "x", "4", "5", "6", "7", "8"]), "holds numbers, but 'x' in row 3"),
        (bad(height=[3.0] * 8), "'height' .* is 3.0 in every row"),
        (bad(colour=["red"] * 8), "'colour' .* is red in every row"),
        (bad(kind=["a"] * 7 + ["b"]), "Class 'b' .* has 1 row,"),
        (bad(height=[1, 2]), "columns of one length"),
        ({"a": [1, 2], "b": [1, 2]}, "at least 4 rows"),
        (bad(colour=[f"name {k}" for k in range(40)], height=range(40), children=range(40),
             kind=["a", "b"] * 20), "40 different texts"),
        ({"a": [1, 2, 3, 4]}, "no column 'kind'"),
    ],
)  # fmt: skip
def test_bad_tables_are_refused_in_one_line(table, message):
    with pytest.raises(InvalidData, match=message) as error:
        table_rows(table, "kind")
    assert "\n" not in str(error.value)


def test_targets_of_numbers_are_divided_at_their_median():
    values = np.arange(10) / 4
    rows = table_rows({"a": values[::-1], "b": values}, "b")
    assert rows.format.classes == ("low", "high")
    assert rows.labels.tolist() == [0] * 5 + [1] * 5
    coded = table_rows({"a": range(12), "b": [0, 10, 2] * 4}, "b")
    assert coded.format.classes == ("0", "2", "10")


def test_an_object_loads_at_any_size_and_its_record_keeps_the_format():
    loaded = load_with_source(Own(), image_size=4, test_fraction=0.25)
    assert loaded.split.train.images.shape == (30, 1, 4, 4)
    form = Own().loaded_rows.format
    both = np.concatenate(
        [form.values(part.images) for part in (loaded.split.train, loaded.split.test)]
    )
    wanted = Own().loaded_rows.values
    assert sorted(map(tuple, both)) == sorted(map(tuple, wanted))
    record = loaded.record()
    assert record.rows == form
    assert record_from_dict(json.loads(json.dumps(record.to_dict()))) == record
    with pytest.raises(
        InvalidOption, match=r"image_size=2 has 4 cells, and a row takes 7.*image_size=3"
    ):
        load_with_source(Own(), image_size=2)
    with pytest.raises(InvalidOption, match="channels=1"):
        load_with_source(Own(), image_size=4, channels=3)


def test_images_have_no_format_in_their_record():
    record = load_with_source("digits", image_size=4).record()
    assert record.rows is None
    assert "rows" not in record.to_dict()


def test_rows_that_a_class_of_ones_own_gets_wrong():
    form = RowFormat(kind="table", columns=(Column(name="a"), Column(name="b")))

    def of(rows):
        fields = {"name": "mine", "licence": "CC0", "source": "me", "rows": lambda self: rows}
        return type("Mine", (RowDataset,), fields)()

    with pytest.raises(InvalidArgument, match="rows\\(\\) of 'mine'"):
        of([1, 2]).load()
    with pytest.raises(InvalidData, match=r"numbers \(count, columns\)"):
        of(Rows(form, np.zeros((5, 3)))).load()
    with pytest.raises(InvalidData, match="'b' of 'mine' lies in 0 to 1, got 0 to 2"):
        of(Rows(form, np.array([[0.0, 0], [1, 2]]))).load()
