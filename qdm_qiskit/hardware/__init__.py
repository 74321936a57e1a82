"""Runs on a QPU: planned, reserved in a budget, submitted once, collected, recorded.

``store`` and ``ledger`` keep what was spent and sent; ``service`` talks to IBM, ``submit`` sends a
circuit once, ``collect`` fetches its counts, ``chain`` walks the reverse chain of a plan.
"""
