"""The templates in Grafana's files, parsed by Go's own template engine: that of Prometheus' `promtool`."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from servers import need

from flowrt.system.resources import share

ALERTING = share("grafana") / "provisioning" / "alerting"


def parsed(tmp_path: Path, annotations: dict[str, str]) -> str:
    """What the engine says of them; empty where it finds nothing wrong."""
    (promtool,) = need("promtool")
    # Grafana gives each expression's value; Prometheus, which parses here, knows one.
    texts = {name.strip("_"): text.replace("$values.B.Value", "$value") for name, text in annotations.items()}
    rule = {"alert": "Any", "expr": "up == 0", "annotations": texts}
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "any", "rules": [rule]}]}))
    done = subprocess.run([promtool, "check", "rules", str(file)], capture_output=True, text=True, timeout=60)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((ALERTING / "rules.yaml").read_text("utf-8"))["groups"]
    return list(group["rules"])


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["title"])
def test_an_alerts_texts_are_templates(tmp_path: Path, rule: dict[str, Any]) -> None:
    assert parsed(tmp_path, rule["annotations"]) == ""


def test_the_form_in_which_they_were_is_none(tmp_path: Path) -> None:
    assert "bad character U+0024" in parsed(tmp_path, {"summary": "{{ $$labels.site }}"})


def test_the_notification_is_a_template(tmp_path: Path) -> None:
    (template,) = yaml.safe_load((ALERTING / "templates.yaml").read_text("utf-8"))["templates"]
    assert parsed(tmp_path, {"text": template["template"]}) == ""
    assert parsed(tmp_path, {"text": template["template"].replace("{{ end -}}", "", 1)}) != "", "a block left open"
    points = yaml.safe_load((ALERTING / "contact-points.yaml").read_text("utf-8"))["contactPoints"]
    for receiver in points[0]["receivers"]:
        used = {name: text for name, text in receiver["settings"].items() if "{{" in str(text)}
        assert used
        defined = {"all": template["template"] + "".join(used.values())}
        assert parsed(tmp_path, defined) == ""
