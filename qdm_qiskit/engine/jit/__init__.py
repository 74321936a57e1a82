"""Evolution in machine code, compiled for a circuit, on tiles that fit the cache."""

__all__ = [
    "compiler",
    "emit_angles",
    "emit_gates",
    "emit_run",
    "emit_vectors",
    "large_blocks",
    "planner",
    "runner",
    "step_layout",
    "step_table",
    "steps",
    "tile_work",
    "whole_program",
]
