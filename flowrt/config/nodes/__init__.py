"""The `nodes` block: from entries of the file to configs, which hold whatever of them could be read."""

from flowrt.config.nodes.config import COMMON, FORMERLY, RENAMED_FROM, EdgeReference, NodeConfig
from flowrt.config.nodes.reader import read_nodes

__all__ = ["COMMON", "FORMERLY", "RENAMED_FROM", "EdgeReference", "NodeConfig", "read_nodes"]
