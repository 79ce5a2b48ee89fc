"""Scoring: a flow on simulated traffic, compared with what really happened; and the detector on rendered pictures.

`simulated` replaces a flow's cameras and signals by the simulation, `reference` holds the truth, `matching` compares the two and
`report` prints the score. The package uses the runtime, the simulator and the node library; none of them imports it.
"""
