"""Random and mutated input: Hypothesis against the parsers and a whole server."""
