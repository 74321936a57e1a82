"""Runs on a QPU: planned, reserved in a budget, submitted once, collected, recorded.

``plan``, ``planning``, ``estimate`` and ``schedule`` decide a run; ``chain`` walks it, through the
``places`` where jobs run: ``submit`` sends one once, ``collect`` fetches its counts, ``reverse`` makes
the next step of them. ``ledger`` keeps what was spent and sent, ``record`` the files, ``service`` is
the only way to IBM.
"""

__all__ = [
    "ibm",
    "ledger",
    "plan",
    "providers",
    "run",
]
