"""Providers run the circuits of jobs: the contract, the care around it, and this machine as one."""
