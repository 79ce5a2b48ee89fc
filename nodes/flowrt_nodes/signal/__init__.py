"""Sources of signal phases."""
