"""Cards from JSON, with one line of error for whatever is wrong."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from ..errors import InvalidData
from ..files import read_json_object
from .card import Basis, Card, Figure, Reading, Scale, Source, Timing, Training, Verdict
from .check_arguments import CHECK_ARGUMENTS, OPTIONAL, Kind

__all__ = ["SCHEMA", "card_from_dict", "read_card"]

SCHEMA = "qdm-reproduction-card/1"
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_FILE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*\.json")
_MOST_TEXT, _MOST_ITEMS = 2000, 1000


def read_card(path: Path) -> Card:
    """Return the card of a file.

    Args:
        path: A JSON file of the format ``qdm-reproduction-card/1`` (docs/reproduction-cards.md).

    Raises:
        InvalidData: If it is no such file; the line names the field.
    """
    content = read_json_object(path)
    try:
        return card_from_dict(content, file=path)
    except InvalidData as error:
        raise InvalidData(f"{path} is no reproduction card: {error}") from None


def card_from_dict(content: Mapping[str, Any], *, file: Path | None = None) -> Card:
    """Return the card of JSON values.

    Args:
        content: All fields.
        file: File that they are from; what the card measured lies beside it.

    Raises:
        InvalidData: If a field is missing, unknown or out of range, or two contradict each other.
    """
    if content.get("schema") != SCHEMA:
        raise InvalidData(f"its schema is {_shown(content.get('schema'))}, not '{SCHEMA}'.")
    _fields(
        content,
        "the card",
        needed={"schema", "name", "paper", "source", "claim", "verdict"},
        optional={"figures", "setting", "trainings", "why", "command"},
    )
    trainings = _trainings(content.get("trainings", {}))
    card = Card(
        name=_name(content["name"], "name"),
        paper=_name(content["paper"], "paper"),
        source=_source(content["source"]),
        claim=_text(content["claim"], "claim"),
        figures=tuple(
            _figure(each, f"figures[{k}]", trainings)
            for k, each in enumerate(_list(content.get("figures", []), "figures"))
        ),
        setting=_text(content.get("setting", ""), "setting", empty=True),
        trainings=trainings,
        verdict=_choice(content["verdict"], "verdict", Verdict),
        why=_text(content.get("why", ""), "why", empty=True),
        command=_text(content.get("command", ""), "command", empty=True),
        file=file,
    )
    _check_card(card)
    return card


def _check_card(card: Card) -> None:
    names = [each.name for each in card.figures]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InvalidData(f"two figures have the name {_shown(twice)}.")
    ours = [each for each in card.figures if each.check or each.measured]
    if card.verdict in ("reproduced", "undecided") and len(ours) < max(1, len(card.figures)):
        raise InvalidData(
            f"its verdict is '{card.verdict}', so each figure needs a `check` or `measured`."
        )
    if card.verdict == "refuted" and not ours:
        raise InvalidData("its verdict is 'refuted', but no figure has a `check` or `measured`.")
    if card.verdict in ("not run", "not checkable") and ours:
        raise InvalidData(
            f"its verdict is '{card.verdict}', but figure {_shown(ours[0].name)} has ours."
        )
    if card.verdict != "reproduced" and not card.why:
        raise InvalidData(f"its verdict is '{card.verdict}': `why` must say the reason.")
    if card.verdict != "not checkable" and not card.command:
        raise InvalidData("`command` must say what gets our figures.")


def _source(value: Any) -> Source:
    _fields(value, "source", needed={"citation", "section", "basis"})
    return Source(
        citation=_text(value["citation"], "source.citation"),
        section=_text(value["section"], "source.section"),
        basis=_choice(value["basis"], "source.basis", Basis),
    )


def _figure(value: Any, where: str, trainings: Mapping[str, Mapping[Scale, Training]]) -> Figure:
    _fields(
        value,
        where,
        needed={"name", "theirs"},
        optional={"spread", "within", "accept", "check", "measured", "reading", "less", "timing"},
    )
    theirs = value["theirs"]
    if isinstance(theirs, str):
        _text(theirs, f"{where}.theirs")
    else:
        theirs = _number(theirs, f"{where}.theirs")
    within, accept = value.get("within"), value.get("accept")
    if within is not None:
        if accept is not None:
            raise InvalidData(f"{where} has `within` and `accept`; give one of them.")
        within = _number(within, f"{where}.within", least=0)
    elif accept is not None:
        accept = _interval(accept, f"{where}.accept")
    elif isinstance(theirs, str) and set(value) & {
        "check",
        "measured",
        "reading",
        "timing",
    }:
        raise InvalidData(f"{where}.theirs is words: `accept` must say which of ours agree.")
    if isinstance(theirs, str) and within is not None:
        raise InvalidData(f"{where}.theirs is words: give `accept`, not `within`.")
    if "check" in value and ("measured" in value or "reading" in value):
        raise InvalidData(f"{where} has a `check` and also `measured` or `reading`; give one.")
    if "timing" in value and ("check" in value or "reading" in value):
        raise InvalidData(f"{where} has a `timing` and also `check` or `reading`; give one.")
    if "less" in value and "reading" not in value:
        raise InvalidData(f"{where}.less is taken from a `reading`, which is missing.")
    return Figure(
        name=_text(value["name"], f"{where}.name"),
        theirs=theirs,
        spread=_number(value["spread"], f"{where}.spread", least=0) if "spread" in value else None,
        within=within,
        accept=accept,
        check=_check(value["check"], f"{where}.check") if "check" in value else None,
        measured=_measured(value["measured"], f"{where}.measured") if "measured" in value else None,
        reading=_reading(value["reading"], f"{where}.reading", trainings)
        if "reading" in value
        else None,
        less=_reading(value["less"], f"{where}.less", trainings) if "less" in value else None,
        timing=_timing(value["timing"], f"{where}.timing") if "timing" in value else None,
    )


def _check(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict) or not isinstance(value.get("check"), str):
        raise InvalidData(f"{where} must be an object with the name of a check in `check`.")
    known = CHECK_ARGUMENTS.get(value["check"])
    if known is None:
        raise InvalidData(
            f"{where}.check is {_shown(value['check'])}; there are: {', '.join(CHECK_ARGUMENTS)}."
        )
    _fields(
        value,
        where,
        needed={"check", *(set(known) - OPTIONAL)},
        optional=set(known) & OPTIONAL,
    )
    found = {
        name: _argument(value[name], kind, f"{where}.{name}")
        for name, kind in known.items()
        if name in value
    }
    return {"check": value["check"], **found}


def _argument(value: Any, kind: Kind, where: str) -> Any:
    if kind == "text":
        return _text(value, where)
    if kind == "texts":
        texts = [value] if isinstance(value, str) else _list(value, where, least=1)
        return [_text(each, where) for each in texts]
    if kind == "whole":
        return _whole(value, where)
    if kind == "number":
        return _number(value, where)
    if kind == "numbers":
        return [_number(each, where) for each in _list(value, where, least=1)]
    return _options(value, where)


def _measured(value: Any, where: str) -> dict[str, Any]:
    _fields(value, where, needed={"file", "at"}, optional={"less", "over", "low", "high", "seeds"})
    if not isinstance(value["file"], str) or not _FILE.fullmatch(value["file"]):
        raise InvalidData(
            f"{where}.file is {_shown(value['file'])}; it is the name of a .json file, without a "
            "folder."
        )
    found: dict[str, Any] = {"file": value["file"]}
    for name in ("at", "less", "over", "low", "high"):
        if name in value:
            found[name] = [
                _key(each, f"{where}.{name}")
                for each in _list(value[name], f"{where}.{name}", least=1)
            ]
    if ("low" in value) != ("high" in value):
        raise InvalidData(f"{where} has one of `low` and `high`; give both or none.")
    if {"less", "over"} <= set(value) or ("low" in value and {"less", "over"} & set(value)):
        raise InvalidData(f"{where} takes one of `less`, `over`, and `low` with `high`.")
    if "seeds" in value:
        found["seeds"] = _seeds(value["seeds"], f"{where}.seeds")
    return found


def _key(value: Any, where: str) -> Any:
    """Return a step into a result file: a key, an index, "*", or fields that an entry must have."""
    if isinstance(value, dict):
        if not value:
            raise InvalidData(f"{where} has an empty object; it names fields that an entry has.")
        return {_text(key, where): _scalar(each, where) for key, each in value.items()}
    if isinstance(value, str):
        return _text(value, where)
    return _whole(value, where)


def _reading(value: Any, where: str, trainings: Mapping[str, Mapping[Scale, Training]]) -> Reading:
    _fields(value, where, needed={"run", "metric"}, optional={"epoch"})
    run = _text(value["run"], f"{where}.run")
    if run not in trainings:
        raise InvalidData(
            f"{where}.run is {_shown(run)}; `trainings` has: {', '.join(trainings) or 'none'}."
        )
    epoch = value.get("epoch")
    return Reading(
        run=run,
        metric=_text(value["metric"], f"{where}.metric"),
        epoch=None if epoch is None else _whole(epoch, f"{where}.epoch", least=1),
    )


def _timing(value: Any, where: str) -> Timing:
    _fields(value, where, needed={"model", "over"}, optional={"options", "over_options"})
    return Timing(
        model=_text(value["model"], f"{where}.model"),
        over=_text(value["over"], f"{where}.over"),
        options=_options(value.get("options", {}), f"{where}.options"),
        over_options=_options(value.get("over_options", {}), f"{where}.over_options"),
    )


def _trainings(value: Any) -> dict[str, dict[Scale, Training]]:
    if not isinstance(value, dict):
        raise InvalidData(f"trainings must be an object, got {_shown(value)}.")
    found: dict[str, dict[Scale, Training]] = {}
    for name, scales in value.items():
        where = f"trainings.{_name(name, 'trainings')}"
        if not isinstance(scales, dict) or not scales:
            raise InvalidData(f"{where} must have `minutes`, `full` or both.")
        _fields(scales, where, needed=set(), optional=set(get_args(Scale)))
        found[name] = {
            _choice(scale, where, Scale): _training(each, f"{where}.{scale}")
            for scale, each in scales.items()
        }
    return found


def _training(value: Any, where: str) -> Training:
    _fields(value, where, needed={"model", "epochs"}, optional={"seeds", "options"})
    return Training(
        model=_text(value["model"], f"{where}.model"),
        epochs=_whole(value["epochs"], f"{where}.epochs", least=1),
        seeds=tuple(_seeds(value.get("seeds", [0]), f"{where}.seeds")),
        options=_options(value.get("options", {}), f"{where}.options"),
    )


def _options(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidData(f"{where} must be an object of options, got {_shown(value)}.")
    found = {}
    for name, each in value.items():
        if not name.isidentifier() or name in ("epochs", "seed"):
            raise InvalidData(f"{where} has no option called {_shown(name)}.")
        if isinstance(each, list):
            found[name] = [_scalar(k, f"{where}.{name}") for k in _list(each, f"{where}.{name}")]
        else:
            found[name] = _scalar(each, f"{where}.{name}")
    return found


def _seeds(value: Any, where: str) -> list[int]:
    found = [_whole(each, where) for each in _list(value, where, least=1)]
    if len(set(found)) < len(found):
        raise InvalidData(f"{where} names a seed twice.")
    return found


def _fields(value: Any, where: str, *, needed: set[str], optional: set[str] | None = None) -> None:
    if not isinstance(value, dict):
        raise InvalidData(f"{where} must be an object, got {_shown(value)}.")
    missing = sorted(needed - set(value))
    if missing:
        raise InvalidData(f"{where} has no `{missing[0]}`.")
    unknown = sorted(set(value) - needed - (optional or set()))
    if unknown:
        raise InvalidData(f"{where} has no field called {_shown(unknown[0])}.")


def _list(value: Any, where: str, *, least: int = 0) -> Sequence[Any]:
    if not isinstance(value, list) or not least <= len(value) <= _MOST_ITEMS:
        raise InvalidData(
            f"{where} must be a list of {least} to {_MOST_ITEMS} entries, got {_shown(value)}."
        )
    return value


def _name(value: Any, where: str) -> str:
    if not isinstance(value, str) or len(value) > 80 or not _NAME.fullmatch(value):
        raise InvalidData(
            f"{where} must be a name of lower-case letters, digits and hyphens, got {_shown(value)}."
        )
    return value


def _text(value: Any, where: str, *, empty: bool = False) -> str:
    if not isinstance(value, str) or (not value and not empty):
        raise InvalidData(f"{where} must be text, got {_shown(value)}.")
    if len(value) > _MOST_TEXT or not value.isprintable():
        raise InvalidData(
            f"{where} must be one line of at most {_MOST_TEXT} printable characters, got "
            f"{_shown(value)}."
        )
    return value


def _choice(value: Any, where: str, kind: Any) -> Any:
    choices = get_args(kind)
    if value not in choices:
        raise InvalidData(f"{where} is {_shown(value)}; it is one of: {', '.join(choices)}.")
    return value


def _whole(value: Any, where: str, *, least: int = 0) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value < 2**31:
        raise InvalidData(f"{where} must be a whole number from {least}, got {_shown(value)}.")
    return value


def _number(value: Any, where: str, *, least: float | None = None) -> float | int:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InvalidData(f"{where} must be a number, got {_shown(value)}.")
    low = -1e15 if least is None else least
    if not low <= value <= 1e15:
        raise InvalidData(
            f"{where} must be a number of at least {low:g} and at most 1e15, got {_shown(value)}."
        )
    return value


def _interval(value: Any, where: str) -> tuple[float | None, float | None]:
    if not isinstance(value, list) or len(value) != 2:
        raise InvalidData(
            f"{where} must be [low, high], null for an open end, got {_shown(value)}."
        )
    low, high = (None if each is None else _number(each, where) for each in value)
    if low is not None and high is not None and low > high:
        raise InvalidData(f"{where} must have its lower end first, got [{low}, {high}].")
    return low, high


def _scalar(value: Any, where: str) -> Any:
    if value is None or isinstance(value, bool):
        return value
    return _text(value, where, empty=True) if isinstance(value, str) else _number(value, where)


def _shown(value: Any) -> str:
    """Return a JSON value in a few words, on one line."""
    if isinstance(value, dict | list):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)} entries"
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
