"""The street as it is built: ground plan, paths through it, signal controller."""
