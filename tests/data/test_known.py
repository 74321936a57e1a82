"""What is known of images: projections, masks by name, tables with gaps."""

import numpy as np
import pytest

from qdm_qiskit.data import row_format
from qdm_qiskit.data.gaps import read_gaps
from qdm_qiskit.data.known import Known, mask_of
from qdm_qiskit.errors import InvalidData, InvalidOption, MissingData, QdmError


def pictures(count: int = 3, size: int = 4, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((count, 1, size, size)).astype(np.float32)


def knowns() -> list[Known]:
    images = pictures()
    return [Known(images, mask_of("random:0.5", images.shape)), Known(images, factor=2)]


@pytest.mark.parametrize("known", knowns(), ids=["mask", "factor"])
def test_what_is_known_is_an_orthogonal_projection(known):
    x, y = pictures(seed=1).astype(float), pictures(seed=2).astype(float)
    part = known.part(x)
    np.testing.assert_allclose(known.part(part), part, atol=1e-12)
    assert (known.part(x) * (y - known.part(y))).sum() == pytest.approx(0, abs=1e-12)
    held = known.held(x)
    np.testing.assert_allclose(known.part(held), known.part(known.images), atol=1e-6)
    np.testing.assert_allclose(held - known.part(held), x - part, atol=1e-6)


@pytest.mark.parametrize("known", knowns(), ids=["mask", "factor"])
def test_its_rows_are_orthonormal_and_give_the_same_projection(known):
    rows = known.taken(np.array([0])).matrix_rows
    np.testing.assert_allclose(rows @ rows.T, np.eye(len(rows)), atol=1e-12)
    x = pictures(seed=1).astype(float)[:1]
    np.testing.assert_allclose(
        (rows.T @ rows @ x.ravel()).reshape(x.shape), known.taken(np.array([0])).part(x), atol=1e-12
    )


def test_masks_by_name_hide_what_they_say():
    shape = (2, 3, 4, 6)
    hidden = {name: ~mask_of(name, shape) for name in ("left", "right", "top", "bottom", "centre")}
    assert hidden["left"][..., :3].all()
    assert not hidden["left"][..., 3:].any()
    np.testing.assert_array_equal(hidden["right"], ~hidden["left"])
    np.testing.assert_array_equal(hidden["bottom"], ~hidden["top"])
    assert hidden["centre"].sum() == 2 * 3 * 2 * 4
    drawn = ~mask_of("random:0.25", (400, 2, 5, 5), seed=3)
    assert abs(drawn.mean() - 0.25) < 5 * (0.25 * 0.75 / 10_000) ** 0.5
    np.testing.assert_array_equal(drawn[:, 0], drawn[:, 1])


def test_columns_hide_their_cells_and_cells_beyond_a_row_are_always_known():
    form = row_format("iris")
    size = form.size
    mask = mask_of("columns:species", (2, 1, size, size), rows=form).reshape(2, -1)
    assert (~mask[0]).nonzero()[0].tolist() == [4, 5, 6]
    everything = mask_of("random:0.999999999", (50, 1, size, size), rows=form)
    assert everything.reshape(50, -1)[:, form.cells :].all()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda x: Known(x), "mask, or a factor"),
        (lambda x: Known(x, np.ones(x.shape, dtype=bool), 2), "not both"),
        (lambda x: Known(x, np.ones((1, 1, 4, 4), dtype=bool)), "got bool of shape"),
        (lambda x: Known(x, np.ones(x.shape)), "got float64 of shape"),
        (lambda x: Known(x, np.ones(x.shape, dtype=bool)), "hides nothing"),
        (lambda x: Known(x, factor=3), "factor divides"),
        (lambda x: Known(x[0], factor=2), "got shape"),
        (lambda x: Known(np.where(x > 0.5, np.nan, x), factor=2), "hide missing ones"),
        (lambda x: mask_of("upper", x.shape), "mask is one of"),
        (lambda x: mask_of("random:2", x.shape), "mask is one of"),
        (lambda x: mask_of("columns:a", x.shape), "are no rows"),
        (lambda x: mask_of("columns:a", x.shape, rows=row_format("iris")), "Columns are sepal"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(make, words):
    with pytest.raises(QdmError, match=words) as caught:
        make(pictures())
    assert isinstance(caught.value, InvalidData | InvalidOption)
    assert "\n" not in str(caught.value)


HEADER = "species,sepal length (cm),sepal width (cm),petal length (cm),petal width (cm)\n"


def test_a_table_with_gaps_is_pictures_and_a_mask(tmp_path):
    form = row_format("iris")
    file = tmp_path / "gaps.csv"
    file.write_text(HEADER + "setosa,5.1,,1.4,0.2\n?,6.0,3.0,NA,1.5\n")
    known = read_gaps(file, form, form.size)
    cells = known.mask.reshape(2, -1)
    assert (~cells[0]).nonzero()[0].tolist() == [1]
    assert (~cells[1]).nonzero()[0].tolist() == [2, 4, 5, 6]
    assert form.texts(form.values(known.images))[0][0] == "5.1"
    assert form.texts(form.values(known.images))[0][4] == "setosa"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (HEADER + "setosa,5.1,3.0,1.4,0.2\n", "No value of .* is missing"),
        (HEADER + ",,,,\n", "All values of row 1"),
        (HEADER + "rose,5.1,,1.4,0.2\n", "has the categories"),
        (HEADER + "setosa,51,,1.4,0.2\n", "numbers from 4.3 to 7.9"),
        (HEADER + "setosa,five,,1.4,0.2\n", "numbers from 4.3 to 7.9"),
        (HEADER + "setosa,5.1,3.0\n", "has 3 fields"),
        (HEADER, "no rows"),
        ("a,b\n1,\n", "are those of the run's data"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_in_one_line(tmp_path, text, words):
    file = tmp_path / "gaps.csv"
    file.write_text(text)
    with pytest.raises(InvalidData, match=words) as caught:
        read_gaps(file, row_format("iris"), 3)
    assert "\n" not in str(caught.value)


def test_a_missing_table_is_named(tmp_path):
    with pytest.raises(MissingData, match="no table"):
        read_gaps(tmp_path / "none.csv", row_format("iris"), 3)
