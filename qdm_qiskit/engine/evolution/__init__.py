"""Operations as torch functions of states, with gradients by hand."""

__all__ = [
    "adjoint",
    "allocator",
    "autograd_ops",
    "block_matrices",
    "constants",
    "gate_entries",
    "hermitian_readout",
    "parameter_tables",
    "pauli_readout",
    "pauli_values",
    "per_sample_gates",
    "planner",
    "post_selection",
    "qubit_order",
    "shot_sampling",
    "steps",
    "unitary_products",
]
