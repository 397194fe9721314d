"""Hooks on their own: payloads, transports, signatures."""
