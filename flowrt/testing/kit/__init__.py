"""The kit for authors of nodes: run one node without a flow, hand records to a sink's outside, compare with a golden file.

Authors import from `flowrt.testing`.
"""
