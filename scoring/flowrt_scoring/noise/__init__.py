"""A detector on real pictures, measured, and simulated traffic seen as it would see it."""
