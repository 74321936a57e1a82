"""What was planned, reserved, sent, found and spent: a journal on disk, and tables made of it."""
