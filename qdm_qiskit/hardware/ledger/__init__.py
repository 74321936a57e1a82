"""Journal of all that was planned, reserved, sent, found and spent, and tables made of it."""
