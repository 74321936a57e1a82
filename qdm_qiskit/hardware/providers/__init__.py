"""Providers obtain the counts of a run's jobs; the contract, and this machine as one of them."""
