"""The pole cameras that film the world."""
