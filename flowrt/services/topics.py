"""Names of MQTT topics and prefixes: what a broker refuses in them."""

from __future__ import annotations

import re

from flowrt.addresses import Problem, control_character

MAX_BYTES = 65_535
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


def topic_problem(topic: str, what: str = "topic", placeholders: frozenset[str] = frozenset()) -> Problem | None:
    """Why nothing can be published on a topic; None where it can. placeholders: names that may stand in braces."""
    if wildcard := next((char for char in "+#" if char in topic), ""):
        return Problem(
            f"a {what} with the wildcard '{wildcard}'", "publish on a full topic: wildcards are for subscribers"
        )
    if topic.startswith("/") or topic.endswith("/"):
        return Problem(f"a {what} with a '/' at an end", "remove it: levels are separated by one '/' each")
    if "//" in topic:
        return Problem(f"a {what} with an empty level ('//')", "remove one '/'")
    if control := control_character(topic):
        return Problem(f"a {what} with {control}", "remove it")
    if any(char.isspace() for char in topic):
        return Problem(f"a {what} with a space", "write _ or - in its place")
    if topic.startswith("$"):
        return Problem(f"a {what} that begins with '$'", "these belong to the broker")
    if len(topic.encode()) > MAX_BYTES:
        return Problem(f"a {what} of {len(topic.encode())} bytes", f"at most {MAX_BYTES}")
    for name in _PLACEHOLDER.findall(topic):
        if name not in placeholders:
            known = " and ".join(f"{{{each}}}" for each in sorted(placeholders))
            return Problem(
                f"a {what} with the unknown name {{{name}}}",
                f"{known} is replaced" if known else "write the name itself",
            )
    return None


PREFIX_NAMES = frozenset({"site"})


def prefix_problem(prefix: str) -> Problem | None:
    """Why topics can't begin with this prefix; None where they can."""
    return topic_problem(prefix, "prefix", PREFIX_NAMES)
