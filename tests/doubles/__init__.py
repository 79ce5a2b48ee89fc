"""Doubles of services that cannot be installed for tests."""
