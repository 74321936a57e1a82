"""IBM Quantum as a provider; the only folder that knows IBM's client."""

__all__ = [
    "account",
    "client_errors",
    "collect",
    "dry_run",
    "execution_mode",
    "post_guard",
    "provider",
    "sampler",
]
