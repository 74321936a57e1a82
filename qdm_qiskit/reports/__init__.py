"""Reports on circuits and runs, as Markdown, JSON, PNG and HTML."""
