"""CSV that is written is read back."""

from __future__ import annotations

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from qdm_qiskit.csv_text import csv_text


@given(st.lists(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1)))
def test_any_text_is_read_back(rows):
    assert list(csv.reader(io.StringIO(csv_text(rows), newline=""), strict=True)) == rows


def test_a_carriage_return_is_quoted():
    """It was not, and no reader took the file."""
    assert csv_text([["a", "\r0"], [1.5, None]]) == 'a,"\r0"\n1.5,\n'
