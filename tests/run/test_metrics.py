"""`/metrics` of a run, read by Prometheus' own linter, and the rules and the configuration that are shipped for it."""

from __future__ import annotations

import re
import subprocess
import urllib.request
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as families_of
from prometheus_client.samples import Sample

from flowrt.system.histogram import BOUNDS_S, Histogram
from flowrt.system.resources import share
from tests.run.test_run import Run, run
from tests.servers import need

__all__ = ["run"]

FLOW = """\
flow: bench
site: here
nodes:
  count: {type: numbers, n: 10000000, every_s: 0.002}
  sum: {type: total, from: count}
  out: {type: letters, from: sum}
  camera: {type: pictures, n: 100000, every_s: 0.01}
  seen: {type: relay, from: camera}
  last: {type: debug, from: seen}
"""
RULES = share("prometheus") / "rules.yaml"


def promtool(*arguments: str, text: str = "") -> str:
    """What Prometheus' own tool says; fails where it does."""
    (program,) = need("promtool")
    done = subprocess.run([program, *arguments], input=text, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def scraped(run: Run, accept: str = "") -> tuple[str, str]:
    """Content type and text."""
    request = urllib.request.Request(f"{run.url}/metrics", headers={"Accept": accept} if accept else {})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def samples(text: str, **labels: str) -> dict[str, Sample]:
    """Name to the sample that has these labels."""
    found = {}
    for family in families_of(text):
        for sample in family.samples:
            if labels.items() <= sample.labels.items():
                found[sample.name] = sample
    return found


def values(text: str, **labels: str) -> dict[str, float]:
    return {name: sample.value for name, sample in samples(text, **labels).items()}


@pytest.fixture
def busy(run: Run) -> Run:
    """A run that has delivered something and seen pictures."""
    run.flow.write_text(FLOW)
    run.start()
    run.wait_for(lambda: values(scraped(run)[1], outcome="delivered").get("flowrt_deliveries_total", 0) > 20)
    run.wait_for(lambda: values(scraped(run)[1], camera="camera").get("flowrt_camera_pictures_total", 0) > 5)
    return run


def test_prometheus_own_linter_finds_nothing(busy: Run) -> None:
    assert promtool("check", "metrics", text=scraped(busy)[1]).strip() == ""


def test_the_linter_would_find_quantiles_of_a_gauge() -> None:
    text = '# HELP a_seconds A.\n# TYPE a_seconds gauge\na_seconds{quantile="0.5"} 1\n'
    done = subprocess.run(
        [*need("promtool"), "check", "metrics"], input=text, capture_output=True, text=True, timeout=60
    )
    assert "quantile" in done.stdout + done.stderr, "the form in which /metrics was"


def test_names_helps_types_and_units(busy: Run) -> None:
    """The rules of the linter once more, so that they hold where it is not installed."""
    for family in families_of(scraped(busy)[1]):
        own = family.name.startswith("flowrt_")
        assert family.documentation, family.name
        assert not own or family.documentation.endswith("."), family.name
        assert not re.search(r"_(ms|minutes|percent|kb|mb)$", family.name), "base units"
        for sample in family.samples:
            assert "quantile" not in sample.labels
            if family.type == "counter":
                assert sample.name.endswith("_total")
            if own:
                assert sample.labels["site"] == "here", sample.name


def test_the_flow_is_in_it(busy: Run) -> None:
    text = scraped(busy)[1]
    assert samples(text, flow="bench")["flowrt_build_info"].labels["version"] == version("flowrt")
    everywhere = values(text, site="here")
    assert everywhere["flowrt_ready"] == 1
    camera = values(text, camera="camera")
    assert camera["flowrt_camera_pictures_total"] > 5
    assert 0 <= camera["flowrt_camera_last_picture_age_seconds"] < 5
    sink = values(text, node="out")
    assert sink["flowrt_sink_up"] == 1
    assert sink["flowrt_outbox_accepted_total"] >= values(text, outcome="delivered")["flowrt_deliveries_total"]
    assert values(text, outcome="dead_letter")["flowrt_deliveries_total"] == 0
    assert {"process_cpu_seconds_total", "process_resident_memory_bytes", "python_gc_collections_total"} <= set(
        values(text)
    )


def test_histograms_count_what_was_timed(busy: Run) -> None:
    text = scraped(busy)[1]
    for name, node in (("flowrt_node_processing_seconds", "sum"), ("flowrt_capture_to_acceptance_seconds", "out")):
        rows = {
            sample.labels["le"]: sample.value
            for family in families_of(text)
            for sample in family.samples
            if sample.name == f"{name}_bucket" and sample.labels["node"] == node
        }
        counts = list(rows.values())
        assert counts == sorted(counts), "cumulative"
        assert list(rows)[-1] == "+Inf"
        own = values(text, node=node)
        assert own[f"{name}_count"] == counts[-1] > 0
        assert own[f"{name}_sum"] > 0


def test_openmetrics_where_it_is_asked_for(busy: Run) -> None:
    content_type, text = scraped(busy, "application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert text.endswith("# EOF\n")
    assert {family.name for family in open_metrics(text)} >= {"flowrt_build_info", "flowrt_deliveries", "flowrt_ready"}
    content_type, text = scraped(busy)
    assert content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert "# EOF" not in text


def test_reloads_are_counted_by_outcome(busy: Run) -> None:
    busy.flow.write_text(FLOW.replace("n: 100000,", "n: 100001,"))
    busy.wait_for(lambda: values(scraped(busy)[1], outcome="applied")["flowrt_reloads_total"] == 1)
    busy.flow.write_text(FLOW.replace("type: relay", "type: really"))
    busy.wait_for(lambda: values(scraped(busy)[1], outcome="refused")["flowrt_reloads_total"] == 1)
    assert values(scraped(busy)[1], site="here")["flowrt_problems"] > 0


def test_a_camera_that_never_gave_a_picture_has_an_age(run: Run) -> None:
    run.flow.write_text(FLOW.replace("every_s: 0.01", "every_s: 1000"))
    run.start()
    run.wait_for(
        lambda: values(scraped(run)[1], camera="camera").get("flowrt_camera_last_picture_age_seconds", 0) > 0.2
    )
    assert values(scraped(run)[1], camera="camera")["flowrt_camera_pictures_total"] == 0


# -- the shipped files ------------------------------------------------------------------------------------------------


def test_rules_and_configuration_are_valid(tmp_path: Path) -> None:
    said = promtool("check", "config", str(share("prometheus") / "prometheus.yaml"))
    assert "is valid prometheus config file syntax" in said
    assert f"{len(alerts())} rules found" in said


def alerts() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    return list(group["rules"])


def test_rules_read_metrics_that_are_there(busy: Run) -> None:
    known = {sample.name for family in families_of(scraped(busy)[1]) for sample in family.samples}
    for rule in alerts():
        named = set(re.findall(r"\bflowrt_\w+", rule["expr"]))
        assert named <= known, rule["alert"]
        assert rule["labels"]["severity"] in ("warning", "critical")


SERIES = 'site="s"'
FIRING = {
    "FlowrtDown": [('up{job="flowrt"}', "0x30")],
    "FlowrtNotReady": [(f"flowrt_ready{{{SERIES}}}", "0x30")],
    "FlowrtCameraOffline": [(f'flowrt_camera_last_picture_age_seconds{{{SERIES},camera="c"}}', "0+60x30")],
    "FlowrtFrameRateLow": [
        (f'flowrt_camera_pictures_total{{{SERIES},camera="c"}}', "0+180x30"),
        (f'flowrt_camera_last_picture_age_seconds{{{SERIES},camera="c"}}', "0.3x30"),
    ],
    "FlowrtSinkAway": [
        (f'flowrt_sink_up{{{SERIES},node="n"}}', "0x30"),
        (f'flowrt_outbox_pending{{{SERIES},node="n"}}', "7x30"),
    ],
    "FlowrtOutboxGrowing": [(f'flowrt_outbox_pending{{{SERIES},node="n"}}', "0+20x30")],
    "FlowrtDeadLetters": [(f'flowrt_deliveries_total{{{SERIES},node="n",outcome="dead_letter"}}', "0+1x30")],
    "FlowrtReloadRefused": [
        (f'flowrt_reloads_total{{{SERIES},outcome="refused"}}', "0+1x30"),
        (f"flowrt_problems{{{SERIES}}}", "2x30"),
    ],
    "FlowrtSlow": [
        (f'flowrt_capture_to_acceptance_seconds_bucket{{{SERIES},node="n",le="2.5"}}', "0+10x30"),
        (f'flowrt_capture_to_acceptance_seconds_bucket{{{SERIES},node="n",le="5.0"}}', "0+100x30"),
        (f'flowrt_capture_to_acceptance_seconds_bucket{{{SERIES},node="n",le="+Inf"}}', "0+100x30"),
    ],
}
"""Alert to the series, minute by minute, that make it fire."""
QUIET = {
    'up{job="flowrt"}': "1x30",
    f"flowrt_ready{{{SERIES}}}": "1x30",
    f'flowrt_camera_last_picture_age_seconds{{{SERIES},camera="c"}}': "0.1x30",
    f'flowrt_camera_pictures_total{{{SERIES},camera="c"}}': "0+600x30",
    f'flowrt_sink_up{{{SERIES},node="n"}}': "1x30",
    f'flowrt_outbox_pending{{{SERIES},node="n"}}': "7x30",
    f'flowrt_deliveries_total{{{SERIES},node="n",outcome="dead_letter"}}': "3x30",
    f'flowrt_reloads_total{{{SERIES},outcome="refused"}}': "1x30",
    f"flowrt_problems{{{SERIES}}}": "0x30",
    f'flowrt_capture_to_acceptance_seconds_bucket{{{SERIES},node="n",le="2.5"}}': "0+100x30",
    f'flowrt_capture_to_acceptance_seconds_bucket{{{SERIES},node="n",le="0.25"}}': "0+100x30",
    f'flowrt_capture_to_acceptance_seconds_bucket{{{SERIES},node="n",le="+Inf"}}': "0+100x30",
}
"""The same of a run with which nothing is wrong."""


@pytest.mark.parametrize("alert", FIRING)
def test_an_alert_fires_and_does_not(tmp_path: Path, alert: str) -> None:
    """By `promtool test rules`, which evaluates the rules as the server does: silent on a good run, firing on a bad one."""
    bad = tmp_path / "bad.yaml"
    bad.write_text(yaml.safe_dump(_unit_test([*FIRING[alert]], alert, [])))
    done = subprocess.run([*need("promtool"), "test", "rules", str(bad)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1, "it has to fire where none was expected"
    assert f'alertname="{alert}"' in done.stdout + done.stderr
    good = tmp_path / "good.yaml"
    good.write_text(yaml.safe_dump(_unit_test([*QUIET.items()], alert, [])))
    promtool("test", "rules", str(good))


def _unit_test(series: list[tuple[str, str]], alert: str, expected: list[Any]) -> dict[str, Any]:
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": course} for name, course in series],
        "alert_rule_test": [{"eval_time": "25m", "alertname": alert, "exp_alerts": expected}],
    }
    return {"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [test]}


def test_every_alert_is_tried_and_explained() -> None:
    assert {rule["alert"] for rule in alerts()} == set(FIRING)
    page = (Path(__file__).resolve().parents[2] / "docs" / "watching.md").read_text("utf-8")
    assert all(f"`{name}`" in page for name in FIRING)


# -- histograms -------------------------------------------------------------------------------------------------------


def test_a_histogram_counts_bounds_inclusively_and_sums() -> None:
    taken = Histogram((0.1, 1.0))
    for duration_s in (0.05, 0.1, 0.5, 3.0):
        taken.observe(duration_s)
    assert taken.buckets() == [("0.1", 2.0), ("1.0", 3.0), ("+Inf", 4.0)]
    assert taken.sum_s == pytest.approx(3.65)
    assert list(BOUNDS_S) == sorted(BOUNDS_S)
