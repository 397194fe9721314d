"""The rules of tus as values in and values out: no server, no clock, no disk."""
