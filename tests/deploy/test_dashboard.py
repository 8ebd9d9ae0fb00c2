"""The Grafana dashboard asks for metrics that the service has, by labels that they have."""

import json
import re
from pathlib import Path

from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from app.main import create_app
from app.settings import Settings

DASHBOARD = Path(__file__).resolve().parents[2] / "deploy" / "grafana" / "lectern.json"
_NAME = re.compile(r"\b(?:lectern|process)_\w+")
_LABELS = re.compile(r'by \(([^)]*)\)|(\w+)=~?"')


def test_every_panel_shows_what_the_service_tells(tmp_path, make_lectern):
    with TestClient(create_app(Settings(data_dir=tmp_path), make=make_lectern)) as client:
        client.post("/documents", json={"text": "The lamp was lit in 1871."})
        client.post("/ask", json={"question": "When was the lamp lit?"})
        client.app.state.lectern.jobs.close()
        client.app.state.lectern.store.create_job("default", "ask", {})
        families = list(text_string_to_metric_families(client.get("/metrics").text))
    labels: dict[str, set[str]] = {}
    for sample in (sample for family in families for sample in family.samples):
        labels.setdefault(sample.name, {"job"}).update(sample.labels)

    panels = json.loads(DASHBOARD.read_text())["panels"]
    asked = [target["expr"] for panel in panels for target in panel["targets"]]
    assert len(asked) > 15
    for expression in asked:
        names = set(_NAME.findall(expression))
        assert names <= set(labels), expression
        used = {word.strip() for some in _LABELS.findall(expression) for word in ",".join(some).split(",")} - {""}
        assert used <= set.union(*(labels[name] for name in names)), expression
