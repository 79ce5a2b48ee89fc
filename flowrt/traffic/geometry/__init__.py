"""Geometry of a scene on arrays: the plane, footprints of road users, and a scene as one camera's pictures show it."""
