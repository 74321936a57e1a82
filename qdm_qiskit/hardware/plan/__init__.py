"""Plans of runs: their work and its price, decided before anything is sent."""

__all__ = [
    "calibration_reuse",
    "call_circuits",
    "call_jobs",
    "calls",
    "circuits",
    "config",
    "files",
    "plan_file",
    "prepare",
    "qpu_seconds",
    "run_plan",
    "shot_allocation",
    "shots",
    "target_choice",
    "types",
    "work",
]
