"""A simulated, filmed intersection that knows the truth: every path, box, signal phase and violation.

The package stands on its own (numpy, OpenCV, SciPy, PyYAML) and never imports the runtime. Ground coordinates are
metres, x east, y north, z up, origin at the middle of the intersection. Headings are radians from east, anticlockwise.
"""

CLASSES = ("car", "van", "truck", "bus", "motorcycle", "bicycle", "pedestrian")
"""Class names in the order of the class ids used by the data set, the truth and the bundled detector."""

CAMERAS = ("north", "east", "south", "west")
"""The four pole cameras; each is named after the approach that it watches."""

__all__ = ["CAMERAS", "CLASSES"]
