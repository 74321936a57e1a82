"""Reports on circuits and runs, as Markdown, JSON, PNG and HTML."""

__all__ = [
    "evaluation",
    "evaluation_render",
    "evaluation_subjects",
    "gallery",
    "hardware",
    "hardware_plan",
    "hardware_render",
    "pictures",
    "run",
    "run_render",
    "states",
    "transpile",
    "transpile_render",
]
