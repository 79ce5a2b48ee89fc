"""The contract in use: `Contract.load()`, then ask it for payloads, points, topics, checks and incompatibilities."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from flowrt.contract.compatibility import measurement_incompatibilities, topic_incompatibilities
from flowrt.contract.payload import payload_of
from flowrt.contract.points import Point, PointMaker, facts_of
from flowrt.contract.spec import MeasurementSpec, NotInContract, TopicSpec, read_folders, schema_files
from flowrt.contract.validate import Breach, Mode, Validator
from flowrt.message import Message, Record
from flowrt.sink import PRIORITIES
from flowrt.system.resources import share

Kind = Literal["topics", "measurements"]
_encode = msgspec.json.Encoder().encode
_NOTHING: Mapping[str, Any] = {}


class Contract:
    """Topics and measurements by name, and what becomes of a message under them. Immutable; usable from any thread.

    A message type belongs to the topic and the measurements that name it or the nearest of its base classes.
    """

    def __init__(self, topics: Mapping[str, TopicSpec], measurements: Mapping[str, MeasurementSpec]) -> None:
        self.topics = dict(topics)
        self.measurements = dict(measurements)
        self._topic_of = {spec.message: spec for spec in self.topics.values() if spec.message}
        self._makers_of: dict[str, list[PointMaker]] = {}
        for measurement in self.measurements.values():
            self._makers_of.setdefault(measurement.message, []).append(PointMaker(measurement))
        self._validator = Validator("all")
        self._last: tuple[Message | None, str, bytes] = None, "", b""
        self.files: tuple[Path, ...] = ()

    @classmethod
    def load(cls, folder: Path | None = None, extra: Iterable[Path] = ()) -> Contract:
        """Read the schemas of `folder` (the project's own where none is given) and of further folders, which may not exist.

        What an extra folder describes takes the place of what stood under the same name.
        Raises FlowError with everything that is wrong with the files.
        """
        own = share("schemas") if folder is None else folder
        folders = [own / "topics", own / "measurements", *extra]
        contract = cls(*read_folders(folders))
        contract.files = tuple(file for place in folders for file in schema_files(place))
        return contract

    @classmethod
    def of_flow(cls, folder: Path) -> Contract:
        """The project's contract with what the folder `schemas/` beside a flow file in `folder` adds. Raises FlowError."""
        return cls.load(extra=[folder / "schemas"])

    @property
    def summary(self) -> tuple[str, ...]:
        """Payload fields that say in a line what an event was, those of the most critical topics first."""
        specs = sorted(self.topics.values(), key=lambda s: (-PRIORITIES.index(s.priority), -len(s.summary), s.topic))
        return tuple(dict.fromkeys(field for spec in specs for field in spec.summary))

    def topic(self, message: Message | type[Message]) -> TopicSpec:
        """The topic of a message or message type; a record's own where it names one. Raises NotInContract."""
        if isinstance(message, Record) and message.topic:
            return self.topics.get(message.topic) or TopicSpec(topic=message.topic)
        kind = message if isinstance(message, type) else type(message)
        for base in kind.__mro__:
            if base.__name__ in self._topic_of:
                return self._topic_of[base.__name__]
        raise NotInContract(
            f"no topic of the contract carries {kind.__name__}; known: {', '.join(sorted(self._topic_of))}"
        )

    def measurements_of(self, message: Message | type[Message]) -> list[MeasurementSpec]:
        """The measurements of a message or message type. Raises NotInContract."""
        return [maker.spec for maker in self._makers(message if isinstance(message, type) else type(message))]

    def _makers(self, kind: type[Message]) -> list[PointMaker]:
        for base in kind.__mro__:
            if base.__name__ in self._makers_of:
                return self._makers_of[base.__name__]
        known = ", ".join(sorted(self._makers_of))
        raise NotInContract(f"no measurement of the contract keeps {kind.__name__}; known: {known}")

    def payload(self, message: Message, site: str) -> dict[str, Any]:
        """The payload as a dict. Raises TypeError where a field holds something JSON has no form for."""
        return payload_of(message, site)

    def encode_payload(self, message: Message, site: str) -> bytes:
        """The payload as JSON. Kept of the last message, since several sinks, and the record of events, ask for the same."""
        last, at, encoded = self._last
        if last is not message or at != site:
            encoded = _encode(payload_of(message, site))
            self._last = message, site, encoded
        return encoded

    def points(self, message: Message, site: str, extra: Mapping[str, Any] = _NOTHING) -> list[Point]:
        """What the measurements keep of a message. extra: further facts that tags may want. Raises NotInContract."""
        facts = facts_of(message, site, extra)
        return [point for maker in self._makers(type(message)) for point in maker.points(facts)]

    def lines(self, message: Message, site: str, extra: Mapping[str, Any] = _NOTHING) -> list[bytes]:
        """The same points as line protocol, times in nanoseconds, one line each without line end. Raises NotInContract."""
        return [line for _, line in self.lines_of(message, site, extra)]

    def lines_of(
        self, message: Message, site: str, extra: Mapping[str, Any] = _NOTHING
    ) -> list[tuple[MeasurementSpec, bytes]]:
        """Each line with its measurement, whose `bucket` says where it goes. Raises NotInContract."""
        makers = self._makers(type(message))
        if not extra and len(makers) == 1 and (line := makers[0].line_of(message, site)) is not None:
            return [(makers[0].spec, line)] if line else []
        facts = facts_of(message, site, extra)
        return [(maker.spec, line) for maker in makers for line in maker.lines(facts)]

    def validate_payload(self, what: Message | type[Message] | str, payload: Any) -> list[Breach]:
        """How a payload breaks the schema of a topic (its name, or a message of it). Raises NotInContract."""
        if not isinstance(what, str):
            return self._validator.check(self.topic(what), payload)
        if what not in self.topics:
            raise NotInContract(f"the contract has no topic '{what}'; known: {', '.join(sorted(self.topics))}")
        return self._validator.check(self.topics[what], payload)

    def validator(self, mode: Mode = "all", every_n: int = 100) -> Validator:
        """A validator of one's own, for `validator.check(contract.topic(message), payload)`."""
        return Validator(mode, every_n)

    def incompatibilities(self, message: type[Message], kind: Kind) -> list[str]:
        """Why messages of this type can't go out as topics or measurements; empty where every one of them can."""
        try:
            if kind == "topics":
                if issubclass(message, Record):
                    return []  # free-form: only its values can tell
                return topic_incompatibilities(message, self.topic(message))
            specs = self.measurements_of(message)
        except NotInContract as error:
            return [str(error)]
        return [
            f"{spec.measurement}.{reason}" for spec in specs for reason in measurement_incompatibilities(message, spec)
        ]
