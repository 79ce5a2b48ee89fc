"""The first start of an InfluxDB 2 or 3 without Docker, over its HTTP API: what the scripts in docker/influxdb do in the container.

Steps that were done before are recognised and left alone, so that it can be repeated.
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from flowrt.commands import Failure
from flowrt_ops.services.home import Home

ORG = "smart-intersection"
BUCKETS = {"traffic_monitoring": 7 * 86_400, "traffic_analytics": 30 * 86_400}
"""Bucket to its retention in seconds."""
READER = "grafana"
THERE = object()


def set_up_3(url: str, home: Home) -> list[str]:
    """Make the databases of an InfluxDB 3; its one token writes, and reads as a password. Raises Failure."""
    api = _Api(url, home.influx3_token, scheme="Bearer")
    done = []
    for name, retention_s in BUCKETS.items():
        body = {"db": name, "retention_period": f"{retention_s // 86_400}d"}
        if api.post("/api/v3/configure/database", body, there=409) is not THERE:
            done.append(f"database {name}")
    token = home.data / "tokens" / "influx_write_token"
    if not token.exists():
        _write(token, home.influx3_token)
        done.append("write token")
    return done


def set_up(url: str, home: Home) -> list[str]:
    """Make organisation, buckets, write token and reader of an InfluxDB 2; returns what was done. Raises Failure."""
    api = _Api(url, home.secret("influx_admin_token"))
    done = []
    if api.get("/api/v2/setup")["allowed"]:
        first, retention_s = next(iter(BUCKETS.items()))
        api.post(
            "/api/v2/setup",
            {
                "username": "admin",
                "password": home.secret("influx_admin_password"),
                "org": ORG,
                "bucket": first,
                "retentionPeriodSeconds": retention_s,
                "token": home.secret("influx_admin_token"),
            },
        )
        done.append(f"organisation {ORG}")
    org = api.get(f"/api/v2/orgs?org={ORG}")["orgs"][0]["id"]
    buckets = {bucket["name"]: bucket["id"] for bucket in api.get(f"/api/v2/buckets?orgID={org}&limit=100")["buckets"]}
    for name, retention_s in BUCKETS.items():
        if name not in buckets:
            rule = {"type": "expire", "everySeconds": retention_s}
            buckets[name] = api.post("/api/v2/buckets", {"orgID": org, "name": name, "retentionRules": [rule]})["id"]
            done.append(f"bucket {name}")
    mine = [buckets[name] for name in BUCKETS]
    token = home.data / "tokens" / "influx_write_token"
    if not token.exists():
        made = api.post(
            "/api/v2/authorizations",
            {"orgID": org, "description": "flowrt writes", "permissions": _permissions("write", org, mine)},
        )
        _write(token, made["token"])
        done.append("write token")
    readers = api.get(f"/private/legacy/authorizations?token={READER}&orgID={org}")["authorizations"]
    if not readers:
        reader = {
            "orgID": org,
            "token": READER,
            "description": "Grafana reads",
            "permissions": _permissions("read", org, mine),
        }
        made = api.post("/private/legacy/authorizations", reader)
        api.post(
            f"/private/legacy/authorizations/{made['id']}/password", {"password": home.secret("influx_read_password")}
        )
        done.append("read-only account")
    return done


def _permissions(action: str, org: str, buckets: list[str]) -> list[dict[str, Any]]:
    return [{"action": action, "resource": {"type": "buckets", "id": bucket, "orgID": org}} for bucket in buckets]


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as out:
        out.write(text + "\n")


class _Api:
    def __init__(self, url: str, token: str, scheme: str = "Token") -> None:
        self._url, self._login = url.rstrip("/"), f"{scheme} {token}"

    def get(self, path: str) -> Any:
        return self._ask("GET", path, None)

    def post(self, path: str, body: dict[str, Any], there: int = 0) -> Any:
        """there: the status that says that it was made before; the answer is THERE then."""
        return self._ask("POST", path, json.dumps(body).encode(), there)

    def _ask(self, method: str, path: str, body: bytes | None, there: int = 0) -> Any:
        headers = {"Authorization": self._login, "Content-Type": "application/json"}
        request = urllib.request.Request(self._url + path, data=body, method=method, headers=headers)
        where = urllib.parse.urlsplit(path).path
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            if error.code == there:
                return THERE
            if error.code == 401:
                raise Failure(
                    f"{self._url} knows another administrator than {where} was asked with: it was set up before, by someone else. "
                    "Give its token to flowrt as INFLUX_TOKEN, or use an empty data folder"
                ) from error
            raise Failure(
                f"{self._url}{where} answered {error.code}: {error.read(300).decode('utf-8', 'replace')}"
            ) from error
        except (OSError, ValueError) as error:
            raise Failure(f"{self._url}{where}: {error}") from error
