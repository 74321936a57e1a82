"""Metrics as objects: values as before, metrics of one's own, what theirs do wrong."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from qdm_qiskit.errors import (
    InvalidArgument,
    InvalidData,
    InvalidExtension,
    InvalidOption,
    UnknownName,
)
from qdm_qiskit.evaluation import (
    METRIC_DOOR,
    ImageSets,
    Interval,
    Metric,
    find_metrics,
    measure_images,
)
from qdm_qiskit.evaluation import domain_classifier as classifier_module
from qdm_qiskit.evaluation.config import EvaluationConfig
from qdm_qiskit.evaluation.distances import kernel_distance
from qdm_qiskit.evaluation.evaluate import evaluate
from qdm_qiskit.evaluation.image_metrics import nearest, structural_similarity
from qdm_qiskit.evaluation.subjects import Subject
from qdm_qiskit.reports.evaluation_render import (
    METRICS,
    render_markdown,
    render_table,
    write_evaluation,
)
from qdm_qiskit.training import resolve_run
from tests.test_doors import package  # noqa: F401 (a fixture)

ROWS = Path(__file__).parents[1] / "fixtures" / "evaluation" / "rows.json"
SETTINGS = {
    "image_size": 4,
    "depth": 1,
    "classes": (0, 1, 2),
    "train_count": 60,
    "test_count": 40,
    "num_steps": 2,
}


class Brightness(Metric):
    name = "brightness"
    title = "mean brightness, off by"

    def measure(self, sets: ImageSets):
        ours, theirs = (x.mean(axis=(1, 2, 3)) for x in (sets.images, sets.reference))
        return sets.interval(lambda a, b: abs(float(ours[a].mean() - theirs[b].mean())))


def own(function, name: str = "own", **fields) -> Metric:
    values = {"name": name, "measure": lambda self, sets: function(sets), **fields}
    return type("Own", (Metric,), values)()


@pytest.fixture(scope="module")
def subject():
    config = resolve_run("qddm", SETTINGS)
    images = np.random.default_rng(1).random((80, 1, 4, 4), dtype=np.float32) * 0.8
    return Subject("fake", "chosen", config, (1, 4, 4), lambda count: images[:count])


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("classifiers")


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier_module, "VISITS", 4000)


def rows_of(subject, cache, metrics=None, **options):
    config = EvaluationConfig(count=80, resamples=20, **options)
    return evaluate([subject], config, metrics=metrics, cache=cache)


def intervals(row) -> np.ndarray:
    return np.array([[v.estimate, v.low, v.high] for _, v in sorted(row.metrics.items())])


@pytest.mark.parametrize(
    ("name", "options"),
    [("plain", {}), ("subsets", {"kid_subset_size": 20, "kid_subsets": 5, "score_splits": 3})],
)
def test_values_are_those_of_before(subject, cache, name, options):
    report, _ = rows_of(subject, cache, **options)
    kept = json.loads(ROWS.read_text())[name]
    assert [row.name for row in report.rows] == ["real images", "noise", "fake"]
    for row in report.rows:
        old = kept[row.name]
        assert set(row.metrics) == set(old["metrics"])
        wanted = [[v["estimate"], v["low"], v["high"]] for _, v in sorted(old["metrics"].items())]
        # The classifier is trained here: other processors round otherwise.
        np.testing.assert_allclose(intervals(row), wanted, rtol=1e-4, atol=1e-5)
        assert set(row.subset_kid) == set(old["subset_kid"])
        for network, pair in row.subset_kid.items():
            assert pair == pytest.approx(old["subset_kid"][network], rel=1e-4, abs=1e-5)


def test_a_choice_changes_no_value(subject, cache):
    whole, _ = rows_of(subject, cache, kid_subset_size=20, kid_subsets=5)
    some, _ = rows_of(
        subject, cache, ["ssim", Brightness(), "kid"], kid_subset_size=20, kid_subsets=5
    )
    alone, _ = rows_of(subject, cache, [Brightness])
    for row, chosen, single in zip(whole.rows, some.rows, alone.rows, strict=True):
        assert list(chosen.metrics) == ["domain_kid", "ssim", "brightness"]
        for name in ("domain_kid", "ssim"):
            assert chosen.metrics[name] == row.metrics[name]
        assert chosen.subset_kid == row.subset_kid
        assert chosen.metrics["brightness"] == single.metrics["brightness"]
        assert single.subset_kid == {}


def test_built_in_metrics_stand_behind_the_door():
    assert METRIC_DOOR.names() == tuple(METRICS)
    for name in METRIC_DOOR.names():
        assert METRIC_DOOR.get(name).name == name
        assert METRIC_DOOR.origin(name).package == "qdm_qiskit"


def test_a_metric_of_ones_own_in_all_outputs(subject, cache, tmp_path):
    report, pictures = rows_of(subject, cache, ["psnr", Brightness()])
    content = report.to_dict()
    described = content["metrics"]["brightness"]
    assert described["title"] == "mean brightness, off by"
    assert described["module"].endswith("test_metrics:Brightness")
    paths = write_evaluation(report, pictures, tmp_path / "out")
    saved = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    for row in saved["rows"]:
        found = row["metrics"]["brightness"]
        assert found["low"] < found["high"]
    assert "mean brightness, off by ↓" in render_markdown(content)
    assert render_table(content).row_count == 3
    assert all(path.stat().st_size for path in paths)


BAD = [
    (lambda sets: 1 / 0, "'own' fails: ZeroDivisionError: division by zero."),
    (lambda sets: 0.3, r"'own' gives an Interval .*got 0\.3 \(float\)"),
    (lambda sets: None, "'own' has nothing to measure here"),
    (lambda sets: Interval(math.nan, 0, 1), r"finite numbers.*got nan \[0, 1\]"),
    (lambda sets: Interval(0.5, -math.inf, 1), "finite numbers"),
    (lambda sets: Interval(0.5, 1, 0), "the lower end first"),
    (lambda sets: Interval("a", 1, 2), "an Interval of numbers"),
    (lambda sets: sets.interval(lambda a, b: math.nan), "finite numbers"),
    (lambda sets: sets.interval(lambda a: 1.0, (1,)), "'own' fails: A bootstrap needs"),
]
IMAGES = np.random.default_rng(0).random((30, 1, 4, 4), dtype=np.float32)
OTHERS = np.random.default_rng(1).random((20, 1, 4, 4), dtype=np.float32)


@pytest.mark.parametrize(("function", "line"), BAD)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_a_metric_that_goes_wrong_leaves_the_others(function, line):
    found = measure_images(IMAGES, OTHERS, [own(function), "psnr", Brightness()], resamples=20)
    assert set(found.metrics) == {"psnr", "brightness"}
    [failure] = found.failures
    assert "\n" not in failure
    import re

    assert re.search(line, failure), failure


def test_failures_are_warnings_of_the_report(subject, cache, tmp_path):
    def sometimes(sets):
        if len(sets.images) != 80 or sets.images.max() > 0.85:
            raise ValueError("too\nbright")
        return Interval(1.0, 0.5, 2.0)

    report, pictures = rows_of(subject, cache, [own(sometimes), "psnr"])
    lines = [each for each in report.warnings if "'own'" in each]
    assert lines == [
        f"{name}: Metric 'own' fails: ValueError: too bright." for name in ("real images", "noise")
    ]
    assert [set(row.metrics) for row in report.rows] == [{"psnr"}, {"psnr"}, {"psnr", "own"}]
    write_evaluation(report, pictures, tmp_path / "out")
    nothing, pictures = rows_of(subject, cache, [own(lambda sets: 3)])
    assert all(not row.metrics for row in nothing.rows)
    write_evaluation(nothing, pictures, tmp_path / "nothing")


def test_a_metric_that_was_asked_for_and_says_nothing_of_the_data_is_named(subject, cache):
    report, _ = rows_of(subject, cache, ["psnr", "spin_energy"])
    assert [each for each in report.warnings if "asked for" in each] == [
        "Metric 'spin_energy' was asked for and has nothing to measure in these data."
    ]
    report, _ = rows_of(subject, cache, ["psnr"])
    assert not any("asked for" in each for each in report.warnings)


def test_metrics_of_two_arrays():
    def features(images):
        flat = images.reshape(len(images), -1).astype(float)
        return flat, flat[:, :3]

    found = measure_images(
        IMAGES,
        OTHERS,
        ["kid", "ssim", "all"],
        network=features,
        training=OTHERS,
        unseen=IMAGES,
        resamples=20,
    )
    x, y = features(IMAGES)[0], features(OTHERS)[0]
    assert found.metrics["domain_kid"].estimate == pytest.approx(kernel_distance(x, y))
    partners, distances = nearest(IMAGES, OTHERS)
    ssim = structural_similarity(IMAGES, OTHERS[partners]).mean()
    assert found.metrics["ssim"].estimate == pytest.approx(float(ssim))
    assert found.metrics["nearest_training"].estimate == pytest.approx(float(distances.mean()))
    for each in found.metrics.values():
        assert each.low <= each.high
    again = measure_images(IMAGES, OTHERS, ["ssim"], resamples=20)
    assert again.metrics["ssim"] == found.metrics["ssim"]
    other = measure_images(IMAGES, OTHERS, ["ssim"], resamples=20, seed=1)
    assert other.metrics["ssim"] != found.metrics["ssim"]


def test_what_has_nothing_to_measure_is_said():
    found = measure_images(IMAGES, OTHERS, ["domain_kid", "nearest_training"], resamples=20)
    assert found.metrics == {}
    assert [each.split("'")[1] for each in found.failures] == ["domain_kid", "nearest_training"]
    with pytest.raises(InvalidData, match=r"samples have \(1, 4, 4\), reference \(1, 2, 4\)"):
        measure_images(IMAGES, OTHERS[:, :, :2], ["psnr"])


class Nameless(Metric):
    def measure(self, sets):
        return None


class Nothing(Metric):
    name = "nothing"


@pytest.mark.parametrize(
    ("metrics", "kind", "message"),
    [
        (["kld"], UnknownName, "no metric 'kld'"),
        ([3], InvalidArgument, "`metrics` is a list of names and Metric objects"),
        ("kid", InvalidArgument, "`metrics` is a list of names and Metric objects"),
        ([], InvalidArgument, "at least one metric"),
        ([Nameless()], InvalidArgument, "Nameless lacks its name"),
        ([Nothing], InvalidArgument, "Nothing lacks measure"),
        ([own(len, name="psnr")], InvalidArgument, "'psnr' is a name of this package"),
        ([own(len, name="kid")], InvalidArgument, "'kid' is a name of this package"),
        ([own(len), own(len)], InvalidArgument, "Two metrics are called 'own'"),
        ([own(len, better="up")], InvalidArgument, "better is 'lower', 'higher' or 'neither'"),
    ],
)
def test_no_metrics(metrics, kind, message):
    with pytest.raises(kind, match=message):
        find_metrics(metrics)


def test_inceptions_metrics_need_its_weights(subject, cache):
    with pytest.raises(InvalidOption, match="'inception_kid' needs Inception's weights"):
        rows_of(subject, cache, ["inception_kid"])


CODE = """
from tests.evaluation.test_metrics import Brightness

class Theirs(Brightness):
    name = "theirs"
"""


def test_a_package_brings_one(package, subject, cache):  # noqa: F811
    points = "theirs = packaged:Theirs\notherwise = packaged:Theirs\n"
    package("packaged", f"[qdm_qiskit.metric]\n{points}", CODE)
    report, _ = rows_of(subject, cache, ["theirs"])
    assert report.metrics["theirs"]["package"] == "packaged"
    assert report.metrics["theirs"]["version"] == "1.5"
    given = type("Given", (Brightness,), {"name": "theirs"})
    alone, _ = rows_of(subject, cache, [given()])
    assert [row.metrics for row in report.rows] == [row.metrics for row in alone.rows]
    with pytest.raises(InvalidExtension, match="give it one name"):
        find_metrics(["otherwise"])
