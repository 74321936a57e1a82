"""Drawings of circuits, a paper's wire 0 on top."""

from __future__ import annotations

import io

from qiskit import QuantumCircuit

__all__ = ["FOLD", "drawing_svg", "drawing_text"]

FOLD = 24
"""Layers of gates in a row of a drawing."""


def drawing_text(circuit: QuantumCircuit, width: int = 100) -> str:
    """Draw the circuit in characters, a paper's wire 0 on top.

    Rows have at most ``width`` columns, where 40 is the smallest width.
    """
    drawn = circuit.draw("text", fold=max(40, width), idle_wires=True, reverse_bits=True)
    return str(drawn)


def drawing_svg(circuit: QuantumCircuit) -> bytes:
    """Draw the circuit as SVG, a paper's wire 0 on top; the same circuit gives the same bytes.

    Text is drawn as outlines, so the picture does not depend on the reader's fonts.
    """
    import matplotlib
    from matplotlib import pyplot

    # Ids from a fixed salt and no date: otherwise no two files would be equal.
    with matplotlib.rc_context({"svg.hashsalt": "qdm_qiskit", "svg.fonttype": "path"}):
        figure = circuit.draw("mpl", fold=FOLD, idle_wires=True, reverse_bits=True)
        try:
            file = io.BytesIO()
            figure.savefig(file, format="svg", bbox_inches="tight", metadata={"Date": None})
        finally:
            pyplot.close(figure)  # Qiskit's drawer leaves its figure with pyplot
    # Trailing blanks, of which matplotlib writes many, are no part of a picture.
    lines = (line.rstrip() for line in file.getvalue().decode().splitlines())
    return ("\n".join(lines) + "\n").encode()
