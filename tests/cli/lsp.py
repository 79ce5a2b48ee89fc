"""A small client of the language server protocol, for tests with the real yaml-language-server."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).parents[2]
ANSWER_S = 60.0


def server_script() -> Path:
    """Where npm has put the server: tests/nodejs, or $FLOWRT_NODE_MODULES."""
    modules = Path(os.environ.get("FLOWRT_NODE_MODULES", ROOT / "tests" / "nodejs" / "node_modules"))
    return modules / "yaml-language-server" / "bin" / "yaml-language-server"


class LanguageServer:
    """One running server. Its requests are answered, its diagnostics kept by document."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            ["node", str(server_script()), "--stdio"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._answers: dict[int, queue.Queue[Any]] = {}
        self._diagnostics: dict[str, queue.Queue[Any]] = {}
        self._number = 0
        self._lock = threading.Lock()
        threading.Thread(target=self._listen, daemon=True).start()

    def __enter__(self) -> LanguageServer:
        capabilities = {"textDocument": {"completion": {}, "hover": {}}, "workspace": {"configuration": True}}
        self.request("initialize", {"processId": os.getpid(), "rootUri": None, "capabilities": capabilities})
        self._send({"method": "initialized", "params": {}})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.request("shutdown", None)
        self._send({"method": "exit"})
        self._process.wait(10)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()

    def open(self, uri: str, text: str) -> list[dict[str, Any]]:
        """Open a document and wait for what the server says of it."""
        self._diagnostics[uri] = queue.Queue()
        document = {"uri": uri, "languageId": "yaml", "version": 1, "text": text}
        self._send({"method": "textDocument/didOpen", "params": {"textDocument": document}})
        found: list[dict[str, Any]] = self._diagnostics[uri].get(timeout=ANSWER_S)
        return found

    def completion(self, uri: str, line: int, column: int) -> list[str]:
        """The labels offered at a place; line and column count from 0."""
        place = {"textDocument": {"uri": uri}, "position": {"line": line, "character": column}}
        answer = self.request("textDocument/completion", place)
        items = answer["items"] if isinstance(answer, dict) else answer
        return [item["label"] for item in items]

    def hover(self, uri: str, line: int, column: int) -> str:
        """The text shown for a place."""
        place = {"textDocument": {"uri": uri}, "position": {"line": line, "character": column}}
        answer = self.request("textDocument/hover", place)
        return str(answer["contents"]["value"]) if answer else ""

    def request(self, method: str, params: Any) -> Any:
        """Ask, and wait for the answer."""
        self._number += 1
        answer = self._answers[self._number] = queue.Queue()
        self._send({"id": self._number, "method": method, "params": params})
        return answer.get(timeout=ANSWER_S)

    def _send(self, message: dict[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self._process.stdin is not None
        with self._lock:
            self._process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
            self._process.stdin.flush()

    def _listen(self) -> None:
        stream = self._process.stdout
        assert stream is not None
        while header := stream.readline():
            length = int(header.split(b":")[1])
            while stream.readline().strip():
                pass
            self._take(json.loads(stream.read(length)))

    def _take(self, message: dict[str, Any]) -> None:
        if "method" not in message:
            assert "error" not in message, message
            self._answers[message["id"]].put(message.get("result"))
        elif message["method"] == "textDocument/publishDiagnostics":
            waiting = self._diagnostics.get(message["params"]["uri"])
            if waiting is not None:
                waiting.put(message["params"]["diagnostics"])
        elif "id" in message:
            self._send({"id": message["id"], "result": self._configuration(message)})

    def _configuration(self, message: dict[str, Any]) -> Any:
        """No schema store: nothing is fetched from outside."""
        if message["method"] != "workspace/configuration":
            return None
        own = {"yaml": {"schemaStore": {"enable": False}, "validate": True, "completion": True, "hover": True}}
        return [own.get(item.get("section", ""), {}) for item in message["params"]["items"]]
