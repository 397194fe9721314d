"""Small harmful changes to the server, each of which has to make a test fail."""
