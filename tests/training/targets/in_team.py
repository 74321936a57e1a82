"""A team of processes for `test_sharing.py`, started by a launcher: what each finds, to a file."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from accelerate import PartialState

from qdm_qiskit.engine.noise.column_team import working_together
from qdm_qiskit.training.processes import join_processes
from qdm_qiskit.training.targets.sharing import sharing_of
from tests.engine.noise.test_column_team import noisy_program

QUBITS = 8


def found(*, together: bool) -> dict[str, torch.Tensor]:
    """Return the outcomes of one row and the gradients, by all processes or by this one."""
    program = noisy_program(QUBITS)
    generator = torch.Generator().manual_seed(3)
    inputs = torch.rand(1, QUBITS, dtype=torch.float64, generator=generator).requires_grad_()
    weights = torch.rand(2 * QUBITS, dtype=torch.float64, generator=generator).requires_grad_()
    sharing = sharing_of(join_processes())
    sharing.active = together
    with working_together(sharing.team):
        values = program.probabilities(inputs, weights)
    (values * torch.linspace(0, 1, 2**QUBITS, dtype=torch.float64)).sum().backward()
    assert inputs.grad is not None
    assert weights.grad is not None
    return {"values": values.detach(), "inputs": inputs.grad, "weights": weights.grad}


if __name__ == "__main__":
    index = join_processes().index
    results = {name: found(together=name == "together") for name in ("together", "alone")}
    torch.save(results, Path(sys.argv[1]) / f"{index}.pt")
    PartialState().destroy_process_group()
