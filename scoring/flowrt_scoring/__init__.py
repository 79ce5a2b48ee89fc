"""Scoring: a flow on simulated traffic, held against what really happened.

`simulated` puts the simulation in the place of a flow's cameras and signals, `reference` knows the truth, `matching` compares,
`report` prints. The package uses the runtime, the simulation and the node library; none of them knows it.
"""
