"""The node library: one node, one file; a module's path below this package is the type's name in a flow file."""
