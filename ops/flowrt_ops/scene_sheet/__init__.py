"""A scene on a sheet, for `flowrt scene`: a still of the camera, the drawing over it, the road from above, and figures in a table."""
