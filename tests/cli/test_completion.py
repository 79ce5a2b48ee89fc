"""Completion in a real shell, and the manual page, both made from the commands' own arguments."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from flowrt import cli
from flowrt.commands._all import whole_parser
from flowrt.commands.completion import SHELLS
from tools.manual import PAGE, manual

COMMANDS = {"run", "check", "services", "dead-letters", "events", "score"}


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_gets_all_commands_and_options(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["completion", shell]) == 0
    said = capsys.readouterr().out
    for word in (*COMMANDS, "follow", "duration"):
        assert word in said


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (["serv"], {"service", "services"}),
        (["events", "--fo"], {"--follow", "--format"}),
        (["services", "sta"], {"status"}),
        (["check", "f"], {"flow.yaml"}),
    ],
)
def test_bash_completes(
    typed: list[str], offered: set[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash")
    assert cli.main(["completion", "bash"]) == 0
    (tmp_path / "completion").write_text(capsys.readouterr().out)
    (tmp_path / "flow.yaml").touch()
    words = " ".join(["flowrt", *typed])
    before = typed[-2] if len(typed) > 1 else "flowrt"
    script = (
        f"source ./completion; COMP_WORDS=({words}); COMP_CWORD={len(typed)}; "
        f"_shtab_flowrt flowrt {typed[-1]} {before}; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    done = subprocess.run([bash, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=20)
    assert set(done.stdout.split()) == offered, done.stderr


@pytest.mark.parametrize(("shell", "check"), [("zsh", ["-n"]), ("fish", ["--no-execute"])])
def test_the_script_is_one_of_that_shell(
    shell: str, check: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"there is no {shell}")
    assert cli.main(["completion", shell]) == 0
    (tmp_path / "script").write_text(capsys.readouterr().out)
    done = subprocess.run([program, *check, str(tmp_path / "script")], capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_manual_page_is_that_of_the_commands() -> None:
    assert PAGE.read_text() == manual(), "stale: `make generate` renews it"
    text = PAGE.read_text().replace("\\-", "-")
    assert re.search(r"^\.SH NAME\nflowrt - \w+", text, re.MULTILINE)
    for option in ("--duration", "--http", "--follow", "--version"):
        assert option in text
    if groff := shutil.which("groff"):
        done = subprocess.run([groff, "-man", "-Tutf8", "-z", PAGE], capture_output=True, text=True, timeout=20)
        wrong = [each for each in done.stderr.splitlines() if "cannot adjust" not in each]  # long words of usage lines
        assert (done.returncode, wrong) == (0, [])


def test_the_whole_parser_has_every_command() -> None:
    shown = set(re.findall(r"^    ([a-z-]+)(?: |$)", whole_parser().format_help(), re.MULTILINE))
    assert {"completion", "doctor"} | COMMANDS <= shown


def test_help_names_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    assert "flowrt --version" in capsys.readouterr().out
    assert cli.main(["--version"]) == 0
    assert re.fullmatch(r"flowrt \d+\.\d+\S*\n", capsys.readouterr().out)


@pytest.mark.parametrize("given", ["-5", "0", "nan", "inf", "soon"])
def test_a_duration_is_above_0(given: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "flow.yaml", "--duration", given]) == 2
    assert given in capsys.readouterr().err
