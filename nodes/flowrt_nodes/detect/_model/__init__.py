"""Detection models as files: which file a name means, public ones to download, what a model says of itself, and how it is read."""
