"""The broker's access list, for Mosquitto: flowrt writes its topics, people and dashboards read them.

The topics come from `schemas/topics`, users and further topics from `schemas/access.json`. Mosquitto denies what no line allows.
A topic is listed below the prefix and one level deeper, where `prefix: PREFIX/{site}` puts it.
"""

from __future__ import annotations

import msgspec

from flowrt.contract.contract import Contract
from flowrt.system.resources import share

_HEAD = """# Who may do what on the broker. Made by `flowrt contract acl` from schemas/topics and schemas/access.json; edit those.
# A message to a topic that is not listed here is refused by the broker and becomes a dead letter.
# The broker's uptime is there for health checks.
"""


class User(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One user of the broker."""

    user: str
    write: tuple[str, ...] = ()
    read: tuple[str, ...] = ()


class Readers(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Users that read every topic of the contract."""

    users: tuple[str, ...]
    read: tuple[str, ...] = ()


class Access(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`schemas/access.json`. writer: the user that also writes the contract's topics."""

    description: str
    writer: User
    others: tuple[User, ...]
    readers: Readers


def acl(contract: Contract, prefix: str = "smartintersection") -> str:
    """`docker/mosquitto/acl`. prefix: as in the flow file, without `{site}`."""
    access = msgspec.json.decode((share("schemas") / "access.json").read_bytes(), type=Access)
    lines = [_HEAD, f"user {access.writer.user}"]
    for topic in sorted(contract.topics):
        lines += [f"topic write {prefix}/{topic}", f"topic write {prefix}/+/{topic}"]
    lines += _topics(access.writer)
    for other in access.others:
        lines += ["", f"user {other.user}", *_topics(other)]
    for reader in access.readers.users:
        lines += [
            "",
            f"user {reader}",
            f"topic read {prefix}/#",
            *(f"topic read {topic}" for topic in access.readers.read),
        ]
    return "\n".join(lines) + "\n"


def _topics(user: User) -> list[str]:
    return [*(f"topic write {topic}" for topic in user.write), *(f"topic read {topic}" for topic in user.read)]
