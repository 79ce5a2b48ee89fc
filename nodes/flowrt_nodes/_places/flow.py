"""The flow file of a place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from flowrt.addresses import passwords
from flowrt_nodes._places.kinds import Place

SIM_MODEL = "model: flowrt-traffic-int8.xml, input_px: [1280, 736], nms: across, iou: 0.45, min_confidence: 0.3"
PUBLIC_MODEL = "yolox-nano"
_KEEP = "keep: [car, truck, bus, motorcycle, bicycle, person]"


class _Node(NamedTuple):
    """A node of the flow, what it is for, and whether it needs metres."""

    text: str
    about: str
    metres: bool = False


NODES: dict[str, _Node] = {
    "red_light": _Node("{type: violation.red_light, from: zones}", "over the stop line at red"),
    "wrong_way": _Node("{type: violation.wrong_way, from: zones}", "against the heading of a lane"),
    "turns": _Node(
        '{type: violation.illegal_turn, from: zones, banned: [{from: stop_line, to: "exit_${camera}"}]}',
        "turns that are banned here: turning back",
    ),
    "stopped": _Node("{type: violation.stopped, from: zones, zones: [no_stopping]}", "standing where it is forbidden"),
    "speeding": _Node("{type: violation.speeding, from: zones}", "faster than `limit_kmh` of the lane", metres=True),
    "on_crosswalk": _Node("{type: violation.stopped_on_crosswalk, from: zones}", "standing on the crosswalk at red", True),
    "on_amber": _Node("{type: violation.amber_acceleration, from: zones}", "accelerating at amber", metres=True),
    "jaywalking": _Node("{type: violation.jaywalking, from: zones}", "on the road beside the crosswalk, or against the signal"),
    "yielding": _Node("{type: violation.failure_to_yield, from: zones}", "driving on while a pedestrian crosses", metres=True),
    "near_misses": _Node("{type: violation.near_miss, from: zones}", "two that nearly met", metres=True),
    "pedestrians": _Node("{type: pedestrian_safety, from: [PEDESTRIANS]}", "steps onto the crosswalk, unsafe crossings"),
    "lanes": _Node("{type: traffic_flow, from: zones, interval_s: 60}", "volume, speed, gaps and queues of each lane"),
}  # fmt: skip


def flow_text(kind: Place, template: str, name: str, legs: Sequence[str], cameras: Sequence[str], model: str) -> str:
    """The file. cameras: addresses of real cameras; none for the simulation."""
    real = bool(cameras)
    lines = [
        f"# {kind.about[0].upper()}{kind.about[1:]}.",
        f"# Begun with `flowrt new {name} --template {template}`; `flowrt check {name}.yaml` says what is wrong, `flowrt run {name}.yaml` runs it.",
        f"flow: {name}",
        f"site: {name}",
        f"include: {name}.scene.yaml   # what each camera sees: lines and zones",
        "",
        "nodes:",
    ]
    if kind.signalised:
        lines += _signals(name, real)
    lines += [
        "  # What is written here is there for each camera: `tracks` becomes "
        + ", ".join(f"{leg}_tracks" for leg in legs)
        + ".",
        "  approach:",
        "    for_each:",
        "      camera:",
        *(_camera(leg, cameras[number] if real else "") for number, leg in enumerate(legs)),
        "    nodes:",
        *_block(kind, real, model),
        "",
        "  health: {type: health_probe, every_s: 10}",
        "",
        "  # Where it goes: to the servers that MQTT_URL and INFLUX_URL name, else to a broker of its own on this machine.",
        "  to_broker:  {type: mqtt_out, from: all}",
        "  to_history: {type: influx_out, from: all}",
    ]
    return "\n".join(lines) + "\n"


def variable(leg: str) -> str:
    """The environment variable of an address that has a password."""
    return f"{leg.upper()}_CAMERA"


def _signals(name: str, real: bool) -> list[str]:
    if real:
        return [
            "  # The controller's phases, as it publishes them (docs/rules.md). Names of groups are those of the scene.",
            f'  signals: {{type: signal.mqtt, topic: "spat/{name}"}}',
            "",
        ]
    return [
        "  # The simulation's controller. A real one: {type: signal.mqtt, topic: …}, or read its lamps: {type: signal.lamp, …}.",
        '  signals: {type: signal.sim, uri: "sim://four-way?seed=7"}',
        "",
    ]


def _camera(leg: str, address: str) -> str:
    if not address:
        return f'        {leg}: {{url: "sim://four-way?seed=7&camera={leg}&fps=5"}}'
    if passwords(address):
        return f'        {leg}: {{url: "${{env:{variable(leg)}}}"}}   # its address has a password'
    return f"        {leg}: {{url: {_quoted(address)}}}"


def _block(kind: Place, real: bool, model: str) -> list[str]:
    without_metres = [each for each in kind.rules if not NODES[each].metres]
    pedestrians = [
        "zones",
        *(
            each
            for each in ("jaywalking", "yielding", "near_misses")
            if each in (without_metres if real else kind.rules)
        ),
    ]
    lines = [
        '      ${camera}: {type: camera, uri: "${camera.url}", position: "${camera}", scene: "${camera}"}',
        "      # The scene is that of the camera for all that follows.",
        f'      objects:  {{type: detect, from: "${{camera}}", {_model(real, model)}}}',
        f"      tracks:   {{type: track, from: objects{'' if real else ', new_confidence: 0.5'}}}",
    ]
    if real:
        lines += [
            "      zones:    {type: roi, from: tracks}",
            "      # Once the scene has a homography: let `zones` come from `speeds`, and take the comments away below.",
            "      # speeds: {type: speed, from: tracks}",
        ]
    else:
        lines += [
            "      speeds:   {type: speed, from: tracks}",
            "      zones:    {type: roi, from: speeds}",
        ]
    for rule in kind.rules:
        node = NODES[rule]
        if real and rule == "turns":
            lines.append(
                f"      # turns: {{type: violation.illegal_turn, from: zones, banned: [{{from: stop_line, to: exit_left}}]}}   # {node.about}"
            )
            continue
        hidden = "# " if real and node.metres else ""
        text = node.text.replace("PEDESTRIANS", ", ".join(pedestrians))
        lines.append(f"      {hidden}{rule + ':':<13} {text}   # {node.about}")
    return lines


def _model(real: bool, model: str) -> str:
    if not real:
        return SIM_MODEL
    return f"model: {_quoted(model)}" if model else f"model: {PUBLIC_MODEL}, {_KEEP}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("${", "$${")
    return f'"{escaped}"'
