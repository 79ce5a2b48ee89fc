"""YAML files: read as text, then as a mapping, with what is wrong in words."""

from __future__ import annotations

import stat
from pathlib import Path

from flowrt.config.yaml import characters
from flowrt.config.yaml.composer import compose
from flowrt.config.yaml.tree import Mapping, Scalar, Unreadable, describe
from flowrt.diagnostics import Diagnostic, Mark

MAX_BYTES = 8_000_000


def read_document(path: Path, name: str, diagnostics: list[Diagnostic]) -> Mapping | None:
    """The mapping in a YAML file; None where there is none. What is wrong is appended to `problems`."""
    try:
        return parse(read_text(path, name), name, diagnostics)
    except Unreadable as error:
        diagnostics.append(error.diagnostic)
        return None


def read_text(path: Path, name: str) -> str:
    """A text file's content. Raises Unreadable for anything that is no UTF-8 text of a sane size."""
    file_mark = Mark(name, 0, 0)
    try:
        facts = path.stat()
        if stat.S_ISDIR(facts.st_mode):
            raise Unreadable(file_mark, "this is a folder", "name a YAML file in it")
        if stat.S_ISFIFO(facts.st_mode) and not path.is_relative_to("/dev"):  # /dev/stdin is as good as a file
            raise Unreadable(file_mark, "this is a pipe, which may never end", "name a file")
        if facts.st_size > MAX_BYTES:
            raise Unreadable(
                file_mark, f"the file has {facts.st_size / 1e6:.0f} MB", f"at most {MAX_BYTES // 1_000_000} MB are read"
            )
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise Unreadable(file_mark, "the file does not exist", _sibling(path)) from None
    except (OSError, ValueError) as error:
        raise Unreadable(file_mark, f"the file can't be read: {getattr(error, 'strerror', None) or error}") from None
    if len(data) > MAX_BYTES:
        raise Unreadable(file_mark, "the file does not end", f"at most {MAX_BYTES // 1_000_000} MB are read")
    return decode(data, name)


def _sibling(path: Path) -> str:
    """A YAML file of the same name with the other ending, or near it."""
    for other in (path.with_suffix(".yaml"), path.with_suffix(".yml")) if path.name else ():
        if other.is_file():
            return f"did you mean '{other.name}'?"
    return "check the path"


def decode(data: bytes, name: str) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise Unreadable(Mark(name, 1, 1), "the file is UTF-16, expected UTF-8", "save it as UTF-8")
    if b"\x00" in data[:4096]:
        raise Unreadable(Mark(name, 0, 0), "the file is binary, expected YAML text", "check the path")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8", "replace")) + 1
        mark = Mark(name, before.count(b"\n") + 1, column)
        raise Unreadable(mark, f"byte 0x{data[error.start]:02x} is not UTF-8", "save the file as UTF-8") from None
    if bad := characters.CONTROL.search(text):
        mark = _place(text, bad.start(), name)
        raise Unreadable(mark, f"control character 0x{ord(bad[0]):02x}, expected YAML text", "remove it")
    return text


def _place(text: str, at: int, name: str) -> Mark:
    return Mark(name, text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at))


def parse(text: str, name: str, diagnostics: list[Diagnostic]) -> Mapping | None:
    """The mapping that a YAML text holds. Raises Unreadable for bad syntax and exceeded limits."""
    if "\n" in text and (bad := characters.LONE_RETURN.search(text)):
        message = f"{characters.named(bad[0])} that ends no line"
        raise Unreadable(_place(text, bad.start(), name), message, "remove it, or save the file with plain line ends")
    root = compose(text, name, diagnostics)
    if root is None or (isinstance(root, Scalar) and root.value is None):
        raise Unreadable(Mark(name, 0, 0), "the file is empty", "`flowrt new NAME` writes a flow to begin with")
    if not isinstance(root, Mapping):
        raise Unreadable(root.mark, f"expected a mapping, found {describe(root)}", "begin with `flow: NAME`")
    return root
