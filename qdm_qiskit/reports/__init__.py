"""Reports on circuits and runs: what `evaluation` has computed, as Markdown, JSON, PNG and HTML."""
