"""Where Redis is, and a client for what is not done at every request."""
