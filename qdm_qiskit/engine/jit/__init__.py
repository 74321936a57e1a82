"""Evolution in machine code, compiled for a circuit, on tiles that fit the cache."""
