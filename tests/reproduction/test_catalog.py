"""The package's cards: all that the papers print exactly, each with its verdict got again."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import pytest

import qdm_qiskit
from qdm_qiskit.errors import InvalidArgument, MissingData, UnknownName
from qdm_qiskit.reproduction import Found, all_cards, find_card, judge, recorded, verdict_of
from qdm_qiskit.reproduction.checks import compute
from qdm_qiskit.reproduction.reproduce import reproduce_card
from qdm_qiskit.reproduction.result_files import read_found
from tests.helpers import ROOT
from tests.reproduction.test_reader import WHOLE

CARDS = {card.name: card for card in all_cards()}
CHECKED = [name for name, card in CARDS.items() if any(f.check for f in card.figures)]
RESULTS = ROOT / "benchmarks" / "results"


def test_names_are_those_of_the_files_and_stand_once():
    folder = files("qdm_qiskit.reproduction").joinpath("cards")
    found = [each.name for each in folder.iterdir()]
    assert len(CARDS) == len(found) == len(all_cards())
    for card in CARDS.values():
        assert card.name.split("-")[0] == card.paper
        tail = card.name.removeprefix(f"{card.paper}-")
        assert any(
            each.startswith(f"{card.paper}-") and each.endswith(f"-{tail}.json") for each in found
        )


@pytest.mark.parametrize("name", CHECKED)
def test_what_a_card_computes_is_its_verdict_and_what_is_recorded(name):
    card = CARDS[name]
    known = recorded(card)
    agreements = []
    for figure in card.figures:
        assert figure.check is not None, "cards of checks have no other figures"
        found = compute(figure.check)
        agreements.append(judge(figure, found))
        assert found.value == pytest.approx(known[figure.name].value, rel=1e-6, abs=1e-6), figure
    assert verdict_of(agreements) == card.verdict


def numbers(found: Found) -> dict[str, float]:
    ends = {"value": found.value, "low": found.low, "high": found.high}
    return {name: end for name, end in ends.items() if end is not None}


def test_what_was_measured_stands_in_the_result_files():
    count = 0
    for card in CARDS.values():
        known = recorded(card)
        for figure in card.figures:
            if figure.measured is not None:
                read, stored = read_found(figure.measured, RESULTS), known[figure.name]
                # Ends of intervals come from SciPy's quantiles, whose last digits differ by version.
                assert numbers(stored) == pytest.approx(numbers(read), rel=1e-6), card.name
                assert (stored.seeds, stored.file) == (read.seeds, read.file), card.name
                count += 1
    assert count >= 20, "measured figures went missing"


def test_a_verdict_is_what_the_recorded_figures_make():
    for card in CARDS.values():
        known = recorded(card)
        if card.verdict in ("not run", "not checkable"):
            assert known == {}, card.name
        else:
            made = verdict_of(judge(each, known.get(each.name)) for each in card.figures)
            assert made == card.verdict, card.name


def test_each_figure_could_have_come_out_otherwise():
    """No figure accepts everything, and none is judged by a number that does not reach it."""
    for card in CARDS.values():
        for figure in card.figures:
            if not (figure.check or figure.measured):
                continue
            low, high = figure.accepted
            assert low > float("-inf") or high < float("inf"), (card.name, figure.name)
            assert high - low < 100 or low == float("-inf") or high == float("inf")


# facts that a reader of the papers looks for: counts of parameters, gates and steps, metrics.
EXACT = (
    (150, 300, 450, 600, 750, 1350, 120, 240, 360, 480, 1050, 180, 540, 720, 900, 1650),
    (
        4,
        254,
        500,
        250,
        382.36,
        74.66,
        420.46,
        44.10,
        550.58,
        339.02,
        40.0,
        47.37,
        42.86,
        44.44,
        45.45,
    ),
    (
        892,
        1735,
        6781,
        934,
        1843,
        7077,
        835,
        792,
        1231,
        987,
        990,
        1008,
        10080,
        9996,
        1995,
        1998,
        9990,
    ),
    (1980, 3990, 3993, 18, 4920, 395.47, 8.95, 0.026, 271.03, 9.6, 0.086, 399.38, 10.06, 0.061),
    (483321, 475329, 440985, 429993, 475281, 440649, 429369, 474293, 84, 72, 16, 28, 24),
    (14440, 12442, 3856, 1108, 9375, 32320, 20560, 45960, 28 * 3, -8.76, -11.03, -1.66),
    (296.869, 295.9013, 52.5332, 39.4563, 0.0275, 3.9783, 3.8076, 45.2762, 41.6646, 38.6835, 38.8),
    (1110, 510, 1500, 3000, 38.2, 822328, 1560, 826392, 13800, 8192, 1380, 15, 0.2503, 0.2587),
    (
        0.4581,
        0.955,
        0.41,
        0.213,
        0.493,
        14 / 17,
        0.0072,
        0.002,
        0.0019,
        0.6486,
        0.7736,
        0.8234,
        8.79,
    ),
    (
        0.3674,
        0.2328,
        1.0154,
        0.2993,
        0.4536,
        0.9763,
        0.0433,
        0.0169,
        10.65,
        10.17,
        -46.77,
        157,
        0.48,
    ),
)


@pytest.mark.parametrize("numbers", EXACT)
def test_the_exact_figures_of_the_papers_are_there(numbers):
    known = {each.theirs for card in CARDS.values() for each in card.figures}
    assert [number for number in numbers if number not in known] == []


def test_a_card_is_found_by_name_and_by_path(tmp_path):
    assert find_card("eeqdm-gates").name == "eeqdm-gates"
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(WHOLE))
    for given in (path, str(path)):
        assert find_card(given).file == path
    with pytest.raises(UnknownName, match=r"no reproduction card 'eeqdm-gate'.*mean 'eeqdm-gates'"):
        find_card("eeqdm-gate")
    with pytest.raises(MissingData, match=r"no reproduction card at .*none\.json"):
        find_card(tmp_path / "none.json")
    with pytest.raises(InvalidArgument, match="`card`"):
        find_card(3)  # type: ignore[arg-type]
    with pytest.raises(UnknownName, match="no paper 'eqdm'"):
        all_cards().of_paper("eqdm")


def test_an_own_card_takes_its_numbers_from_beside_it(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(WHOLE))
    (tmp_path / "results").mkdir()
    (tmp_path / "mine-results.json").write_text("{}")
    card = json.loads(path.read_text())
    card["figures"][1]["measured"]["file"] = "mine-results.json"
    path.write_text(json.dumps(card))
    (tmp_path / "mine-results.json").write_text('{"runs": [{"loss": 0.25}, {"loss": 0.75}]}')
    found = recorded(find_card(path))
    assert found["loss"].value == 0.5
    assert found["loss"].seeds == (0, 1)


def test_a_card_without_a_way_to_our_figures_is_not_run(tmp_path):
    for name in ("defalco-mnist-metrics", "cacioppo-fid", "survey-figures"):
        found = reproduce_card(CARDS[name], folder=tmp_path / "unused")
        assert found.verdict == CARDS[name].verdict
        assert found.as_the_card_says is None
        assert "nothing was run" in repr(found)
    assert not (tmp_path / "unused").exists()


def test_all_files_are_in_the_package():
    folder = Path(qdm_qiskit.__file__).parent / "reproduction"
    assert (folder / "recorded.json").is_file()
    import tomllib

    package = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert {"reproduction/recorded.json", "reproduction/cards/*.json"} <= set(
        package["package-data"]["qdm_qiskit"]
    )
