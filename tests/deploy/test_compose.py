"""The compose files are what the specification's own loader takes, hardened, and name only files that are there."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

DEPLOY = Path(__file__).parents[2] / "deploy"
LOADER = shutil.which("compose-spec", path=str(Path(sys.prefix) / "go"))

pytestmark = pytest.mark.skipif(LOADER is None, reason="the loader of compose files is not built: make check-deploy")


def load(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Merge and check the files as `docker compose config` does, whose loader it is; variables have their defaults."""
    assert LOADER is not None
    command = [LOADER, "-format", "json", *arguments]
    return subprocess.run(command, cwd=DEPLOY, capture_output=True, text=True, check=False)


def loaded(*arguments: str) -> dict[str, Any]:
    told = load(*arguments)
    assert told.returncode == 0, told.stderr
    found: dict[str, Any] = json.loads(told.stdout)
    return found


@pytest.fixture(scope="module")
def stack() -> dict[str, Any]:
    return loaded("compose.yaml")


def test_every_service_is_hardened(stack: dict[str, Any]) -> None:
    assert set(stack["services"]) == {"grafana", "prometheus", "repository", "server", "train", "ui"}
    for name, service in stack["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not service.get("privileged"), name
        assert not any(image in service["image"] for image in (":latest", "@")), name


def test_what_stays_up_is_bounded_and_watched(stack: dict[str, Any]) -> None:
    for name in ("grafana", "prometheus", "server", "ui"):
        limits = stack["services"][name]["deploy"]["resources"]["limits"]
        assert {"cpus", "memory", "pids"} <= set(limits), name
    for name in ("grafana", "prometheus"):  # the images of the server and the app bring their own
        assert stack["services"][name]["healthcheck"]["test"][0] == "CMD", name


def test_ports_are_published_on_this_machine_alone(stack: dict[str, Any]) -> None:
    ports = [port for service in stack["services"].values() for port in service.get("ports", [])]
    assert {int(port["published"]) for port in ports} == {3000, 8181, 8200, 8501, 9090, 50051}
    assert {port["host_ip"] for port in ports} == {"127.0.0.1"}


def test_nothing_has_to_be_there_before(stack: dict[str, Any]) -> None:
    assert not [name for name, volume in stack["volumes"].items() if volume.get("external")]
    for name, service in stack["services"].items():
        for volume in service.get("volumes", []):
            if volume["type"] == "bind" and name != "train":  # whose logs are the caller's to name
                assert Path(volume["source"]).exists(), f"{name} mounts {volume['source']}"
                assert volume["read_only"], f"{name} may write {volume['source']}"
        for build in [service["build"]] if "build" in service else []:
            assert (Path(build["context"]) / build["dockerfile"]).is_file(), name


def test_the_server_reads_the_bundles_that_training_writes(stack: dict[str, Any]) -> None:
    def mounted(service: str) -> dict[str, bool]:
        volumes = [volume for volume in stack["services"][service]["volumes"] if volume.get("source") == "models"]
        return {volume["target"]: volume.get("read_only", False) for volume in volumes}

    place = stack["services"]["server"]["environment"]["JOBCAST_MODELS"]
    assert mounted("server") == {place: True}
    assert mounted("train") == mounted("repository") == {place: False}
    waited = stack["services"]["server"]["depends_on"]["repository"]
    assert waited["condition"] == "service_completed_successfully"


def test_there_is_no_password_unless_a_file_gives_one() -> None:
    files = ("compose.yaml", "compose.login.yaml")
    refused = load(*files)
    assert refused.returncode != 0
    assert "GRAFANA_ADMIN_PASSWORD_FILE is missing" in refused.stderr
    given = loaded("-no-interpolation", *files)
    assert given["secrets"]["grafana-admin"]["file"].count("${GRAFANA_ADMIN_PASSWORD_FILE:?") == 1
    assert "GF_SECURITY_ADMIN_PASSWORD__FILE=/run/secrets/grafana-admin" in given["services"]["grafana"]["environment"]
    texts = [path.read_text() for path in DEPLOY.glob("compose*.yaml")]
    assert not any("PASSWORD:" in text or "PASSWORD=" in text for text in texts)


def test_the_override_for_an_m2_max_gives_four_cpus_and_eight_gigabytes() -> None:
    server = loaded("compose.yaml", "compose.m2-max.yaml")["services"]["server"]
    limits = server["deploy"]["resources"]["limits"]
    assert server["platform"] == "linux/arm64"
    assert (float(limits["cpus"]), limits["memory"]) in ((4.0, "8g"), (4.0, str(8 * 2**30)))
    assert limits["pids"] == 256, "the rest of the limits is kept"
