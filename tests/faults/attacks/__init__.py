"""Every row of the catalogue of attacks, and the tests that hold it."""
