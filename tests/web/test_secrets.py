"""No channel of the page shows a secret: settings, figures, taps, faults with their tracebacks, and problems."""

from __future__ import annotations

import json
import time

from websockets.sync.client import connect

from tests.run.test_run import FLOW, Run, run

__all__ = ["run"]
SECRET = "xyzzy-plugh-42"
VAULT = '''"""vault: says its secret in every way it can."""

from typing import Annotated

from flowrt import M, Record, Transform, setting


class Vault(Transform):
    """Says its secret."""

    code: Annotated[str, setting("Code.", secret=True)]

    def open(self, context):
        self._count = 0

    def process(self, message: M) -> Record:
        self._count += 1
        if self._count % 20 == 0:
            raise RuntimeError(f"the code is {self.code}")
        return Record(time_s=message.time_s, data={"said": self.code})

    def status(self):
        return {"said": self.code}
'''


def test_no_channel_of_the_page_shows_a_secret(run: Run) -> None:
    (run.folder / "nodes" / "vault.py").write_text(VAULT)
    run.flow.write_text(
        FLOW + "  vault: {type: vault, from: count, code: '${env:CODE}'}\n  said: {type: debug, from: vault}\n"
    )
    run.start(environment={"CODE": SECRET})
    said: list[str] = []
    with connect(run.url.replace("http", "ws") + "/api/page/live", origin=run.url) as socket:  # type: ignore[arg-type]
        socket.send('{"do": "watch", "figures": true, "news": true}')
        socket.send('{"do": "tap", "number": 1, "source": "vault", "target": "said"}')
        end = time.monotonic() + 30
        kinds: set[str] = set()
        while kinds != {"figures", "tap", "fault"} and time.monotonic() < end:
            text = str(socket.recv(10))
            said.append(text)
            message = json.loads(text)
            if message["kind"] == "figures" and "the code is" in message["nodes"]["vault"].get("last_error", ""):
                kinds |= {"figures", "fault"}
            if message["kind"] == "tap" and message["messages"]:
                kinds.add("tap")
        assert kinds == {"figures", "tap", "fault"}
    about = run.get("/api/page/nodes/vault")[1]
    assert json.loads(about)["settings"]["code"] == "***"
    assert "RuntimeError" in json.loads(about)["faults"][0]["traceback"]
    run.flow.write_text(run.flow.read_text().replace("'${env:CODE}'", f"{SECRET}x"))
    run.wait_for(lambda: json.loads(run.get("/api/status")[1])["problems"])
    with connect(run.url.replace("http", "ws") + "/api/page/live", origin=run.url) as socket:  # type: ignore[arg-type]
        socket.send('{"do": "watch", "figures": true}')
        figures = json.loads(socket.recv(10))
        assert figures["problems"]
        said.append(json.dumps(figures))
    said += [about, run.get("/api/page/flow")[1]]
    assert "***" in "".join(said)
    assert SECRET not in "".join(said)
