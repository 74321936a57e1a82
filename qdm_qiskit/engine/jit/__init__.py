"""The same evolution in machine code, compiled for a circuit, on tiles that fit the cache."""

__all__ = [
    "block_matrices",
    "compiler",
    "emit_gates",
    "emit_run",
    "emit_vectors",
    "planner",
    "runner",
    "step_table",
    "steps",
]
