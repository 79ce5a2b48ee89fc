"""How well something does against the truth of the simulation: the detector, and the rules."""
