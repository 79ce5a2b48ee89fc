"""YAML with marks: places, core scalars, and inputs made to hurt."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowrt.config.yaml import (
    MAX_BYTES,
    Mapping,
    Scalar,
    Sequence,
    Unreadable,
    core_value,
    parse,
    read_document,
    read_text,
)
from flowrt.config.yaml.reading import decode
from flowrt.diagnostics import Diagnostic


def tree(text: str) -> Mapping:
    diagnostics: list[Diagnostic] = []
    root = parse(text, "f.yaml", diagnostics)
    assert not diagnostics
    assert root is not None
    return root


def test_every_key_and_value_has_its_place() -> None:
    root = tree("a:\n  - {b: [1, zwei]}\n  - ä: 'drei'\n")
    items = root.items["a"]
    assert isinstance(items, Sequence)
    first, second = items.items
    assert isinstance(first, Mapping)
    assert isinstance(second, Mapping)
    assert root.key("a")[1:4] == (1, 1, 2)
    assert first.key("b")[1:4] == (2, 6, 7)
    inner = first.items["b"]
    assert isinstance(inner, Sequence)
    assert [item.mark[1:4] for item in inner.items] == [(2, 10, 11), (2, 13, 17)]
    assert second.items["ä"].mark[1:4] == (3, 8, 14)  # columns are characters, not bytes


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"),
        ("no", "no"),
        ("12:30:00", "12:30:00"),
        ("2026-05-04", "2026-05-04"),
        ("1_000", "1_000"),
        ("0o17", 15),
        ("017", 17),
        ("0xff", 255),
        ("-3", -3),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("-.inf", float("-inf")),
        ("True", True),
        ("tRUE", "tRUE"),
        ("~", None),
        ("", None),
        ("=", "="),
    ],
)
def test_core_schema(text: str, value: object) -> None:
    found = core_value(text)
    assert found == value
    assert type(found) is type(value)
    if text:
        leaf = tree(f"a: {text}").items["a"]
        assert isinstance(leaf, Scalar)
        assert (leaf.value, type(leaf.value)) == (value, type(value))


def test_quotes_make_strings() -> None:
    for quoted in ('"1"', "'true'", "!!str 1", '""'):
        leaf = tree(f"a: {quoted}").items["a"]
        assert isinstance(leaf, Scalar)
        assert isinstance(leaf.value, str)


def refused(path: Path, data: bytes) -> Diagnostic:
    path.write_bytes(data)
    diagnostics: list[Diagnostic] = []
    assert read_document(path, "f.yaml", diagnostics) is None
    assert len(diagnostics) == 1
    return diagnostics[0]


def test_files_that_are_no_text(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    assert "empty" in refused(file, b"").message
    assert "UTF-16" in refused(file, "flow: a".encode("utf-16")).message
    assert "binary" in refused(file, bytes(range(256))).message
    latin = refused(file, "flow: a\nsite: Straße\n".encode("latin-1"))
    assert (latin.line, latin.column) == (2, 11)
    assert "0xdf" in latin.message


def test_a_byte_order_mark_is_no_problem(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_bytes(b"\xef\xbb\xbfflow: a\n")
    diagnostics: list[Diagnostic] = []
    root = read_document(file, "f.yaml", diagnostics)
    assert root is not None
    assert root.key("flow")[1:3] == (1, 1)


def test_100_mb_are_not_read(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    with file.open("wb") as handle:
        handle.truncate(100_000_000)  # a sparse file: its size alone decides
    with pytest.raises(Unreadable, match="100 MB"):
        read_text(file, "f.yaml")


def test_a_file_that_never_ends() -> None:
    with pytest.raises(Unreadable, match="does not end"):
        read_text(Path("/dev/zero"), "zero")


def test_places_that_are_no_file(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="folder"):
        read_text(tmp_path, "f")
    with pytest.raises(Unreadable, match="does not exist"):
        read_text(tmp_path / "f.yaml", "f")
    (tmp_path / "g.yml").write_text("a: 1")
    with pytest.raises(Unreadable) as caught:
        read_text(tmp_path / "g.yaml", "g")
    assert caught.value.diagnostic.hint == "did you mean 'g.yml'?"
    with pytest.raises(Unreadable, match="can't be read"):
        read_text(tmp_path / ("x" * 5000), "x")


def test_a_bomb_takes_no_memory() -> None:
    lines = ["a0: &a0 [x]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 60)]
    with pytest.raises(Unreadable, match="aliases written out"):
        parse("\n".join(lines), "f", [])


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_depth_without_end(opening: str) -> None:
    with pytest.raises(Unreadable, match="deeper"):
        parse("a:\n " + opening * 100_000, "f", [])


def test_keys_that_are_no_names() -> None:
    for text in ("? [a]\n: b", "? {a: b}\n: c", "x: &x y\n*x : z"):
        with pytest.raises(Unreadable, match="key"):
            parse(text, "f", [])


def test_as_much_as_may_be() -> None:
    text = "flow: a\n" + "".join(f"key{i}: value\n" for i in range(100_000))
    assert len(text) < MAX_BYTES
    assert tree(text).size == 100_002


@given(st.binary(max_size=400))
def test_any_bytes_end_in_a_problem_or_a_mapping(data: bytes) -> None:
    ends_well(lambda: parse(decode(data, "f"), "f", []))


@given(st.text(alphabet="abc:-{}[]&*!|>'\"#%@`,? \n\t0.~<=\\é", max_size=120))
def test_any_text_ends_in_a_problem_or_a_mapping(text: str) -> None:
    ends_well(lambda: parse(text, "f", []))


def ends_well(read: Callable[[], Mapping | None]) -> None:
    """A mapping, or Unreadable; anything else that is raised fails the test."""
    with contextlib.suppress(Unreadable):
        assert read() is not None


@pytest.mark.parametrize("number", ["0x" + "f" * 5000, "0o" + "7" * 5000, "1" * 5000])
def test_fault_02_a_long_number_is_refused_with_its_place(number: str) -> None:
    found: list[Diagnostic] = []
    parse(f"a: {number}", "f", found)
    assert [(each.line, each.column) for each in found] == [(1, 4)]
    assert "a number of" in found[0].message
