"""What a result is worth: distances, fidelities, and how much of a signal noise has left."""
