"""The commands of the command line, one module each.

A command module's docstring begins with its help line. It has `configure(parser)`, which adds its arguments, and
`run(args) -> int`, which returns the exit code: 0 done, 1 the flow is bad, 2 usage, 3 a failure while running.
Nothing is imported before it is asked for, so that each command starts as fast as it can.

Other packages add commands by entry points of the group `flowrt.commands`; the value is such a module.
"""

from __future__ import annotations

from typing import NamedTuple

GROUP = "flowrt.commands"

DONE, BAD_FLOW, USAGE, FAILED = 0, 1, 2, 3


class Command(NamedTuple):
    """Where a command is, and its line in `flowrt --help`."""

    module: str
    help: str


BUILT_IN = {
    "run": Command("flowrt.commands.run", "Run a flow."),
    "check": Command("flowrt.commands.check", "Check flow files and list everything that is wrong with them."),
    "test": Command("flowrt.commands.test", "Run declarative flow tests, and tests of nodes."),
    "record": Command("flowrt.commands.record", "Record tracks and signal states, to be replayed."),
    "replay": Command("flowrt.commands.replay", "Run the rules of a flow over a recording, many times faster."),
    "plan": Command("flowrt.commands.plan", "Show what a reload would keep, change and reset."),
    "new": Command("flowrt.commands.new", "Write a small flow, or a node, to begin with."),
    "nodes": Command("flowrt.commands.nodes", "List the node types, or describe one."),
    "graph": Command("flowrt.commands.graph", "Draw a flow as Mermaid, SVG or PNG."),
    "schema": Command("flowrt.commands.schema", "Print the JSON Schema of flow files, for editors."),
    "events": Command("flowrt.commands.events", "List what was recorded."),
    "outbox": Command("flowrt.commands.outbox", "Show what waits for delivery."),
    "dead-letters": Command("flowrt.commands.dead_letters", "List, show, retry or drop what was refused."),
    "completion": Command("flowrt.commands.completion", "Print the completion of a shell: bash, zsh, fish."),
    "contract": Command(
        "flowrt.commands.contract", "Write what is made from the contract: its pages, AsyncAPI, the access list."
    ),
}


class UsageError(Exception):
    """The command line makes no sense; ends with exit code 2."""


class Failure(Exception):
    """Something outside of the flow failed; ends with exit code 3."""
