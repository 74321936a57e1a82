"""Plans of runs: what is run, at which price, decided before anything is sent."""
