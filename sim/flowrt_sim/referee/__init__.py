"""What really happened, measured from the exact world."""
