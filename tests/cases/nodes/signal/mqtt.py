"""Signals from a broker, for the loader's tests."""

from __future__ import annotations

from collections.abc import Iterator

from flowrt import ServiceName, SignalState, Source


class FromMqtt(Source):
    """Signal phases over MQTT."""

    topic: str
    service: ServiceName = "mqtt"

    def produce(self) -> Iterator[SignalState]:
        yield from ()
