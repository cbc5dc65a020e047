"""Shares scripted servers, database sessions and comparisons between the tests."""
