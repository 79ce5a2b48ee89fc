"""The container files: right by their schemas and linters, and everything they name exists. No engine is needed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from servers import missing, need

from flowrt_ops.services.home import DATA, Home
from flowrt_ops.services.influx_setup import BUCKETS, ORG
from flowrt_ops.services.programs import GRAFANA_NEWEST
from flowrt_ops.services.secrets import initialise

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
YAMLLINT = """
extends: default
rules:
  line-length: {max: 150}
  document-start: disable
  comments-indentation: disable
  truthy: {check-keys: false}
"""


def tool(name: str, *words: str) -> subprocess.CompletedProcess[str]:
    """A linter that stands beside this Python."""
    program = Path(sys.executable).parent / name
    return subprocess.run([program, *words], cwd=ROOT, capture_output=True, text=True, timeout=120)


def test_compose_keeps_to_the_specification() -> None:
    done = tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", "docker/compose.yaml")
    assert done.returncode == 0, done.stdout


def test_the_dockerfile_is_clean() -> None:
    done = tool("hadolint", "docker/Dockerfile")
    assert done.stdout == ""
    assert done.returncode == 0


def test_a_linter_for_compose_finds_nothing() -> None:
    modules = Path(os.environ.get("FLOWRT_NODE_MODULES", ROOT / "tests" / "nodejs" / "node_modules"))
    program = modules / "dclint" / "bin" / "dclint.cjs"
    (node,) = need("node")
    if not program.exists():
        missing(f"dclint is not in {modules}: run `npm install` in tests/nodejs")
    command = [node, program, "--config", "tests/nodejs/dclint.yaml", "--max-warnings", "0", "docker/compose.yaml"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_yaml_is_tidy() -> None:
    done = tool("yamllint", "--strict", "-d", YAMLLINT, "docker/compose.yaml", "grafana/provisioning")
    assert done.stdout == ""


@pytest.mark.parametrize("script", ["docker/influxdb/init-v3.sh", "docker/influxdb/init-v2.sh"])
def test_scripts_can_be_read_by_their_shell_and_run(script: str) -> None:
    first = (ROOT / script).read_text("utf-8").splitlines()[0]
    assert subprocess.run([first.removeprefix("#!"), "-n", str(ROOT / script)], capture_output=True).returncode == 0
    assert (ROOT / script).stat().st_mode & 0o111


def test_images_are_pinned() -> None:
    for name, service in SERVICES.items():
        if name.startswith("flowrt"):
            assert "build" in service, name
        else:
            tag = re.sub(r"\$\{\w+:-([^}]+)\}", r"\1", service["image"])  # a variable is for trying other versions
            assert re.search(r":\d+\.\d+(\.\d+)?(-core)?$", tag), name
    for line in (DOCKER / "Dockerfile").read_text("utf-8").splitlines():
        if line.startswith("FROM ") and "python" in line:
            assert "3.11-slim-bookworm" in line


def test_every_service_is_hardened_and_watched() -> None:
    for name, service in SERVICES.items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["read_only"] is True, name
        assert service["user"].startswith("${FLOWRT_UID:?"), f"{name} would run as root"
        assert set(service["logging"]["options"]) == {"max-size", "max-file"}, name
        assert not service.get("privileged"), name
        if not name.endswith("-setup"):
            assert "healthcheck" in service, name
            assert service["restart"] == "unless-stopped", name
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), f"{name} opens {port} to everybody"


def test_every_wait_is_for_health() -> None:
    for name, service in SERVICES.items():
        for other, wait in service.get("depends_on", {}).items():
            assert other in SERVICES, name
            wanted = "service_completed_successfully" if other.endswith("-setup") else "service_healthy"
            assert wait["condition"] == wanted, name
            if "profiles" in SERVICES[other] and SERVICES[other]["profiles"] != service.get("profiles"):
                assert wait["required"] is False, f"{name} waits for {other}, which another profile leaves out"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    made = Home(tmp_path_factory.mktemp("compose"))
    initialise(made)
    return made


def test_every_secret_is_made_by_init(home: Home) -> None:
    declared = COMPOSE["secrets"]
    used = {secret for service in SERVICES.values() for secret in service.get("secrets", ())}
    assert used == set(declared)
    for name, secret in declared.items():
        assert secret["file"] == f"./secrets/{name}"
        assert (home.secrets / name).exists(), f"`flowrt services init` does not make {name}"


def test_secrets_that_are_read_are_given() -> None:
    for name, service in SERVICES.items():
        text = str(service)
        for secret in re.findall(r"/run/secrets/([\w.]+)", text):
            assert secret in service["secrets"], f"{name} reads {secret} and does not get it"
    config = (DOCKER / "mosquitto" / "mosquitto.conf").read_text("utf-8")
    assert set(re.findall(r"/run/secrets/([\w.]+)", config)) <= set(SERVICES["mosquitto"]["secrets"])
    sources = (ROOT / "grafana" / "provisioning" / "datasources" / "flowrt.yaml").read_text("utf-8")
    assert set(re.findall(r"/run/secrets/(\w+)", sources)) <= set(SERVICES["grafana"]["secrets"])


def mounts() -> Iterator[tuple[str, str]]:
    for name, service in SERVICES.items():
        for volume in service.get("volumes", ()):
            yield name, volume


def test_everything_that_is_mounted_exists() -> None:
    for name, volume in mounts():
        source = volume.split(":")[0]
        if source.startswith("./data/"):
            assert source.removeprefix("./data/") in DATA, f"{name}: `flowrt services init` does not make {source}"
        else:
            assert (DOCKER / source).exists(), f"{name}: {source}"
            assert volume.endswith(":ro"), f"{name} may write to {source}"


def test_every_variable_of_compose_has_a_default_or_is_made_by_init(home: Home) -> None:
    text = (DOCKER / "compose.yaml").read_text("utf-8")
    made = dict(
        line.split("=", 1) for line in (home.folder / ".env").read_text().splitlines() if line and line[0] != "#"
    )
    for name, rest in re.findall(r"(?<!\$)\$\{(\w+)([^}]*)\}", text):
        assert rest.startswith(":-") or name in made, f"{name} has no default"
    profiles = set(made["COMPOSE_PROFILES"].split(","))
    assert profiles <= {profile for service in SERVICES.values() for profile in service.get("profiles", ())}


def test_variables_of_the_provisioning_files_are_given_to_grafana() -> None:
    given = set(SERVICES["grafana"]["environment"])
    for file in (ROOT / "grafana" / "provisioning").rglob("*.yaml"):
        text = re.sub(r"\$\$\w+", "", file.read_text("utf-8"))
        body = "\n".join(
            line
            for line in text.splitlines()
            if "query:" not in line and not line.lstrip().startswith(("WHERE", "AND", "'", '"'))
        )
        for name in re.findall(r"\$([A-Z][A-Z_]+)", body):
            assert name in given, f"{file.name} needs ${name}"


def test_no_password_stands_in_any_file() -> None:
    for file in [*DOCKER.rglob("*"), *(ROOT / "grafana").rglob("*.yaml")]:
        if not file.is_file() or file.relative_to(DOCKER if DOCKER in file.parents else ROOT).parts[0] in (
            "secrets",
            "data",
            ".env",
        ):
            continue
        for line in file.read_text("utf-8").splitlines():
            found = re.search(r"(?i)(password|token|secret)\w*\s*[:=]\s*['\"]?([\w-]{6,})", line)
            assert not found or found.group(2).startswith(("run", "influx", "mqtt", "flowrt", "serde")), (
                f"{file.name}: {line}"
            )


def test_the_databases_scripts_make_both_buckets_with_their_retention() -> None:
    second = (DOCKER / "influxdb" / "init-v2.sh").read_text("utf-8")
    environment = SERVICES["influxdb"]["environment"]
    first, last = BUCKETS
    assert (environment["DOCKER_INFLUXDB_INIT_BUCKET"], environment["DOCKER_INFLUXDB_INIT_RETENTION"]) == (first, "7d")
    assert environment["DOCKER_INFLUXDB_INIT_ORG"] == ORG
    assert f"--name {last} --retention 30d" in second
    assert "--read-bucket" in second.split("v1 auth create")[1].split("umask")[0]
    assert "--write-bucket" not in second.split("v1 auth create")[1].split("umask")[0], "Grafana's account only reads"
    third = (DOCKER / "influxdb" / "init-v3.sh").read_text("utf-8")
    assert f"create {first} 7d" in third
    assert f"create {last} 30d" in third


def test_influxdb_3_starts_on_a_read_only_file_system_and_answers_30_days() -> None:
    """The image names a plugin folder whose preparation fails there; by default queries end at 432 files, three days."""
    command = SERVICES["influxdb3"]["command"]
    assert "--package-manager=disabled" in command
    (limit,) = (int(word.partition("=")[2]) for word in command if word.startswith("--query-file-limit="))
    assert limit >= 30 * 24 * 6
    assert SERVICES["influxdb3"]["environment"]["INFLUXDB3_TELEMETRY_DISABLE_UPLOAD"] == "true"


def test_the_health_of_a_database_waits_for_its_set_up() -> None:
    """While the image of version 2 sets up, a server on another port answers `influx ping`; version 3 answers only with its token."""
    second = SERVICES["influxdb"]["healthcheck"]["test"][1]
    assert "--host http://localhost:8086" in second
    assert "test -s /tokens/influx_write_token" in second
    script = (DOCKER / "influxdb" / "init-v2.sh").read_text("utf-8").rstrip().splitlines()
    assert "/tokens/influx_write_token" in script[-3], "the token is written last"
    third = SERVICES["influxdb3"]["healthcheck"]["test"][1].replace("$$", "$")
    read_token = re.search(r"\$\((sed .*) /run/secrets/influx3_admin_token\)", third)
    assert read_token
    done = subprocess.run(
        f"{read_token[1]} -", shell=True, input='{"token": "apiv3_x", "name": "_admin"}', capture_output=True, text=True
    )
    assert done.stdout.strip() == "apiv3_x"


def test_grafana_installs_no_plugin_at_its_start_and_has_an_upper_bound() -> None:
    grafana = SERVICES["grafana"]
    assert grafana["environment"]["GF_PLUGINS_PREINSTALL_DISABLED"] == "true"
    (version,) = re.findall(r":-(\d+)\.", grafana["image"])
    assert 11 <= int(version) <= GRAFANA_NEWEST


def test_every_package_of_the_wheel_is_in_the_image() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]["targets"]["wheel"]
    copied = re.findall(r"^COPY ([\w/]+) [\w/]+$", (DOCKER / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    for source in [*build["packages"], *build["force-include"]]:
        assert source.split("/")[0] in copied, source


def test_what_the_image_copies_exists_and_is_not_ignored() -> None:
    allowed = [
        line[1:]
        for line in (DOCKER / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
        if line.startswith("!")
    ]
    for line in (DOCKER / "Dockerfile").read_text("utf-8").splitlines():
        if line.startswith("COPY") and "--from" not in line:
            for source in [word for word in line.split()[1:-1] if not word.startswith("--")]:
                assert (ROOT / source).exists(), source
                assert source.split("/")[0] in allowed, source


def test_the_images_dependencies_are_pinned() -> None:
    assert "pip install --require-hashes --requirement requirements/run.txt" in (DOCKER / "Dockerfile").read_text(
        "utf-8"
    )


def test_secrets_of_the_app_are_files_that_flowrt_reads_itself() -> None:
    environment = SERVICES["flowrt"]["environment"]
    assert {name for name in environment if name.endswith("_FILE")} == {
        "MQTT_PASSWORD_FILE",
        "INFLUX_TOKEN_FILE",
        "FLOWRT_HTTP_TOKEN_FILE",
    }
    assert 'ENTRYPOINT ["tini", "--", "flowrt"]' in (DOCKER / "Dockerfile").read_text("utf-8")
