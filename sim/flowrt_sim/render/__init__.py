"""Pictures of a street and what stands and moves on it."""
