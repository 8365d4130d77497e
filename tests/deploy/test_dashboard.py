"""Each metric that the dashboard shows exists, with the labels by which it is shown."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from engines.remote.engine import RemoteEngine
from inference import Model
from tests.support.deploy_files import ROOT

BOARD = json.loads((ROOT / "deploy" / "grafana" / "functionary.json").read_text(encoding="utf-8"))
VLLM = json.loads((ROOT / "tests" / "golden" / "vllm_metrics.json").read_text(encoding="utf-8"))["metrics"]
EXPRESSIONS = [target["expr"] for panel in BOARD["panels"] for target in panel.get("targets", ())]
_METRIC = re.compile(r"\b(?:functionary:|vllm:|process_)\w+")
_SAMPLES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
_TARGET_LABELS = {"job", "instance"}  # Prometheus adds them


def samples(text: str) -> dict[str, set[str]]:
    """Return the names of the samples in `text`, each with its labels."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for ending in _SAMPLES.get(family.type, ()):
            found.setdefault(family.name + ending, set())
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


@pytest.fixture
def exposed(tiny_url: str, chatml: Model) -> Iterator[dict[str, set[str]]]:
    """What a server with a model of its own, a front and vLLM expose together."""
    httpx2.get(f"{tiny_url}/health")
    found = samples(httpx2.get(f"{tiny_url}/metrics").text)
    engine = RemoteEngine([], chatml.tokenizer.backend, eos_id=None, max_context=64, vocab_size=64)
    for name, labels in samples(generate_latest(engine.registry).decode()).items():
        found.setdefault(name, set()).update(labels)
    for name, facts in VLLM.items():
        for ending in _SAMPLES[facts["type"]]:
            found[name + ending] = set(facts["labels"])
    found["functionary:tool_calls_total"] |= {"tool", "outcome"}  # without a call, no sample shows its labels
    found["functionary:tool_call_seconds_bucket"] |= {"tool", "le"}
    yield found
    asyncio.run(engine.close())


def test_every_metric_of_the_dashboard_exists(exposed: dict[str, set[str]]) -> None:
    """A panel of a metric that was renamed stays empty, and nobody sees an error."""
    shown = {name for expression in EXPRESSIONS for name in _METRIC.findall(expression)}
    assert shown - exposed.keys() == set()


def test_every_label_of_the_dashboard_exists(exposed: dict[str, set[str]]) -> None:
    for expression in EXPRESSIONS:
        names = _METRIC.findall(expression)
        given = set().union(*(exposed[name] for name in names)) | _TARGET_LABELS
        by = [label.strip() for group in re.findall(r"by \(([^)]+)\)", expression) for label in group.split(",")]
        assert set(by) <= given, expression
        assert set(re.findall(r"[{,](\w+)[=!]", expression)) <= given, expression


def test_every_panel_asks_the_provisioned_data_source() -> None:
    text = (ROOT / "deploy" / "grafana" / "datasource.yml").read_text(encoding="utf-8")
    (uid,) = re.findall(r"uid: (\S+)", text)
    panels = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
    assert {panel["datasource"]["uid"] for panel in panels} == {uid}
    assert {target["datasource"]["uid"] for panel in panels for target in panel["targets"]} == {uid}
    ids = [panel["id"] for panel in BOARD["panels"]]
    assert len(set(ids)) == len(ids)


def test_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells


def test_the_dashboard_is_where_grafana_looks_for_it() -> None:
    provider = (ROOT / "deploy" / "grafana" / "dashboards.yml").read_text(encoding="utf-8")
    (folder,) = re.findall(r"path: (\S+)", provider)
    compose = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    (target,) = re.findall(r"functionary\.json:(\S+):ro", compose)
    assert str(Path(target).parent) == folder
    assert f"GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH: {target}" in compose
