"""How the outputs of detection models are read: a decoder for each family, and which of them a model needs."""
