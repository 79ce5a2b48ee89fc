"""Addresses of services and cameras, and other text from outside: what is wrong with it, and the passwords in it.

`problem` names what a parser would trip over (a `#` in a password cuts the address there) without showing any of the password.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Collection
from itertools import islice
from typing import NamedTuple
from urllib.parse import unquote

HIGHEST_PORT = 65_535
ENCODED = {"@": "%40", "/": "%2F", "?": "%3F", "#": "%23", "[": "%5B", "]": "%5D"}
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_QUOTES = "\"'`\u201c\u201d\u2018\u2019\u201e\u00ab\u00bb"
_LINE_ENDS = re.compile(r"(\r?\n)+\Z")
_WEBSOCKETS = ("ws", "wss")
_VALUE = r"=(?!=)(?P<value>[^&;\s/'\"]+?)(?=[:,.)\]]{0,3}(?:[&;\s/'\"]|$))"
"""Of a parameter; punctuation behind it belongs to the sentence around it."""
_PARAMETER = re.compile(rf"(?i)(?P<name>(?:(?:login_?)?pas|pwd|psw|token|secret|api_?key|auth)[a-z]{{0,12}}){_VALUE}")
_IN_QUERY = re.compile(
    r"(?i)(?<=[?&;,_/])(?P<name>pw|pword|key|access_?key|sig|signature|jwt|sid|session(?:_?id)?|cred(?:ential)?s?|code|pin)"
    + _VALUE
)
"""Names that mean a secret in an address, and anything elsewhere."""
_IN_PATH = re.compile(r"(?<=/)(?P<user>[^/:@?#&=;,\s]+):(?P<value>[^/@?#\s]+?)(?=[:,.)\]]{0,3}(?:[/?#\s]|$))")
"""A segment of a path that looks like user and password: `rtsp://host/admin:pw/1`."""
_USERS = frozenset({"admin", "administrator", "guest", "operator", "root", "supervisor", "user", "viewer"})
_NUMBERS = re.compile(r"[\d:.TZ+-]+\Z")
_IN_TEXT = re.compile(r"://(?P<rest>[^\s'\"<>]+)")
MOST_ENDS = 16
"""So many `@` of an address are looked at as the end of a password."""
_NAMES = {"\r": "a carriage return (\\r)", "\n": "a line break (\\n)", "\t": "a tab (\\t)", "\0": "a zero byte (\\0)"}


class Problem(NamedTuple):
    """What is wrong with an address, and what to do."""

    message: str
    hint: str


class _Parts(NamedTuple):
    """An address taken apart. user_info: all before the `@` of the host, as far as it is meant as user and password."""

    scheme: str
    user_info: str
    host: str
    port: str
    rest: str


def problem(address: str, schemes: Collection[str], *, path: bool = True, query: bool = True) -> Problem | None:
    """What keeps an address from being used; None where nothing does. path, query: whether it may have them."""
    expected = f"expected {' or '.join(f'{scheme}://' for scheme in schemes)} and a host"
    if address[:1] in _QUOTES or address[-1:] in _QUOTES:
        return Problem("quotes are part of the address", "remove the quotes from the value")
    if control := control_character(address):
        return Problem(f"{control} in the address", "remove it")
    if any(char.isspace() for char in address):
        return Problem("a space in the address", "remove it, or write %20")
    parts = _taken_apart(address)
    if parts is None:
        return Problem("the address has no scheme", expected)
    if parts.scheme in _WEBSOCKETS and parts.scheme not in schemes:
        return Problem("MQTT over websockets is not supported", expected)
    if parts.scheme not in schemes:
        return Problem(f"'{parts.scheme}' is not a supported kind of address", expected)
    if hidden := _hidden(parts.user_info):
        return Problem(f"user or password hold {hidden}, percent-encoded", "write them again without it")
    if unencoded := [char for char in ENCODED if char in parts.user_info]:
        written = ", ".join(f"{char} as {ENCODED[char]}" for char in unencoded)
        return Problem("user and password hold characters that must be percent-encoded", f"write {written}")
    if re.search(r"[\[\]:]", parts.host) and not _is_ipv6(parts.host):
        return Problem("the host is not a name, and not an IPv6 address in brackets", "write [::1] or a host name")
    if not parts.host:
        return Problem("the address has no host", expected)
    if parts.port and not (parts.port.isascii() and parts.port.isdigit()):
        return Problem("the port is not a number", "write HOST:PORT; in a password, write : as %3A")
    if parts.port and not 0 < int(parts.port) <= HIGHEST_PORT:
        return Problem(f"the port {parts.port[:12]} is not between 1 and {HIGHEST_PORT}", "correct the port")
    if not query and re.search("[?#]", parts.rest):
        return Problem("a query in the address is not understood", "remove what follows the ?, and use the settings")
    if not path and parts.rest not in ("", "/"):
        return Problem("a path in the address is not understood", "remove what follows the host")
    return None


def passwords(address: str) -> set[str]:
    """Every text that an address may have as password or token, also where it is not well formed; as written and decoded."""
    found = {match["value"] for match in _PARAMETER.finditer(address)}
    for match in _IN_TEXT.finditer(address):
        rest = match["rest"]
        found |= {segment["value"] for segment in _IN_PATH.finditer(rest) if _is_login(segment)}
        found |= {parameter["value"] for parameter in _IN_QUERY.finditer(rest)}
        if not _may_have_user_info(rest):
            continue
        certain = True
        for end in islice((i for i, char in enumerate(rest) if char == "@"), MOST_ENDS):
            password = rest[:end].partition(":")[2]
            found.add(password)
            if certain:  # its parts too, as a parser that splits it elsewhere may show them
                found |= {part for part in re.split(r"[@/?#:]", password) if len(part) > 3}
                certain = _is_split_elsewhere(rest, end)
    # in a path, other parameters may follow after _ or ,
    found |= {part for text in found if len(part := re.split("[_,]", text)[0]) > 3}
    return {form for text in found if text for form in (text, unquote(text))}


def without_passwords(text: str) -> str:
    """Text with *** in place of the user info and tokens of every address in it."""
    return _PARAMETER.sub(r"\g<name>=***", _IN_TEXT.sub(_masked, text))


def control_character(text: str, allowed: str = "") -> str:
    """The first control character by its name; empty where there is none."""
    for char in text:
        if char not in allowed and unicodedata.category(char) in ("Cc", "Zl", "Zp"):
            return _NAMES.get(char, f"the control character 0x{ord(char):02x}")
    return ""


def without_line_end(text: str) -> str:
    """Text of a file or variable without the line ends behind it, as `echo` and editors leave them."""
    return _LINE_ENDS.sub("", text)


def _masked(match: re.Match[str]) -> str:
    """All before the last `@` goes: it is better to lose a host than to show the end of a password that holds an `@`."""
    rest = match["rest"]
    if _may_have_user_info(rest):
        rest = f"***{rest[rest.rindex('@') :]}"
    rest = _IN_PATH.sub(lambda segment: f"{segment['user']}:***" if _is_login(segment) else segment[0], rest)
    return "://" + _IN_QUERY.sub(r"\g<name>=***", rest)


def _is_login(segment: re.Match[str]) -> bool:
    """Whether a segment `a:b` of a path is user and password, and neither a port behind a host nor a time."""
    return segment["user"].lower() in _USERS or not _NUMBERS.match(segment["value"])


def _hidden(user_info: str) -> str:
    """What percent-encoding hides of what no service takes; empty where there is nothing."""
    try:
        return control_character(unquote(user_info, errors="strict"))
    except UnicodeDecodeError:
        return "bytes that are no text"


def _taken_apart(address: str) -> _Parts | None:
    scheme = _SCHEME.match(address)
    if scheme is None:
        return None
    rest = address[scheme.end() :]
    user_info = ""
    if "@" in rest and not _is_host_and_path(rest):
        end = _end_of_user_info(rest)
        user_info, rest = rest[:end], rest[end + 1 :]
    split = re.search(r"[/?#]", rest)
    authority, rest = (rest[: split.start()], rest[split.start() :]) if split else (rest, "")
    host, port = authority, ""
    if ":" in authority[authority.rfind("]") + 1 :]:
        host, _, port = authority.rpartition(":")
    return _Parts(scheme[1].lower(), user_info, host, port, rest)


def _is_host_and_path(rest: str) -> bool:
    """Whether an `@` stands only in the path of an address without user info (`host/@2x`, `host:554/a@b`)."""
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    _, colon, port = authority.partition(":")
    return "@" not in authority and (not colon or port.isdigit() or rest.startswith("["))


def _is_ipv6(host: str) -> bool:
    try:
        ipaddress.IPv6Address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return host.startswith("[") and host.endswith("]")


def _may_have_user_info(rest: str) -> bool:
    """Whether an `@` may end user and password: what could be a port (`admin:12/34@host`) could be a password as well."""
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    return "@" in authority or ("@" in rest and ":" in authority and not rest.startswith("["))


def _is_split_elsewhere(rest: str, end: int) -> bool:
    """Whether the user info may end at a later `@` than this one."""
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    return "@" in rest[end + 1 : len(authority)] or end > len(authority)


def _end_of_user_info(rest: str) -> int:
    """Where the `@` before the host is: the last one that a host follows, before any `@` of path or query."""
    ends = [i for i, char in enumerate(rest) if char == "@"]
    first = re.search(r"[/?#]", rest)
    before = [i for i in ends if first is None or i < first.start()]
    if not before:  # a / ? or # within the password: the host follows the first @ behind it
        return ends[0]
    return before[-1]
