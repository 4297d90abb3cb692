"""The files in `deploy/` fit the image, the settings and the metrics of this version."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from listener.app.drain import LONGEST_SECONDS
from listener.app.http import application
from listener.clock import DatabaseClock
from listener.observability.health import Health
from listener.observability.metrics import Metrics
from listener.settings import setting_names

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
ALERTS = DEPLOY / "prometheus" / "alerts.yml"
DASHBOARD = DEPLOY / "grafana" / "dashboard.json"
UNIT = DEPLOY / "systemd" / "supabase-job-listener.service"
KUBERNETES = DEPLOY / "kubernetes" / "listener.yaml"
VARIABLES = {name for names in setting_names() for name in names.split(" or ")}
LABELS_OF_SCRAPES = {"instance", "job", "le"}
NAME = re.compile(r"\blistener_\w+")
SELECTOR = re.compile(r"\b(listener_\w+|up)\{([^}]*)\}")
GROUPED = re.compile(r"\bby \(([^)]*)\)")


def exposed() -> dict[str, set[str]]:
    """Every series of `/metrics`, and its labels."""
    metrics = Metrics()
    metrics.run_ended("noop", "completed", 0, 0)
    series: dict[str, set[str]] = {}
    for family in metrics.registry.collect():
        names = [f"{family.name}_total"] if family.type == "counter" else [family.name]
        if family.type == "histogram":
            names = [f"{family.name}_{part}" for part in ("bucket", "sum", "count")]
        labels = {label for sample in family.samples for label in sample.labels}
        # a family without a sample yet has the labels of its declaration
        declared = getattr(metrics.registry._names_to_collectors.get(family.name), "_labelnames", ())
        of_state = {family.name} if family.type == "stateset" else set()
        series.update({name: labels | set(declared) | of_state for name in names})
    return series


def queries_of_alerts() -> dict[str, str]:
    """The expression of each rule, by its name."""
    groups = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    return {rule["alert"]: rule["expr"] for group in groups for rule in group["rules"]}


def panels() -> list[dict[str, Any]]:
    """The panels of the dashboard that ask for something."""
    return [panel for panel in json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"] if panel["type"] != "row"]


def queries_of_panels() -> dict[str, str]:
    """The expressions of the dashboard, by panel and letter."""
    return {f"{panel['title']} {each['refId']}": each["expr"] for panel in panels() for each in panel["targets"]}


QUERIES = {**queries_of_alerts(), **queries_of_panels()}


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_asks_for_what_is_exposed(name: str) -> None:
    """For series and labels that the listener has."""
    query = QUERIES[name]
    series = exposed()
    names = set(NAME.findall(re.sub(r'"[^"]*"', "", query)))
    labels = {label.strip() for group in GROUPED.findall(query) for label in group.split(",")}
    assert names <= set(series)
    for selected, selectors in SELECTOR.findall(query):
        known = series.get(selected, set()) | LABELS_OF_SCRAPES
        assert {each.split("=")[0].strip(" !~") for each in selectors.split(",")} <= known
    assert labels <= LABELS_OF_SCRAPES.union(*(series[each] for each in names))
    assert all(query.count(opening) == query.count(closing) for opening, closing in ("()", "[]", "{}"))


def test_the_dashboard_shows_every_metric() -> None:
    """A new one gets a place."""
    shown = {
        re.sub(r"_(bucket|sum|count)$", "", name)
        for query in queries_of_panels().values()
        for name in NAME.findall(query)
    }
    assert shown == {re.sub(r"_(bucket|sum|count)$", "", name) for name in exposed()}


def test_the_dashboard_is_one_that_grafana_imports() -> None:
    """Each panel has a place of its own, a data source that the importer chooses, and says what it shows."""
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]:
        at = panel["gridPos"]
        fields = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not fields & taken
        assert max(x for x, _ in fields) <= 23
        taken |= fields
    assert all(panel["datasource"]["uid"] == "${datasource}" and panel["description"] for panel in panels())
    numbers = [panel["id"] for panel in json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]]
    assert len(set(numbers)) == len(numbers)


def test_each_alert_says_what_happened_and_what_to_do() -> None:
    """With a severity to route it by."""
    for group in yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]:
        for rule in group["rules"]:
            assert rule["labels"]["severity"] in {"critical", "warning", "info"}
            assert {"summary", "description"} == set(rule["annotations"])


def test_promtool_takes_every_query(tmp_path: Path) -> None:
    """Those of the dashboard as rules, with values for variables; without promtool their form was read above."""
    promtool = shutil.which("promtool")
    rules = [
        {"record": f"panel:{number}", "expr": re.sub(r"\$(\w+)", "x", query.replace("$__rate_interval", "5m"))}
        for number, query in enumerate(queries_of_panels().values())
    ]
    written = tmp_path / "panels.yml"
    written.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}), encoding="utf-8")
    for file in (ALERTS, written) if promtool else ():
        done = subprocess.run([promtool, "check", "rules", file], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def dockerfile() -> dict[str, str]:
    """The last stage's instructions, by their names."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ").rpartition("\nFROM ")[2]
    return {name: rest for name, _, rest in (line.partition(" ") for line in text.splitlines())}


def documents() -> dict[str, Any]:
    """The objects of the manifest, by kind."""
    return {each["kind"]: each for each in yaml.safe_load_all(KUBERNETES.read_text(encoding="utf-8"))}


def routes() -> set[str]:
    """The pages of the listener's port."""
    clock = DatabaseClock()
    app = application(Health(clock), bytes, None, clock.now)
    return {route.path for route in app._app.routes}


def seconds_of_a_drain() -> float:
    """How long a listener takes to end at most."""
    return setting_names()["LISTENER_DRAIN_SECONDS"][1] + LONGEST_SECONDS


def test_the_manifest_fits_the_image() -> None:
    """User, group, port, command, and the folders that it may write to."""
    pod = documents()["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    user, group = map(int, dockerfile()["USER"].split(":"))
    allowed = pod["securityContext"]
    assert (allowed["runAsUser"], allowed["runAsGroup"], allowed["runAsNonRoot"]) == (user, group, True)
    assert [port["containerPort"] for port in container["ports"]] == [int(dockerfile()["EXPOSE"])]
    assert container["args"] == json.loads(dockerfile()["CMD"])
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]["listener"]
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == compose["tmpfs"]
    assert container["image"].partition(":")[0] == compose["image"]
    annotations = documents()["Deployment"]["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == dockerfile()["EXPOSE"]


def test_the_manifest_asks_for_pages_that_are_there() -> None:
    """A listener that is not ready is not restarted: it may run jobs all the same."""
    deployment = documents()["Deployment"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    probes = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")}
    assert probes == {"startup": "/livez", "liveness": "/livez", "readiness": "/readyz"}
    assert {
        *probes.values(),
        deployment["spec"]["template"]["metadata"]["annotations"]["prometheus.io/path"],
    } <= routes()


def test_the_manifest_replaces_listeners_one_after_another() -> None:
    """And waits for the drain of each; a drain of nodes leaves one."""
    spec = documents()["Deployment"]["spec"]
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert spec["template"]["spec"]["terminationGracePeriodSeconds"] >= seconds_of_a_drain() + 5
    budget = documents()["PodDisruptionBudget"]["spec"]
    assert budget["minAvailable"] < spec["replicas"]
    assert budget["selector"] == spec["selector"]
    assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"]


@pytest.mark.parametrize("path", [KUBERNETES, UNIT, ALERTS], ids=lambda path: path.name)
def test_every_variable_that_a_file_names_is_a_setting(path: Path) -> None:
    """Also in its comments."""
    named = set(re.findall(r"\b(?:LISTENER|SUPABASE)_[A-Z_]+\b", path.read_text(encoding="utf-8")))
    assert named
    assert named <= VARIABLES


def unit() -> Iterator[tuple[str, str]]:
    """The settings of the unit."""
    for line in UNIT.read_text(encoding="utf-8").splitlines():
        if "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            yield name, value


def test_the_unit_runs_the_command_of_the_image() -> None:
    """From the folder that its head installs to, as nobody, with time for the drain."""
    settings = dict(unit())
    program, *arguments = shlex.split(settings["ExecStart"])
    assert [Path(program).name, *arguments] == json.loads(dockerfile()["CMD"])
    assert f"python3 -m venv {Path(program).parents[1]}" in UNIT.read_text(encoding="utf-8")
    assert settings["EnvironmentFile"] in UNIT.read_text(encoding="utf-8").partition("[Unit]")[0]
    assert (settings["DynamicUser"], settings["ProtectSystem"], settings["KillMode"]) == ("yes", "strict", "mixed")
    assert settings["WorkingDirectory"] == f"/var/lib/{settings['StateDirectory']}"
    assert float(settings["TimeoutStopSec"]) >= seconds_of_a_drain() + 5


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    """With a program that is there in the place of the listener's; without systemd its settings were read above."""
    verifier = shutil.which("systemd-analyze")
    copy = tmp_path / UNIT.name
    copy.write_text(
        UNIT.read_text(encoding="utf-8").replace("/opt/listener/bin/listener", "/bin/true"), encoding="utf-8"
    )
    if verifier:
        done = subprocess.run([verifier, "verify", copy], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
