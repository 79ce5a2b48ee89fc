"""The broker's access list, for Mosquitto: flowrt writes its topics and nothing else; people and dashboards read them.

Mosquitto denies what no line allows. A topic is listed below the prefix and one level deeper, where `prefix: PREFIX/{site}` puts it.
"""

from __future__ import annotations

from flowrt.contract.contract import Contract

WRITER = "flowrt"
READERS = ("grafana", "reader")
SIGNALLER = "signals"
SIGNALS = "spat/#"
"""Where signal controllers speak (SPaT), as the user `signals`; `signal.mqtt` listens there."""
SCENESCAPE = "scenescape/data/camera/+"

_HEAD = """# Who may do what on the broker. Made by `flowrt contract acl` from schemas/topics; edit those.
# A message to a topic that is not listed here is refused by the broker and becomes a dead letter.
# The broker's uptime is there for health checks.
"""


def acl(contract: Contract, prefix: str = "smartintersection") -> str:
    """`docker/mosquitto/acl`. prefix: as in the flow file, without `{site}`."""
    lines = [_HEAD, f"user {WRITER}"]
    for topic in sorted(contract.topics):
        lines += [f"topic write {prefix}/{topic}", f"topic write {prefix}/+/{topic}"]
    lines += [f"topic write {SCENESCAPE}", f"topic read {SIGNALS}", "topic read $SYS/broker/uptime"]
    lines += ["", f"user {SIGNALLER}", f"topic write {SIGNALS}"]
    for reader in READERS:
        lines += ["", f"user {reader}", f"topic read {prefix}/#", "topic read $SYS/broker/uptime"]
    return "\n".join(lines) + "\n"
