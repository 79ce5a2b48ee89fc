"""Blocks written once for several things: names, parameters, scopes, places, and what is said of mistakes in them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flowrt.catalog import Catalog
from flowrt.config import load, read
from flowrt.diagnostics import Diagnostic
from flowrt.flow import Flow
from flowrt.plan import Plan

HEAD = "flow: a\nsite: s\nnodes:\n"
BLOCK = """\
  shared: {type: timer, every_s: 9}
  each:
    for_each: {place: [north, east]}
    nodes:
      tick: {type: timer, every_s: 1}
      pass: {type: rate_limit, from: [tick, shared], most: 3}
  print: {type: debug, from: pass}
"""
BY_HAND = """\
  shared: {type: timer, every_s: 9}
  north_tick: {type: timer, every_s: 1}
  north_pass: {type: rate_limit, from: [north_tick, shared], most: 3}
  east_tick: {type: timer, every_s: 1}
  east_pass: {type: rate_limit, from: [east_tick, shared], most: 3}
  print: {type: debug, from: [north_pass, east_pass]}
"""


CATALOG = Catalog()


def flow(folder: Path, nodes: str, **overrides: str) -> Flow:
    file = folder / "a.yaml"
    file.write_text(HEAD + nodes)
    return load(file, catalog=CATALOG, overrides={key.replace("__", "."): text for key, text in overrides.items()})


def problems(folder: Path, nodes: str) -> list[Diagnostic]:
    file = folder / "a.yaml"
    file.write_text(HEAD + nodes)
    return [each for each in read(file, catalog=CATALOG)[1] if each.severity == "error"]


def same(one: Flow, other: Flow) -> bool:
    return Plan.between(one, other).empty and {*one.edges} == {*other.edges} and [*one.nodes] == [*other.nodes]


def test_a_block_is_what_could_have_been_written_by_hand(tmp_path: Path) -> None:
    assert same(flow(tmp_path, BLOCK), flow(tmp_path, BY_HAND))


def test_parameters_are_values_of_any_kind(tmp_path: Path) -> None:
    written = """\
  each:
    for_each:
      place:
        north: {every: 2, ports: [shared], at: "${env:NO_SUCH_VARIABLE:-false}"}
        east: {every: 3, ports: [shared, north_tick], at: true}
    nodes:
      ${place}: {type: timer, every_s: "${place.every}", at_start: "${place.at}"}
      tick: {type: timer, every_s: "1${place.every}"}
      log: {type: debug, from: "${place.ports}", per_s: 5}
  shared: {type: timer, every_s: 9}
"""
    by_hand = """\
  north: {type: timer, every_s: 2, at_start: false}
  north_tick: {type: timer, every_s: 12}
  north_log: {type: debug, from: [shared], per_s: 5}
  east: {type: timer, every_s: 3, at_start: true}
  east_tick: {type: timer, every_s: 13}
  east_log: {type: debug, from: [shared, north_tick], per_s: 5}
  shared: {type: timer, every_s: 9}
"""
    assert same(flow(tmp_path, written), flow(tmp_path, by_hand))


def test_a_name_within_an_environment_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NORTH_S", "4")
    nodes = """\
  each:
    for_each: {place: {north: {variable: NORTH_S}, east: {variable: EAST_S}}}
    nodes:
      tick: {type: timer, every_s: "${env:${place.variable}:-7}"}
  print: {type: debug, from: tick}
"""
    made = flow(tmp_path, nodes).nodes
    assert [getattr(made[name].settings, "every_s") for name in ("north_tick", "east_tick")] == [4, 7]  # noqa: B009


def test_a_setting_from_outside_reaches_one_or_all(tmp_path: Path) -> None:
    made = flow(tmp_path, BLOCK, tick__every_s="5", east_pass__most="8").nodes
    assert [getattr(made[name].settings, "every_s") for name in ("north_tick", "east_tick")] == [5, 5]  # noqa: B009
    assert [getattr(made[name].settings, "most") for name in ("north_pass", "east_pass")] == [3, 8]  # noqa: B009


def test_a_former_name_is_completed_as_the_name_is(tmp_path: Path) -> None:
    old = flow(tmp_path, BLOCK)
    new = flow(tmp_path, BLOCK.replace("from: pass", "from: limit").replace("pass: {", "limit: {renamed_from: pass, "))
    plan = Plan.between(old, new)
    assert [(change.was, change.name) for change in plan.changes if change.was != change.name] == [
        ("north_pass", "north_limit"), ("east_pass", "east_limit"),
    ]  # fmt: skip
    assert not plan.of("added") + plan.of("removed") + plan.of("replaced")


def test_nodes_with_other_names_become_a_block_and_are_carried_over(tmp_path: Path) -> None:
    old = flow(tmp_path, BY_HAND.replace("north_", "n_").replace("east_", "e_"))
    block = BLOCK.replace("[north, east]", "{north: {was: n}, east: {was: e}}")
    for name in ("tick", "pass"):
        block = block.replace(f"      {name}: {{", f'      {name}: {{renamed_from: "${{place.was}}_{name}", ')
    plan = Plan.between(old, flow(tmp_path, block))
    assert {change.kind for change in plan.changes} == {"kept"}
    assert {change.was: change.name for change in plan.changes if change.was != change.name} == {
        "n_tick": "north_tick", "n_pass": "north_pass", "e_tick": "east_tick", "e_pass": "east_pass",
    }  # fmt: skip


def test_another_entry_adds_its_nodes_only(tmp_path: Path) -> None:
    old = flow(tmp_path, BLOCK)
    new = flow(tmp_path, BLOCK.replace("[north, east]", "[south, north, east]"))
    names = Plan.between(old, new).names()
    assert names["added"] == ["south_tick", "south_pass"]
    assert names["rewired"] == ["print"]
    assert names["kept"] == ["shared", "north_tick", "north_pass", "east_tick", "east_pass"]
    assert not names["replaced"] + names["removed"] + names["reconfigured"]


def test_a_block_in_the_place_of_nodes_written_by_hand_changes_nothing(tmp_path: Path) -> None:
    old = flow(tmp_path, BY_HAND)
    assert Plan.between(old, flow(tmp_path, BLOCK)).empty


def test_a_mistake_in_a_block_is_one_problem_with_the_line_of_the_text_and_of_each_use(tmp_path: Path) -> None:
    [problem] = problems(tmp_path, BLOCK.replace("every_s: 1}", "evry_s: 1}"))
    assert (problem.line, problem.column) == (8, 27)
    assert problem.message == "unknown setting 'evry_s' of 'timer'"
    assert [(use.what, use.line, use.column) for use in problem.uses] == [
        ("place: north", 6, 24),
        ("place: east", 6, 31),
    ]
    assert "for place: north, " in str(problem)


def test_a_mistake_whose_message_has_the_name_is_one_problem_too(tmp_path: Path) -> None:
    [problem] = problems(tmp_path, BLOCK.replace("from: [tick, shared], ", ""))
    assert problem.message == "node 'east_pass' has no `from`" or problem.message == "node 'north_pass' has no `from`"
    assert len(problem.uses) == 2


def test_a_for_each_outside_of_the_nodes(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(f"for_each: {{place: [north]}}\n{HEAD}{BY_HAND}")
    [problem] = [each for each in read(file, catalog=CATALOG)[1] if each.severity == "error"]
    assert "it stands in `nodes:`" in problem.hint


def test_a_mistake_in_a_parameter_stands_where_it_is_given(tmp_path: Path) -> None:
    nodes = """\
  each:
    for_each: {place: {north: {every: 1}, east: {every: often}}}
    nodes:
      tick: {type: timer, every_s: "${place.every}"}
  print: {type: debug, from: tick}
"""
    [problem] = problems(tmp_path, nodes)
    assert (problem.line, problem.column) == (5, 57)
    assert problem.path == "nodes.east_tick.every_s"
    assert [(use.what, use.line) for use in problem.uses] == [("${place.every}", 7)]


def test_a_place_of_the_running_flow_names_text_and_use(tmp_path: Path) -> None:
    problem = flow(tmp_path, BLOCK).diagnostic("east_tick", "it failed")
    assert problem.line == 8
    assert problem.uses[0].what == "place: east"


@pytest.mark.parametrize(
    ("old", "new", "place", "message", "hint"),
    [
        ("{place: [north, east]}", "[north]", "6:15", "expected one name with its entries, found a list", "for_each: {camera:"),
        ("{place: [north, east]}", "{a: [b], c: [d]}", "6:15", "expected one name with its entries, found 2 names", ""),
        ("[north, east]", "[]", "6:23", "`for_each` of nothing", "name at least one"),
        ("[north, east]", "north", "6:23", "expected a list of names, found the string 'north'", ""),
        ("[north, east]", "[north, 7]", "6:31", "expected a name, found 7", ""),
        ("[north, east]", "[north, East]", "6:31", "'East' is no name", "small letters"),
        ("[north, east]", "[north, north]", "6:31", "'north' appears twice", "already in line 6"),
        ("[north, east]", "{north: 5}", "6:31", "expected the parameters of 'north', found 5", ""),
        ("    nodes:\n", "    node:\n", "7:5", "unknown key 'node' beside `for_each`", "did you mean 'nodes'?"),
        ("[tick, shared]", "[tikc, shared]", "9:39", "there is no node 'tikc'", "did you mean 'tick'?"),
        ("every_s: 1}", 'every_s: "${plaice}"}', "8:36", "unknown substitution '${plaice}'", "here it is ${place}"),
        ("every_s: 1}", 'every_s: "${place.every}"}', "8:36", "'north' has no parameter 'every'", "in line 6"),
        ("  print:", "  north_tick: {type: timer}\n  print:", "10:3", "'north_tick' appears twice", "line 8, for place: north"),
        ("tick: {type: timer, every_s: 1}", "tick: {for_each: {a: [b]}, nodes: {}}", "8:7", "a `for_each` within a `for_each`", ""),
        ("  each:\n    for_each: {place: [north, east]}\n    nodes:\n", "  for_each: {place: [north, east]}\n  nodes:\n", "5:3", "a `for_each` that has no name", "below a name of its own"),
        ("      tick:", "      ${plaice}_tick:", "8:7", "unknown substitution in the name '${plaice}_tick'", "here it is ${place}"),
        ("from: [tick, shared]", "from: ${place}", "9:39", "not YAML", "quote a value with ${…} within braces"),
        ("from: pass", "from: pas", "10:30", "there is no node 'pas'", "did you mean 'pass'?"),
        ("every_s: 1}", "objects: tick}", "8:27", "unknown setting 'objects'", ""),
    ],
)  # fmt: skip
def test_mistakes(old: str, new: str, place: str, message: str, hint: str, tmp_path: Path) -> None:
    assert old in BLOCK
    found = problems(tmp_path, BLOCK.replace(old, new))
    first = next(each for each in found if each.message.startswith(message))
    assert f"{first.line}:{first.column}" == place
    assert hint in first.hint
    if "for_each" in message or "name" in message:
        assert len({(each.line, each.column) for each in found}) <= 2


def test_several_nodes_where_one_is_wanted(tmp_path: Path) -> None:
    nodes = """\
  each:
    for_each: {place: [north, east]}
    nodes:
      lights: {type: signal.fixed, plan: [{duration_s: 10, green: [a]}]}
  seen: {type: mqtt_in, topic: a}
  rule: {type: violation, from: seen, when: "true", signal: lights}
"""
    said = [each.message for each in problems(tmp_path, nodes)]
    assert "'lights' stands for several nodes: north_lights, east_lights" in said


def test_a_block_is_bounded(tmp_path: Path) -> None:
    names = ", ".join(f"n{number}" for number in range(2000))
    ticks = "\n".join(f"      t{number}: {{type: timer, every_s: {number + 1}}}" for number in range(200))
    nodes = f"  each:\n    for_each: {{place: [{names}]}}\n    nodes:\n{ticks}\n"
    assert any("with all blocks written out" in each.message for each in problems(tmp_path, nodes))


LABELS = st.sampled_from(["a", "b", "c", "d", "e"])


@st.composite
def blocks(draw: st.DrawFn) -> tuple[str, str]:
    """A flow with a repeated block, and the same written by hand."""
    entries = draw(
        st.lists(st.sampled_from(["north", "east", "south", "west", "n2"]), min_size=1, max_size=4, unique=True)
    )
    shared = draw(st.lists(st.sampled_from(["clock", "pulse"]), unique=True, min_size=1))
    members = draw(st.lists(LABELS, min_size=1, max_size=5, unique=True))
    seconds = {entry: draw(st.integers(1, 9)) for entry in entries}
    outside = [f"  {name}: {{type: timer, every_s: 60}}" for name in shared]
    template, named, hand = [], {}, []
    for i, name in enumerate(members):
        with_key = draw(st.booleans())
        feeders = draw(st.lists(st.sampled_from([*members[:i], *shared]), max_size=3, unique=True))
        named[name] = with_key, feeders, draw(st.booleans())
    texts = {name: "x_${p}_" + name if with_key else name for name, (with_key, _, _) in named.items()}
    full = {
        entry: {
            name: f"x_{entry}_{name}" if with_key else f"{entry}_{name}" for name, (with_key, _, _) in named.items()
        }
        for entry in entries
    }

    def node(feeders: list[str], own: bool, seconds_text: str, names: dict[str, str]) -> str:
        every = seconds_text if own else "30"
        if not feeders:
            return f"{{type: timer, every_s: {every}}}"
        listed = ", ".join(f'"{names.get(each, each)}"' for each in feeders)
        return f"{{type: rate_limit, from: [{listed}], per_s: {every}}}"

    template = [
        f"      {texts[name]}: {node(feeders, own, chr(34) + '${p.s}' + chr(34), texts)}"
        for name, (_, feeders, own) in named.items()
    ]
    for entry in entries:
        for name, (_, feeders, own) in named.items():
            hand.append(f"  {full[entry][name]}: {node(feeders, own, str(seconds[entry]), full[entry])}")
    given_entries = ", ".join(f"{entry}: {{s: {seconds[entry]}}}" for entry in entries)
    block = ["  each:", f"    for_each: {{p: {{{given_entries}}}}}", "    nodes:", *template]
    return "\n".join([*outside, *block]) + "\n", "\n".join([*outside, *hand]) + "\n"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pair=blocks())
def test_any_block_equals_the_flow_written_by_hand(pair: tuple[str, str], tmp_path: Path) -> None:
    assert same(flow(tmp_path, pair[0]), flow(tmp_path, pair[1]))
