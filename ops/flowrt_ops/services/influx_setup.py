"""Set-up of an InfluxDB 2 or 3 without Docker: organisation, buckets, a token that writes, an account that reads.

`flowrt services up` runs it each time, also for a database that runs already. Each step looks first and adds only what is missing, so
a set-up that was interrupted is completed by the next one. A step that fails ends the set-up where the steps behind it need its
result; its error says what to do.
"""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from flowrt.secrets import mask
from flowrt.services.influx_buckets import DATABASES_MOST, inspect
from flowrt.system.http_client import HttpClient, short
from flowrt_ops.influx_reader import Reader, Refused
from flowrt_ops.services.home import Home

ORG = "smart-intersection"
BUCKETS = {"traffic_monitoring": 7 * 86_400, "traffic_analytics": 30 * 86_400}
"""Bucket to its retention in seconds."""
READER = "grafana"
TIMEOUT_S = 20.0


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One step of the set-up. error: why it failed and what to do; changed: whether anything had to be done."""

    name: str
    changed: bool = False
    error: str = ""


class _Failed(Exception):
    """A step failed; the message says why and what to do."""


def set_up(url: str, home: Home) -> list[Step]:
    """Set up an InfluxDB 2. Stops at the first step that fails, except that writer and reader do not need each other."""
    from influxdb_client import InfluxDBClient  # heavy, and needed by this command alone

    with InfluxDBClient(url, token=home.secret("influx_admin_token"), org=ORG, timeout=int(TIMEOUT_S * 1000)) as client:
        setup = _Setup2(url, home, client)
        steps = list(_until_failure(setup.prerequisites()))
        if not any(step.error for step in steps):
            steps += [_step("write token", setup.writer), _step("read-only account", setup.reader)]
    return steps


def set_up_3(url: str, home: Home) -> list[Step]:
    """Set up an InfluxDB 3 Core: its databases. Its one token writes, and reads as a password."""
    token = home.influx3_token
    steps = [_step(f"database {name}", partial(_create_database, url, token, name)) for name in BUCKETS]
    return [*steps, _step("write token", partial(_write, home.write_token, token))]


def _until_failure(steps: Iterator[tuple[str, Callable[[], bool]]]) -> Iterator[Step]:
    for name, action in steps:
        step = _step(name, action)
        yield step
        if step.error:
            return


def _step(name: str, action: Callable[[], bool]) -> Step:
    """Run one step. action: returns whether it changed anything."""
    import urllib3  # with the client

    try:
        return Step(name=name, changed=action())
    except (_Failed, OSError, ValueError, urllib3.exceptions.HTTPError, http.client.HTTPException) as error:
        return Step(name=name, error=str(error))


class _Setup2:
    """The steps for one InfluxDB 2, in the order in which they need each other."""

    def __init__(self, url: str, home: Home, client: Any) -> None:
        import influxdb_client as influx

        self._url, self._home, self._influx = url, home, influx
        api = client.api_client
        self._onboarding = influx.SetupService(api)
        self._organizations = influx.OrganizationsService(api)
        self._buckets = influx.BucketsService(api)
        self._authorizations = influx.AuthorizationsService(api)
        self._accounts = influx.LegacyAuthorizationsService(api)
        self._org = ""
        self._bucket_ids: dict[str, str] = {}

    def prerequisites(self) -> Iterator[tuple[str, Callable[[], bool]]]:
        """What writer and reader need."""
        yield f"organisation {ORG}", self._organization
        for name in BUCKETS:
            yield f"bucket {name}", partial(self._bucket, name)

    def _ask(self, call: Callable[..., Any], *arguments: Any, missing: int = 0, **more: Any) -> Any:
        """Call a service of the client. missing: the status that means that there is none; None is returned then."""
        from influxdb_client.rest import ApiException

        try:
            return call(*arguments, **more)
        except ApiException as error:
            if missing and error.status == missing:
                return None
            said = short(mask(_said(error), self._home.secret_values()))  # masked before it is cut
            raise _Failed(_advice(self._url, int(error.status or 0), said)) from error

    def _organization(self) -> bool:
        fresh = bool(self._ask(self._onboarding.get_setup).allowed)
        if fresh:
            first, retention_s = next(iter(BUCKETS.items()))
            request = self._influx.OnboardingRequest(
                username="admin",
                password=self._home.secret("influx_admin_password"),
                org=ORG,
                bucket=first,
                retention_period_seconds=retention_s,
                token=self._home.secret("influx_admin_token"),
            )
            self._ask(self._onboarding.post_setup, request)
        found = self._ask(self._organizations.get_orgs, org=ORG, missing=404)
        if found is None or not found.orgs:
            raise _Failed(
                f"{self._url} has no organisation '{ORG}': create it (`influx org create --name {ORG}`), or use an empty data folder"
            )
        self._org = found.orgs[0].id
        return fresh

    def _bucket(self, name: str) -> bool:
        there = {one.name: one.id for one in self._ask(self._buckets.get_buckets, org_id=self._org, limit=100).buckets}
        if name not in there:
            rule = self._influx.BucketRetentionRules(type="expire", every_seconds=BUCKETS[name])
            request = self._influx.PostBucketRequest(org_id=self._org, name=name, retention_rules=[rule])
            self._bucket_ids[name] = self._ask(self._buckets.post_buckets, request).id
            return True
        self._bucket_ids[name] = there[name]
        return False

    def _permissions(self, action: str) -> list[Any]:
        influx = self._influx
        return [
            influx.Permission(
                action=action, resource=influx.PermissionResource(type="buckets", id=bucket, org_id=self._org)
            )
            for bucket in self._bucket_ids.values()
        ]

    def writer(self) -> bool:
        """A token that may only write, in the file that flowrt reads. A token that the database does not know is replaced."""
        token = self._home.influx_write_token
        if token and inspect(self._url, token, ORG, tuple(BUCKETS), timeout_s=TIMEOUT_S).writable:
            return False
        request = self._influx.AuthorizationPostRequest(
            org_id=self._org, description="flowrt writes", permissions=self._permissions("write")
        )
        return _write(self._home.write_token, self._ask(self._authorizations.post_authorizations, request).token)

    def reader(self) -> bool:
        """The account of Grafana: user and password, may read both buckets and nothing else."""
        password = self._home.secret("influx_read_password")
        found = self._ask(self._accounts.get_legacy_authorizations, token=READER, org_id=self._org, missing=404)
        account = next(iter(found.authorizations or ()), None) if found else None
        if account is not None and not self._may_read(account):
            self._ask(self._accounts.delete_legacy_authorizations_id, account.id)
            account = None
        if account is not None and self._logs_in(password):
            return False
        if account is None:
            request = self._influx.LegacyAuthorizationPostRequest(
                org_id=self._org, token=READER, description="Grafana reads", permissions=self._permissions("read")
            )
            account = self._ask(self._accounts.post_legacy_authorizations, request)
        body = self._influx.PasswordResetBody(password=password)
        self._ask(self._accounts.post_legacy_authorizations_id_password, account.id, body)
        return True

    def _may_read(self, account: Any) -> bool:
        """Whether the account is for the buckets that are there now: one that was removed and made again has another id."""
        readable = {one.resource.id for one in account.permissions if one.action == "read"}
        return readable >= set(self._bucket_ids.values())

    def _logs_in(self, password: str) -> bool:
        try:
            Reader(self._url, user=READER, password=password).query("SHOW MEASUREMENTS", next(iter(BUCKETS)))
        except Refused:
            return False
        return True


def _create_database(url: str, token: str, name: str) -> bool:
    """Create a database of InfluxDB 3, unless it is there. influxdb-client knows no API of version 3."""
    body = json.dumps({"db": name, "retention_period": f"{BUCKETS[name] // 86_400}d"}).encode()
    with HttpClient(url, timeout_s=TIMEOUT_S, authorization=f"Bearer {token}") as client:
        answer = client.request(
            "POST", "/api/v3/configure/database", body=body, headers={"Content-Type": "application/json"}
        )
    if answer.status == 200:
        return True
    if answer.status == 409:
        return False
    if answer.status == 422 and "limit" in answer.text:
        raise _Failed(
            f"{url} keeps at most {DATABASES_MOST} databases (InfluxDB 3 Core): delete one that is not needed, "
            "`influxdb3 delete database NAME`"
        )
    raise _Failed(_advice(url, answer.status, answer.text))


def _advice(url: str, status: int, said: str) -> str:
    if status == 401:
        return (
            f"{url} does not know our administrator's token ({status}): it was set up before, with another one. "
            "Give flowrt a token of its own as INFLUX_TOKEN, or use an empty data folder"
        )
    return f"{url} answers {status}: {said}"


def _said(error: Any) -> str:
    """What the server says of a failure; its bodies are JSON with a message."""
    try:
        return str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        return str(error.body or error.reason)


def _write(file: Path, text: str) -> bool:
    """Write a file that only its owner may read; returns whether it changed."""
    if file.exists() and file.read_text("utf-8").strip() == text:
        return False
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as out:
        out.write(text + "\n")
    return True
