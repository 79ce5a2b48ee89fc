"""What goes wrong with dashboards and services is said in one line with what to do, and no traceback."""

from __future__ import annotations

from pathlib import Path

import pytest
from servers import free_port, influx

from flowrt import cli
from flowrt.commands import BAD_FLOW, DONE, FAILED, USAGE
from flowrt_ops import alerts, dashboards


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No service, no secrets, no address from outside."""
    monkeypatch.chdir(tmp_path)
    for name in ("INFLUX_URL", "INFLUX_READ_USER", "INFLUX_READ_PASSWORD"):
        monkeypatch.delenv(name, raising=False)


def said(capsys: pytest.CaptureFixture[str], code: int, *words: str) -> str:
    """The one line that a command says on the way to its exit code."""
    assert cli.main(words) == code
    told = capsys.readouterr()
    lines = [line for line in (told.out + told.err).splitlines() if line and not line.startswith(("usage:", " "))]
    assert len(lines) == 1, lines
    assert "internal error" not in lines[0]
    return lines[0]


def test_a_dashboard_edited_by_hand(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    dashboards.write(tmp_path / "dashboards")
    alerts.write(tmp_path / "provisioning" / "alerting")
    check = ("dashboards", "check", "--folder", str(tmp_path))
    assert "are as built" in said(capsys, DONE, *check)
    file = tmp_path / "dashboards" / "violations.json"
    file.write_text(file.read_text("utf-8").replace('"title": "By zone"', '"title": "Zones"'), "utf-8")
    line = said(capsys, BAD_FLOW, *check)
    assert line.startswith(f"{file}: edited by hand at panels[")
    assert 'has "Zones", the builder makes "By zone"; `flowrt dashboards build` writes it anew' in line
    assert said(capsys, DONE, "dashboards", "build", str(tmp_path)) == f"written: {file}"
    rules = tmp_path / "provisioning" / "alerting" / "rules.yaml"
    rules.write_text(rules.read_text("utf-8").replace("for: 5m", "for: 1h", 1), "utf-8")
    line = said(capsys, BAD_FLOW, *check)
    assert "edited by hand: has 'for: 1h', the builder makes 'for: 5m'" in line
    number = rules.read_text("utf-8").splitlines().index("        for: 1h") + 1
    assert line.startswith(f"{rules}:{number}: ")
    assert said(capsys, DONE, "dashboards", "build", str(tmp_path)) == f"written: {rules}"
    assert "are as built" in said(capsys, DONE, *check)


def test_a_database_that_is_down_or_none(capsys: pytest.CaptureFixture[str]) -> None:
    for address in (f"http://127.0.0.1:{free_port()}", "nonsense"):
        line = said(capsys, FAILED, "dashboards", "draw", "--influx", address)
        assert line.startswith(f"flowrt: {address} gives no answer (")
        assert line.endswith("is it the database's address, and does it run?")


def test_a_wrong_account_and_a_missing_bucket(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INFLUX_READ_USER", "admin")
    monkeypatch.setenv("INFLUX_READ_PASSWORD", "guess")
    with influx(tmp_path, databases=("traffic_monitoring",), password="right") as database:
        draw = ("dashboards", "draw", "--influx", database.url)
        assert said(capsys, FAILED, *draw) == (
            "flowrt: the database refuses the account (401): check user and password, or the token"
        )
        monkeypatch.setenv("INFLUX_READ_PASSWORD", "right")
        line = said(capsys, FAILED, *draw)
        assert line.startswith("flowrt: there is no bucket 'traffic_analytics': create it")


def test_two_services_on_one_port(capsys: pytest.CaptureFixture[str]) -> None:
    line = said(capsys, USAGE, "services", "up", "--mosquitto-port", "3000")
    assert line == "flowrt: two services on port 3000: give each one its own"


def test_settings_that_make_no_sense(capsys: pytest.CaptureFixture[str]) -> None:
    assert "write it as 15m, 6h or 7d" in said(capsys, USAGE, "dashboards", "draw", "--span", "long")
    assert "less than 320 pixels" in said(capsys, USAGE, "dashboards", "draw", "--width", "10")
    assert "there is no flow file" in said(capsys, FAILED, "service", "install", "nowhere.yaml", "--dry-run")
    assert "run `flowrt services init` first" in said(capsys, FAILED, "services", "up")
