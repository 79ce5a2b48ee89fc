"""Tests of the simulated intersection."""
