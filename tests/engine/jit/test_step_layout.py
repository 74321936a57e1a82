"""Records of the tables that machine code reads."""

from __future__ import annotations

import numpy as np
import pytest

from qdm_qiskit.engine.jit.step_layout import (
    FORMS,
    READING,
    STEP,
    ReadingFields,
    StepFields,
    StepKind,
)


@pytest.mark.parametrize(("record", "fields"), [(STEP, StepFields), (READING, ReadingFields)])
def test_a_record_is_its_fields_one_after_the_other(record, fields):
    """Machine code reads field k as the k-th int64 of a row."""
    assert record.names == fields._fields
    rows = np.zeros(3, dtype=record)
    for place, name in enumerate(record.names):
        rows[name] = 10 * np.arange(3) + place
    flat = rows.view(np.int64).reshape(3, -1)
    expected = 10 * np.arange(3)[:, None] + np.arange(len(record.names))
    np.testing.assert_array_equal(flat, expected)


def test_every_form_has_a_field_and_every_kind_a_number():
    assert set(FORMS) < set(StepFields._fields)
    assert [int(kind) for kind in StepKind] == list(range(len(StepKind)))
