"""Makes the pictures of docs/watching.md again: `python -m tools.dashboards [MINUTES]` (20 unless said).

Runs the shipped flow with a Mosquitto and an InfluxDB of its own, as the tests do, and draws each dashboard with what came of it.
The machine should have nothing else to do: what it can't keep up with shows in the pictures.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "docs" / "pictures"


def main(minutes: float) -> None:
    """Run, and draw."""
    from tests.servers import influx, mosquitto

    with tempfile.TemporaryDirectory() as name, influx(Path(name)) as database, mosquitto(Path(name)) as broker:
        services = {"INFLUX_URL": database.url, "INFLUX_TOKEN": "any", "MQTT_URL": broker.url}
        environment = {**os.environ, **services, "FLOWRT_DATA": f"{name}/data"}
        flowrt = [sys.executable, "-m", "flowrt.cli"]
        run = ["run", "flows/intersection.yaml", "--plain", "--http", "off", "--duration", str(60.0 * minutes)]
        subprocess.run([*flowrt, *run], cwd=ROOT, env=environment, check=True)
        draw = ["dashboards", "draw", "--span", f"{max(round(minutes), 1)}m", "--output", str(PICTURES)]
        subprocess.run([*flowrt, *draw], cwd=ROOT, env=environment, check=True)


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 20.0)
