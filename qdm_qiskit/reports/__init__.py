"""Reports on circuits and runs: what `evaluation` has computed, as Markdown, JSON, PNG and HTML."""

__all__ = [
    "evaluation_render",
    "gallery",
    "hardware_figures",
    "hardware_plan",
    "hardware_render",
    "pictures",
    "run_render",
    "states_render",
    "transpile_render",
]
