"""A subscriber in a process of its own: prints when each message came, and the capture time it carries.

python -m benchmarks._subscriber PORT TOPIC       # lines "monotonic_ns capture_us" once the input is closed
"""

from __future__ import annotations

import json
import sys
import time
from datetime import datetime
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from flowrt_nodes.mqtt._connection import no_delay


def main() -> None:
    came: list[tuple[int, bytes | bytearray]] = []
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.on_socket_open = no_delay

    def on_message(_client: Any, _data: Any, message: mqtt.MQTTMessage) -> None:
        came.append((time.monotonic_ns(), message.payload))

    client.on_message = on_message
    client.on_subscribe = lambda *_: print("ready", flush=True)
    client.connect("127.0.0.1", int(sys.argv[1]))
    client.subscribe(sys.argv[2], 1)
    client.loop_start()
    sys.stdin.read()
    client.disconnect()
    client.loop_stop()
    for now_ns, payload in came:
        print(now_ns, round(datetime.fromisoformat(json.loads(payload)["time"]).timestamp() * 1e6))


if __name__ == "__main__":
    main()
