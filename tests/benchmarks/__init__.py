"""Speed of this server beside others, on one machine and in one run: ``make bench``."""
