"""flowrt as a service of three systems, and what `flowrt doctor` says."""

from __future__ import annotations

import argparse
import plistlib
import shutil
import subprocess
import xml.etree.ElementTree as xml
from pathlib import Path

import pytest

from flowrt.commands import DONE, Failure, UsageError
from flowrt.journal import data_folder
from flowrt.services.environment import Environment
from flowrt_ops.commands import doctor, service
from flowrt_ops.services.programs import GRAFANA_NEWEST
from flowrt_ops.services.system_service import App, render, system_of


@pytest.fixture
def app(tmp_path: Path) -> App:
    """Paths with a blank and a percent sign: systemd, shells and XML all want them treated."""
    folder = tmp_path / "my 100% flows"
    folder.mkdir()
    (folder / "flow.yaml").write_text("flow: x\n")
    (folder / "secret").write_text("it's $ecret\n")
    program = folder / "flowrt"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return App(
        program=program,
        flow=folder / "flow.yaml",
        data=folder / "data",
        user="root",
        environment={"MQTT_URL": "mqtt://localhost:1883"},
        credentials={"MQTT_PASSWORD": folder / "secret"},
    )


def test_systemd_finds_nothing_wrong_with_the_unit(app: App, tmp_path: Path) -> None:
    verify = shutil.which("systemd-analyze")
    if verify is None:
        pytest.skip("systemd-analyze is not installed")
    unit = tmp_path / "flowrt.service"
    unit.write_text(render(app, "systemd"))
    done = subprocess.run([verify, "verify", "--man=no", str(unit)], capture_output=True, text=True, timeout=60)
    assert [line for line in done.stderr.splitlines() if "flowrt.service" in line] == []


def test_the_unit_names_files_of_secrets_and_no_secret(app: App) -> None:
    text = render(app, "systemd")
    assert "Type=notify" in text
    assert "WatchdogSec=60" in text
    assert "ProtectSystem=strict" in text
    assert f"LoadCredential=MQTT_PASSWORD:{app.credentials['MQTT_PASSWORD']}".replace("%", "%%") in text
    assert 'Environment="MQTT_PASSWORD_FILE=%d/MQTT_PASSWORD"' in text, "the folder of the credentials"
    assert "it's $ecret" not in text
    assert "/bin/sh" not in text


def test_the_property_list_names_files_of_secrets(app: App) -> None:
    content = plistlib.loads(render(app, "launchd").encode())
    assert content["KeepAlive"] == {"SuccessfulExit": False}
    assert content["ProgramArguments"][:3] == [str(app.program), "run", str(app.flow)]
    variables = content["EnvironmentVariables"]
    assert variables["MQTT_URL"] == "mqtt://localhost:1883"
    assert Environment(variables)["MQTT_PASSWORD"] == "it's $ecret"


def test_winsw_gets_xml_with_quoted_arguments(app: App) -> None:
    root = xml.fromstring(render(app, "winsw"))
    assert root.findtext("id") == "flowrt"
    assert root.findtext("executable") == str(app.program)
    assert f'"{app.flow}"' in str(root.findtext("arguments"))
    assert {env.get("name") for env in root.findall("env")} == {"FLOWRT_DATA", "MQTT_URL", "MQTT_PASSWORD_FILE"}
    assert root.find("onfailure") is not None


@pytest.mark.parametrize("system", ["systemd", "launchd", "winsw"])
def test_a_second_flow_is_a_service_of_another_name(app: App, system: str, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    service.configure(parser)
    words = ["install", str(app.flow), "--dry-run", "--system", system, "--folder", str(app.flow.parent)]
    assert service.run(parser.parse_args([*words, "--name", "flowrt-east", "--http", "127.0.0.1:8481"])) == DONE
    second = capsys.readouterr().out
    assert service.run(parser.parse_args(words)) == DONE
    first = capsys.readouterr().out
    files = [text.splitlines()[0] for text in (first, second)]
    commands = [[line for line in text.splitlines() if line.startswith("# then")] for text in (first, second)]
    assert files[0] != files[1]
    assert "flowrt-east" in files[1]
    assert all("flowrt-east" in line for line in commands[1] if "daemon-reload" not in line)
    assert "8481" in second
    assert "--http" not in first, "so that the second one gets the next free port"
    with pytest.raises(UsageError, match="--name"):
        service.run(parser.parse_args([*words, "--name", "../x"]))


@pytest.mark.parametrize("variable", ["", "elsewhere"])
def test_its_data_is_where_run_and_events_have_it(
    app: App, variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One rule: $FLOWRT_DATA, else .flowrt below the folder in which the command is given."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FLOWRT_DATA", raising=False)
    if variable:
        monkeypatch.setenv("FLOWRT_DATA", variable)
    parser = argparse.ArgumentParser()
    service.configure(parser)
    words = ["install", str(app.flow), "--dry-run", "--system", "launchd", "--folder", str(app.flow.parent)]
    assert service.run(parser.parse_args(words)) == DONE
    content = plistlib.loads(capsys.readouterr().out.partition("\n")[2].partition("# then")[0].encode())
    assert (
        content["EnvironmentVariables"]["FLOWRT_DATA"] == str(data_folder()) == str(tmp_path / (variable or ".flowrt"))
    )


def test_each_platform_has_its_system() -> None:
    assert [system_of(platform) for platform in ("linux", "darwin", "win32")] == ["systemd", "launchd", "winsw"]


@pytest.mark.parametrize("system", ["systemd", "launchd", "winsw"])
def test_a_dry_run_prints_file_and_commands(app: App, system: str, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    service.configure(parser)
    words = ["install", str(app.flow), "--dry-run", "--system", system, "--folder", str(app.flow.parent)]
    assert service.run(parser.parse_args(words)) == DONE
    assert "# then: " in capsys.readouterr().out
    with pytest.raises(Failure, match="there is no flow file"):
        service.run(parser.parse_args(["install", str(app.flow) + "x", "--dry-run"]))


def test_the_doctor_names_what_is_missing_and_how_to_get_it(capsys: pytest.CaptureFixture[str]) -> None:
    for system, line in (("win32", "winget install GrafanaLabs"), ("darwin", "brew install grafana")):
        parser = argparse.ArgumentParser()
        doctor.configure(parser)
        assert doctor.run(parser.parse_args(["--for", system])) == DONE
        said = capsys.readouterr().out
        assert line in said
        assert "openvino" in said


def test_the_doctor_says_where_grafana_is_newer_than_what_was_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for version, remark in ((GRAFANA_NEWEST, ""), (GRAFANA_NEWEST + 1, f": newer than {GRAFANA_NEWEST}")):
        (tmp_path / "grafana").write_text(f"#!/bin/sh\necho 'grafana version {version}.0.1'\n")
        (tmp_path / "grafana").chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        parser = argparse.ArgumentParser()
        doctor.configure(parser)
        assert doctor.run(parser.parse_args([])) == DONE
        (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("grafana")]
        assert line.startswith(f"grafana     {version}.0.1 at {tmp_path}/grafana{remark}")
        assert ("newer" in line) is bool(remark)
