"""Settings that are inherited, and edges that are selected by type: what is left out means the only thing it can mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowrt.catalog import Catalog
from flowrt.config import read
from flowrt.diagnostics import Diagnostic
from flowrt.flow import Flow

SCENE = (
    "{picture_px: [1280, 720], homography: {image_px: [[0, 0], [9, 0], [9, 9], [0, 9]], ground_m: [[0, 9], [9, 9], [9, 0], [0, 0]]}, "
    "stop_line: {line: [[420, 430], [880, 425]], signal: a}, "
    "lanes: {in_1: {zone: [[430, 420], [640, 420], [560, 700], [260, 700]], heading: [0, 1], limit_kmh: 50}}, "
    "crosswalk: {zone: [[380, 440], [930, 436], [960, 480], [350, 486]]}}"
)
HEAD = f"flow: a\nsite: s\nscene:\n  north: {SCENE}\n  east: {SCENE}\nnodes:\n"
WAY = """\
  cam: {type: camera, uri: "sim://four-way?seed=7"}
  objects: {type: detect, from: cam, model: flowrt-traffic-int8.xml}
  tracks: {type: track, from: objects}
  speeds: {type: speed, from: tracks, scene: north}
  zones: {type: roi, from: speeds}
"""
SIGNALS = "  signals: {type: signal.fixed, plan: [{duration_s: 10, green: [a]}]}\n"
RULE = "  red: {type: violation.red_light, from: zones}\n"
CATALOG = Catalog()


def loaded(folder: Path, nodes: str, head: str = HEAD) -> tuple[Flow | None, list[Diagnostic]]:
    (folder / "a.yaml").write_text(head + nodes)
    flow, diagnostics = read(folder / "a.yaml", catalog=CATALOG)
    return flow, [each for each in diagnostics if each.severity == "error"]


def good(folder: Path, nodes: str) -> Flow:
    flow, problems = loaded(folder, nodes)
    assert problems == []
    assert flow is not None
    return flow


def value(flow: Flow, node: str, setting: str) -> object:
    return getattr(flow.nodes[node].settings, setting)


def edges(flow: Flow, target: str) -> list[str]:
    return [f"{edge.source}.{edge.port}".rstrip(".") for edge in flow.nodes[target].edges if edge.field == "from"]


def test_the_scene_comes_from_upstream_and_the_signal_from_the_only_node_that_has_one(tmp_path: Path) -> None:
    flow = good(tmp_path, WAY + SIGNALS + RULE)
    assert (value(flow, "zones", "scene"), value(flow, "red", "scene")) == ("north", "north")
    assert value(flow, "red", "signal") == "signals"
    assert flow.nodes["red"].entries == {"scene": ("scene", "north")}


def test_the_order_in_the_file_does_not_matter(tmp_path: Path) -> None:
    flow = good(tmp_path, RULE + SIGNALS + "\n".join(reversed(WAY.splitlines())) + "\n")
    assert (value(flow, "red", "scene"), value(flow, "red", "signal")) == ("north", "signals")


def test_what_is_written_counts_also_an_empty_text(tmp_path: Path) -> None:
    flow = good(
        tmp_path,
        WAY + SIGNALS + "  stopped: {type: violation.stopped, from: zones, zones: [in_1], scene: east, signal: ''}\n",
    )
    assert (value(flow, "stopped", "scene"), value(flow, "stopped", "signal")) == ("east", "")


def test_an_optional_setting_is_inherited_too_where_it_is_clear(tmp_path: Path) -> None:
    rule = "  own: {type: violation, from: zones, when: 'track.speed_kmh > 60'}\n"
    assert value(good(tmp_path, WAY + SIGNALS + rule), "own", "signal") == "signals"
    two = SIGNALS + SIGNALS.replace("signals:", "others:")
    assert value(good(tmp_path, WAY + two + rule), "own", "signal") == ""


def test_ambiguous_is_an_error_that_names_the_candidates(tmp_path: Path) -> None:
    _, [problem] = loaded(tmp_path, WAY + SIGNALS + SIGNALS.replace("signals:", "others:") + RULE)
    assert problem.message == "'violation.red_light' needs the setting 'signal', and there are several: signals, others"
    assert problem.hint == "add `signal: signals`, or another of them"
    more = "  east_zones: {type: roi, from: speeds, scene: east}\n  near: {type: violation.near_miss, from: [zones, east_zones]}\n"
    _, [problem] = loaded(tmp_path, WAY + more)
    assert problem.message == (
        "'violation.near_miss' needs the setting 'scene', and there are several: north (zones), east (east_zones)"
    )


def test_signals_read_by_the_own_camera_are_nearer_than_others(tmp_path: Path) -> None:
    head = HEAD.replace("stop_line:", "lamps: {a: {red: [10, 10, 3], green: [10, 30, 3]}}, stop_line:")
    lamps = "  lamps: {type: signal.lamp, from: cam, scene: north}\n"
    other = "  cam_2: {type: camera, uri: 'sim://four-way'}\n  lamps_2: {type: signal.lamp, from: cam_2, scene: east}\n"
    flow, problems = loaded(tmp_path, WAY + other + lamps + RULE, head)
    assert problems == []
    assert flow is not None
    assert value(flow, "red", "signal") == "lamps"


def test_a_chain_of_thousands_of_nodes_is_followed(tmp_path: Path) -> None:
    chain = "".join(
        f"  n{i}: {{type: rate_limit, most: 9, from: {f'n{i - 1}' if i else 'zones'}}}\n" for i in range(3000)
    )
    rule = "  own: {type: violation, from: n2999, when: 'track.speed_kmh > 60'}\n"
    flow = good(
        tmp_path,
        rule + "\n".join(reversed(chain.splitlines())) + "\n" + WAY + SIGNALS + SIGNALS.replace("signals:", "others:"),
    )
    assert (value(flow, "own", "scene"), value(flow, "own", "signal")) == ("north", "")


def test_a_mistake_upstream_is_said_once(tmp_path: Path) -> None:
    _, problems = loaded(tmp_path, WAY.replace("scene: north", "scene: nroth") + SIGNALS + RULE)
    assert [each.message for each in problems] == ["there is no scene 'nroth'"]


RULES = """\
  speeding: {type: violation.speeding, from: zones}
  lanes: {type: traffic_flow, from: zones}
  health: {type: health_probe}
"""


def test_all_is_each_result_from_the_node_that_makes_it(tmp_path: Path) -> None:
    sinks = "  few: {type: filter, from: zones, keep: 'track.speed_kmh > 60'}\n  log: {type: debug, from: few}\n"
    sinks += "  totals: {type: aggregate, from: all}\n  out: {type: mqtt_out, from: all}\n  base: {type: influx_out, from: all}\n"
    flow = good(tmp_path, WAY + SIGNALS + RULE + RULES + sinks.replace("keep:", "when:"))
    delivered = ["cam.camera_status", "tracks", "zones.zone_events", "red", "speeding", "lanes", "health"]
    assert edges(flow, "out") == delivered
    assert edges(flow, "base") == [*delivered, "totals"]
    assert edges(flow, "totals") == ["red", "speeding", "lanes", "health"]


def test_a_new_rule_reaches_every_sink(tmp_path: Path) -> None:
    sinks = "  out: {type: mqtt_out, from: all}\n  some: {type: mqtt_out, from: {types: [violations]}}\n"
    before, after = (good(tmp_path, WAY + SIGNALS + RULES + sinks + more) for more in ("", RULE))
    assert {*edges(after, "out")} - {*edges(before, "out")} == {"red"}
    assert (edges(before, "some"), edges(after, "some")) == (["speeding"], ["speeding", "red"])


def test_types_beside_names(tmp_path: Path) -> None:
    sinks = "  out: {type: mqtt_out, from: [zones.zone_events, speeding, {types: [violations, zone_events, traffic_flow]}]}\n"
    flow = good(tmp_path, WAY + SIGNALS + RULE + RULES + sinks)
    assert edges(flow, "out") == ["zones.zone_events", "speeding", "red", "lanes"]


def test_a_catch_hears_of_the_faults_of_all(tmp_path: Path) -> None:
    flow = good(tmp_path, WAY + "  faults: {type: catch, from: all}\n  log: {type: debug, from: faults}\n")
    assert edges(flow, "faults") == ["cam", "objects", "tracks", "speeds", "zones"]  # not of `log`, which it feeds


def test_records_that_are_made_and_faults_that_are_caught_reach_a_sink(tmp_path: Path) -> None:
    nodes = "  caught: {type: catch, from: all}\n  tick: {type: timer, every_s: 1}\n  number: {type: map, from: tick, fields: {n: message.count}}\n"
    flow = good(tmp_path, nodes + "  out: {type: mqtt_out, from: all}\n")
    assert edges(flow, "out") == ["caught", "number"]
    assert edges(flow, "caught") == ["tick", "number"]  # not of the sink, which stands behind it


def test_a_node_called_all_is_that_node(tmp_path: Path) -> None:
    assert edges(
        good(
            tmp_path,
            "  all: {type: timer, every_s: 1}\n  two: {type: timer, every_s: 2}\n  log: {type: debug, from: all}\n",
        ),
        "log",
    ) == ["all"]


@pytest.mark.parametrize(
    ("written", "message", "hint"),
    [
        ("{types: [violation]}", "no node makes messages of the type 'violation'", "did you mean 'violations'?"),
        ("{types: [frames]}", "'pedestrian_safety' does not take frames", "here it takes"),
        ("{types: [5]}", "expected the name of a port, found 5", "{types: [PORT"),
        ("{typs: [violations]}", "expected the name of a node, found a mapping", "all, or {types: [PORT]}"),
    ],
)
def test_mistakes_in_a_selection(written: str, message: str, hint: str, tmp_path: Path) -> None:
    _, problems = loaded(tmp_path, WAY + SIGNALS + RULE + f"  people: {{type: pedestrian_safety, from: {written}}}\n")
    problem = next(each for each in problems if each.message == message)
    assert hint in problem.hint


def test_all_of_nothing(tmp_path: Path) -> None:
    _, problems = loaded(tmp_path, "  tick: {type: timer, every_s: 1}\n  out: {type: influx_out, from: all}\n")
    assert [each.message for each in problems] == ["no node makes anything that 'influx_out' takes"]
