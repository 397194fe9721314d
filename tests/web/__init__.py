"""HTTP as it comes off the wire, and what is made of it."""
