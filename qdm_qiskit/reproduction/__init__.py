"""Claims of the papers as cards: their figures, ours, and a verdict that a command gets again.

::

    card.py              a card, its figures, and how a number of ours is judged
    reader.py            cards from JSON files (format ``qdm-reproduction-card/1``)
    catalog.py           the package's cards by name, and what was measured for each
    check_arguments.py   names of checks and of their arguments, for the reader
    checks.py            checks by name: counts, closed forms, arithmetic on printed numbers
    result_files.py      numbers of measurements, by their place in result files
    training_runs.py     trainings of a card
    timing.py            training steps of two models, timed in turn
    reproduce.py         all of it for one card
    pages.py             cards as Markdown tables

Reading and listing cards needs neither torch nor Qiskit; :func:`reproduce_card` does.
"""

from .card import (
    Agreement,
    Basis,
    Card,
    Figure,
    Found,
    Reading,
    Source,
    Timing,
    Training,
    Verdict,
    judge,
    verdict_of,
)
from .catalog import CardTable, all_cards, find_card, recorded
from .reader import SCHEMA, card_from_dict, read_card

__all__ = [
    "SCHEMA",
    "Agreement",
    "Basis",
    "Card",
    "CardTable",
    "Figure",
    "Found",
    "Reading",
    "Source",
    "Timing",
    "Training",
    "Verdict",
    "all_cards",
    "card_from_dict",
    "find_card",
    "judge",
    "read_card",
    "recorded",
    "verdict_of",
]
