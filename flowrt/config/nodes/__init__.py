"""The `nodes` block: from entries of the file to configs, which hold whatever of them could be read."""

from flowrt.config.nodes.reader import COMMON, FORMERLY, RENAMED_FROM, EdgeReference, NodeConfig, NodeConfigReader

__all__ = ["COMMON", "FORMERLY", "RENAMED_FROM", "EdgeReference", "NodeConfig", "NodeConfigReader"]
