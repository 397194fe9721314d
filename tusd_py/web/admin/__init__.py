"""What operators see: on a listener of its own, or mounted where an embedder wants it."""
