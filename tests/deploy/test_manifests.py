"""compose.yaml, the systemd unit and the Kubernetes manifest agree with the server and with each other."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

from server import ROUTES
from tests.support import deploy_files
from tests.support.deploy_files import ROOT, instruction, pod, services
from web.admission import PUBLIC_PATHS
from web.command_line import read_options

PORT = int(instruction("EXPOSE"))
GET_ROUTES = {route.path for route in ROUTES if route.method == "GET"}


def compose_options() -> list[str]:
    return [*deploy_files.entry_point(), *map(deploy_files.with_values, services()["front"]["command"])]


def kubernetes_options() -> list[str]:
    return [*deploy_files.entry_point(), *pod()["containers"][0]["args"]]


OPTIONS = {"compose": compose_options, "kubernetes": kubernetes_options, "systemd": deploy_files.unit_options}
# The variables that the files set for the server, with any value.
VARIABLES = {"FUNCTIONARY_API_KEY": "key", "FUNCTIONARY_ENGINE_KEY": "engine-key"}


@pytest.mark.parametrize("name", OPTIONS)
def test_every_command_line_is_one_that_the_server_takes(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A renamed option ends the process at start, which in a cluster shows as a restart loop."""
    for variable, value in VARIABLES.items():
        monkeypatch.setenv(variable, value)
    keys = tmp_path / "keys"
    keys.write_text(f"alice:{'0' * 64}\n")
    options = [re.sub(r"/etc/functionary/keys\b", str(keys), option) for option in OPTIONS[name]()]
    found = read_options(options)
    assert found.port == PORT
    assert found.drain_timeout == deploy_files.drain_timeout(options)


def test_fronts_of_compose_and_kubernetes_run_on_the_same_engine() -> None:
    """Both name the vLLM by the name of its service, and have its key."""
    for options in (compose_options(), kubernetes_options()):
        assert {"--engine-url=http://vllm:8000", "--engine=vllm"} <= set(options)
    assert services()["front"]["environment"]["FUNCTIONARY_ENGINE_KEY"] == "${VLLM_API_KEY}"
    (variable,) = pod()["containers"][0]["env"]
    assert variable["name"] == "FUNCTIONARY_ENGINE_KEY"
    model = deploy_files.with_values(services()["vllm"]["command"][0])
    assert f"--model={model}" in compose_options()


def test_running_requests_may_end_before_the_process_is_killed() -> None:
    """Each supervisor waits longer than --drain-timeout, Kubernetes also for the time of preStop."""
    front = services()["front"]
    assert deploy_files.seconds(front["stop_grace_period"]) >= deploy_files.drain_timeout(front["command"]) + 5
    container = pod()["containers"][0]
    command, wait_s = container["lifecycle"]["preStop"]["exec"]["command"]
    assert command == "sleep"
    before_kill_s = pod()["terminationGracePeriodSeconds"] - int(wait_s)
    assert before_kill_s >= deploy_files.drain_timeout(container["args"]) + 5
    unit = deploy_files.unit()
    assert deploy_files.seconds(unit["TimeoutStopSec"][0]) >= deploy_files.drain_timeout(unit["ExecStart"]) + 5
    assert front["init"] is True, "as process 1, Python ignores SIGTERM until the server has set its handler"


def test_probes_ask_routes_that_need_no_key_on_the_port_of_the_image() -> None:
    container = pod()["containers"][0]
    assert container["ports"] == [{"name": "http", "containerPort": PORT}]
    paths = {}
    for name in ("startupProbe", "livenessProbe", "readinessProbe"):
        request = container[name]["httpGet"]
        assert request["port"] == "http"
        paths[name] = request["path"]
    assert paths == {"startupProbe": "/ready", "livenessProbe": "/live", "readinessProbe": "/ready"}
    assert set(paths.values()) <= GET_ROUTES & PUBLIC_PATHS
    (service_port,) = deploy_files.kubernetes("Service")["spec"]["ports"]
    assert service_port["targetPort"] == "http"


def test_the_proxy_finds_the_fronts_and_asks_whether_they_are_ready() -> None:
    text = (ROOT / "deploy" / "haproxy.cfg").read_text(encoding="utf-8")
    (check,) = re.findall(r"option httpchk GET (\S+)", text)
    assert check in GET_ROUTES & PUBLIC_PATHS
    (target,) = re.findall(r"server-template \S+ \d+ (\S+)", text)
    assert target == f"front:{PORT}"
    (bound,) = re.findall(r"bind :(\d+)", text)
    assert services()["proxy"]["ports"][0].endswith(f":{bound}")
    (kept_s,) = set(re.findall(r"timeout http-keep-alive (\d+)s", text))
    assert int(kept_s) < read_options([]).keep_alive, "else requests meet connections that are just being closed"


def test_prometheus_asks_each_front_with_the_key() -> None:
    jobs = yaml.safe_load((ROOT / "deploy" / "prometheus.yml").read_text(encoding="utf-8"))["scrape_configs"]
    front = {job["job_name"]: job for job in jobs}["functionary"]
    assert "/metrics" in GET_ROUTES and "/metrics" not in PUBLIC_PATHS
    (secret,) = services()["prometheus"]["secrets"]
    assert front["authorization"]["credentials_file"] == f"/run/secrets/{secret}"
    assert front["dns_sd_configs"] == [{"names": ["front"], "type": "A", "port": PORT}]
    annotations = deploy_files.kubernetes("Deployment")["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/path"] == "/metrics"
    assert annotations["prometheus.io/port"] == str(PORT)


def test_files_that_compose_mounts_exist() -> None:
    mounted = [volume.split(":")[0] for service in services().values() for volume in service.get("volumes", ())]
    files = [name for name in mounted if name.startswith("./")]
    assert len(files) == 5
    assert [name for name in files if not (ROOT / name).is_file()] == []


def test_a_container_may_write_where_the_server_writes_and_nowhere_else() -> None:
    """The root file system is read-only: the hub's cache and /tmp are mounted."""
    cache = dict(
        text.split("=", 1) for word, text in deploy_files.instructions() if word == "ENV" and "HF_HOME" in text
    )
    container = pod()["containers"][0]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    mounts = {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
    assert mounts == {cache["HF_HOME"], "/tmp"}
    front = services()["front"]
    assert front["read_only"] is True
    assert {*front["tmpfs"], *(volume.split(":")[1] for volume in front["volumes"])} == mounts


def test_kubernetes_runs_the_user_of_the_image() -> None:
    context = pod()["securityContext"]
    assert f"{context['runAsUser']}:{context['runAsGroup']}" == instruction("USER")


def test_the_objects_of_kubernetes_select_the_same_pods() -> None:
    labels = deploy_files.kubernetes("Deployment")["spec"]["template"]["metadata"]["labels"]
    assert deploy_files.kubernetes("Deployment")["spec"]["selector"]["matchLabels"] == labels
    assert deploy_files.kubernetes("Service")["spec"]["selector"] == labels
    assert deploy_files.kubernetes("PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == labels
    target = deploy_files.kubernetes("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    assert target["name"] == deploy_files.kubernetes("Deployment")["metadata"]["name"]


def test_the_unit_writes_only_into_folders_that_systemd_makes() -> None:
    unit = deploy_files.unit()
    words = shlex.split(unit["ExecStart"][0])
    store = words[words.index("--response-store") + 1]
    assert store.startswith(f"/var/lib/{unit['StateDirectory'][0]}/")
    assert f"HF_HOME=/var/cache/{unit['CacheDirectory'][0]}" in unit["Environment"][0].split()
    assert unit["ProtectSystem"] == ["strict"]
    assert unit["RestartPreventExitStatus"] == ["2"], "the status of a wrong option"
