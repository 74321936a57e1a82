"""The `qdm` command: one file a command group."""
