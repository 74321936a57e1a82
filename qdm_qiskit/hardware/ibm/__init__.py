"""IBM Quantum as a provider; the only folder that knows IBM's client."""
