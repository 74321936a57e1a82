"""Ratios beside the peers are kept by date, and compared with the ones before; no time is looked at."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.helpers import ROOT, load_script

RATIOS = load_script(ROOT / "benchmarks" / "ratios.py")


def report(factor=1.0, when="2026-12-01T10:00:00+00:00", cpu="a cpu"):
    """What engine.py writes; peers take ``factor`` times four and eight of ours."""
    times = {
        "ours": {"median_ms": 2.0, "min_ms": 1.0},
        "tc": {"median_ms": 8.0 * factor, "min_ms": 4.0 * factor},
        "qnn": {"median_ms": 16.0 * factor, "min_ms": 8.0 * factor},
        "from-qnn": {"median_ms": 2.0, "min_ms": 1.0},
    }
    versions = {"qdm_qiskit": "0.2.0"}
    machine = {"when": when, "cpu": cpu, "load": 0.5, "versions": versions}
    return {"machine": machine, "workloads": {"W4": times}}


def written(tmp_path, **changes):
    path = tmp_path / f"{len(list(tmp_path.iterdir()))}.json"
    path.write_text(json.dumps(report(**changes)))
    return path


def test_ratios_are_the_peers_time_over_ours():
    [tc, qnn] = RATIOS.of_report(report(1.5))
    assert (tc.peer, tc.median, tc.least) == ("tc", 6.0, 6.0)
    assert (qnn.peer, qnn.median, qnn.least) == ("qnn", 12.0, 12.0)


def test_a_measurement_is_kept_once_and_in_the_order_of_dates(tmp_path):
    kept = tmp_path / "ratios.csv"
    late = RATIOS.of_report(report(when="2026-12-02T10:00:00+00:00"))
    early = RATIOS.of_report(report(when="2026-12-01T10:00:00+00:00"))
    assert RATIOS.keep(late, kept) == 2
    assert RATIOS.keep(early, kept) == 2
    assert RATIOS.keep(late, kept) == 0
    assert sorted(RATIOS.read(kept), key=str) == sorted([*early, *late], key=str)
    assert [each.when for each in RATIOS.read(kept)] == [early[0].when] * 2 + [late[0].when] * 2


def test_only_ratios_of_one_processor_are_compared():
    before = RATIOS.of_report(report(when="2026-12-01T10:00:00+00:00"))
    other = RATIOS.of_report(report(0.1, when="2026-12-02T10:00:00+00:00", cpu="another"))
    after = RATIOS.of_report(report(0.5, when="2026-12-03T10:00:00+00:00"))
    found = RATIOS.changes([*after, *other, *before])
    assert found == list(zip(before, after, strict=True))
    assert [RATIOS.change(*each) for each in found] == [0.5, 0.5]
    better_least = replace(after[0], least=before[0].least)
    assert RATIOS.change(before[0], better_least) == 1.0


def test_the_command_ends_with_1_below_the_bar_only(tmp_path, capsys):
    file = ("--file", str(tmp_path / "ratios.csv"))
    assert RATIOS.main([*file, "keep", str(written(tmp_path))]) == 0
    assert RATIOS.main([*file, "compare", "--bar", "0.8"]) == 0
    assert "measured twice" in capsys.readouterr().out
    slower = written(tmp_path, factor=0.7, when="2026-12-05T10:00:00+00:00")
    assert RATIOS.main([*file, "keep", str(slower)]) == 0
    assert RATIOS.main([*file, "compare"]) == 0
    assert RATIOS.main([*file, "compare", "--bar", "0.6"]) == 0
    assert RATIOS.main([*file, "compare", "--bar", "0.8"]) == 1
    out, err = capsys.readouterr()
    assert (
        out.count("| a cpu | W4 | tc | 2026-12-01T10:00 | 4 | 2026-12-05T10:00 | 2.8 | 0.70 |") == 3
    )
    assert err.startswith("Less than 0.8 times the one before: a cpu, W4, qnn: 0.70;")


def test_a_report_without_a_date_needs_one(tmp_path):
    undated = report()
    del undated["machine"]["when"]
    with pytest.raises(SystemExit, match="--when"):
        RATIOS.of_report(undated)
    assert {each.when for each in RATIOS.of_report(undated, "2026-11-21")} == {"2026-11-21"}


def test_the_committed_ratios_are_those_of_the_committed_measurements():
    """Two ways to each: the line that is kept, and the times that engine.py wrote."""
    kept = {(r.load, r.workload, r.peer): (r.median, r.least) for r in RATIOS.read()}
    for name in ("engine", "engine_small"):
        found = json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())
        for workload, times in found["workloads"].items():
            for peer in set(times) - {"ours", "engine-qnn", "from-qnn"}:
                median, least = kept[found["machine"]["load"], workload, peer]
                for ratio, key in ((median, "median_ms"), (least, "min_ms")):
                    exact = times[peer][key] / times["ours"][key]
                    assert ratio == pytest.approx(exact, rel=1e-3)
