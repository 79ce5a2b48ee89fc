"""Characters that nobody sees are named: where they break the file, and where they are in a name that is not found."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowrt.catalog import Catalog
from flowrt.config import read

FLOW = "flow: a\nnodes:\n  tick: {type: timer, every_s: 1}\n  print: {type: debug, from: tick}\n"
CATALOG = Catalog()


def said(folder: Path, text: str, **overrides: str) -> list[str]:
    file = folder / "a.yaml"
    file.write_bytes(text.encode())
    options = {key.replace("__", "."): value for key, value in overrides.items()}
    return [f"{each.line}:{each.column} {each.message}" for each in read(file, catalog=CATALOG, overrides=options)[1]]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  tick", "\u00a0 tick", "3:1 a no-break space (U+00A0), which is not a space in YAML"),
        ("  tick", "\u3000tick", "3:1 an ideographic space (U+3000), which is not a space in YAML"),
        ("type: timer", "type:\u00a0timer", "3:15 a no-break space (U+00A0)"),
        ("every_s", "every\u00ad_s", "3:28 a soft hyphen (U+00AD)"),
        ("tick: {", "ti\u200bck: {", "3:5 a zero width space (U+200B)"),
        ("print", "\ufeffprint", "4:3 a zero width no-break space (U+FEFF)"),
        ("timer", "\u201ctimer\u201d", "3:16 curly quotes"),
        ("every_s", "\u2018every_s\u2019", "3:23 curly quotes"),
        ("1}\n", "1}\r\r\n", "3:34 a carriage return (U+000D) that ends no line"),
        ("timer, ", "timer,\r ", "3:22 a carriage return (U+000D) that ends no line"),
        ("  tick", "\ttick", "3:1 a tab character"),
        ("type: timer", 'type: "timer\u00a0"', "3:16 unknown node type 'timer\\u00a0'"),
        ("type: timer", 'type: "timer\u00a0"', "3:16 the text begins or ends with a no-break space (U+00A0)"),
        ("type: timer", 'type: "timer\\r"', "3:16 unknown node type 'timer\\r'"),
        ("type: timer", 'type: "timer\t"', "3:16 the text begins or ends with a tab character (U+0009)"),
        ("every_s: 1", '"every_s\u00a0": 1', "3:23 unknown setting 'every_s\\u00a0' of 'timer'"),
        (
            "every_s: 1",
            'every_s: "1\\r"',
            "3:32 expected a number at least 0.01 and at most 86400, found the string '1\\r'",
        ),
        ("from: tick", 'from: "tick\u200b"', "4:30 there is no node 'tick\\u200b'"),
        ("flow: a", 'flow: "\u200ba"', "1:7 '\\u200ba' is no name for a flow"),
    ],
)
def test_they_are_named(old: str, new: str, message: str, tmp_path: Path) -> None:
    assert old in FLOW
    found = said(tmp_path, FLOW.replace(old, new))
    assert any(each.startswith(message) for each in found), "\n".join(found)


def test_a_value_from_the_command_line(tmp_path: Path) -> None:
    [message] = said(tmp_path, FLOW, tick__every_s="5\r")
    assert message.endswith("found the string '5\\r'")


@pytest.mark.parametrize("end", ["\r\n", "\r", "\n"])
def test_every_kind_of_line_end_is_read(end: str, tmp_path: Path) -> None:
    assert said(tmp_path, FLOW.replace("\n", end)) == []


def test_what_belongs_to_a_text_is_no_problem(tmp_path: Path) -> None:
    text = FLOW.replace("flow: a", "flow: a\nx-note: '10\u00a0km/h, \u201cquoted\u201d'").replace(
        "nodes:", "nodes: # 5\u00a0s"
    )
    assert said(tmp_path, text) == []
