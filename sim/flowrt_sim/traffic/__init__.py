"""Road users in motion."""
