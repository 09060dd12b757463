"""Researchers: accounts, log-in, sessions, and the record of what they did."""
