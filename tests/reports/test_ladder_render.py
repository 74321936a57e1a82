"""The ladder's picture draws every rung that ran, and the table has a cell for each column."""

from __future__ import annotations

import numpy as np

from qdm_qiskit.evaluation.bootstrap import Interval
from qdm_qiskit.evaluation.ladder import HEAD, Ladder, LadderRow, ladder_lines
from qdm_qiskit.reports.ladder_render import ladder_markdown, ladder_png


def ladder() -> Ladder:
    rows = (
        LadderRow(name="exact", title="exact", below=None, distance=Interval(0.0, 0.0, 0.0)),
        LadderRow(
            name="all",
            title="all noise",
            below="shots",
            distance=Interval(0.2, 0.1, 0.3),
            gain=Interval(-0.1, -0.2, 0.0),
            step_distance=0.12,
            signal_left=0.5,
            signal_interval=Interval(0.5, 0.4, 0.6),
            predicted=0.45,
            label_accuracy=Interval(0.5, 0.3, 0.7),
            jobs=2,
            circuits=1234,
            shots=5678,
            qpu_seconds=9.87,
            processor_seconds=1.0,
        ),
        LadderRow(name="refit", title="refit", below="all", problem="Nothing to fit."),
    )
    return Ladder(
        model="m",
        sampling={"num_images": 4, "shots": 16, "seed": 0},
        options={"level": 0.95},
        backend="b",
        steps=3,
        rows=rows,
        judged={"because": "It was left out."},
        images={name: np.zeros((4, 1, 2, 2)) for name in ("exact", "all")},
        versions={},
    )


def test_each_line_has_a_cell_for_each_column():
    lines = ladder_lines(ladder().to_dict())
    assert [len(line) for line in lines] == [len(HEAD)] * 3
    assert lines[1] == [
        *("all noise", "0.2 [0.1, 0.3]", "-0.1 [-0.2, 0]", "shots", "0.120", "45%"),
        *("50% [40%, 60%]", "0.5 [0.3, 0.7]", "-", "1,234", "5,678", "9.9", "1.0"),
    ]
    assert lines[2][:2] == ["refit", "not run"]


def test_page_and_picture_are_made_of_plain_values():
    found = ladder()
    page = ladder_markdown(found.to_dict())
    assert "* refit: not run. Nothing to fit." in page
    assert "* No classifier: It was left out." in page
    png = ladder_png(found.to_dict(), found.images)
    assert png.startswith(b"\x89PNG")
    assert png == ladder_png(found.to_dict(), found.images)
