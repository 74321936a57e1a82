"""``qdm.evaluate``: subjects of every form in one table, and its picture in a notebook."""

from __future__ import annotations

import pytest

import qdm_qiskit as qdm
from qdm_qiskit.errors import InvalidArgument, InvalidOption, MissingData, UnknownName
from tests.test_notebook import EVIL, shown


def test_what_cannot_be_evaluated_is_refused_before_any_work(tmp_path):
    with pytest.raises(UnknownName, match="protocol 'tiny'"):
        qdm.evaluate(tmp_path, protocol="tiny")
    with pytest.raises(InvalidOption, match="'counts'"):
        qdm.evaluate(tmp_path, counts=3)
    with pytest.raises(InvalidOption, match="scheduler"):
        qdm.evaluate(tmp_path, scheduler="none")
    with pytest.raises(InvalidOption, match="nothing to evaluate"):
        qdm.evaluate()
    with pytest.raises(MissingData, match="no samples"):
        qdm.evaluate(samples=tmp_path)
    with pytest.raises(InvalidArgument, match=r"`data` is a path.*got 3 \(int\)"):
        qdm.evaluate(data=3)


@pytest.mark.slow
def test_runs_and_samples_of_every_form_stand_in_one_table(tmp_path):
    options = {"image_size": 8, "depth": 1, "num_steps": 2, "train_count": 80, "epochs": 1}
    run = qdm.train("eeqdm", tmp_path / "first", classes=(0, 1), baseline=False, **options).run
    samples = qdm.sample(run, num_images=48, out=tmp_path / EVIL.replace("/", ""))
    found = qdm.evaluate(
        run,
        qdm.load_run(run),
        samples=[samples, tmp_path / EVIL.replace("/", "")],
        count=48,
        resamples=20,
        out=tmp_path / "out",
    )
    rows = {row.name: row.metrics for row in found.report.rows}
    for name in ("domain_kid", "psnr", "nearest_training"):  # intervals are drawn anew
        assert rows["first"][name].estimate == pytest.approx(rows["first (2)"][name].estimate)
    given, read = rows["eeqdm on engine"], rows[EVIL.replace("/", "")]
    assert given["psnr"].estimate == read["psnr"].estimate
    page = shown(found)
    assert EVIL.replace("/", "") in page.cells
    assert len(page.pictures) == 5  # the reference, two runs, two sets of samples
    assert (tmp_path / "out" / "evaluation.md").is_file()
