"""What kustomize builds is valid for Kubernetes, keeps the restricted profile, and holds together by its names."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

KUBERNETES = Path(__file__).parents[2] / "deploy" / "kubernetes"
KUSTOMIZE = shutil.which("kustomize", path=str(Path(sys.prefix) / "go"))
DEFINITIONS = Path(sys.prefix) / "kserve"
VERSIONS = ("1.30", "1.37")
"""Of Kubernetes: the oldest that is meant, and the newest whose schemas are there."""

BUILT = ("base", "overlays/queue-autoscaling", "overlays/training", "kserve")
OURS = "serving.kserve.io"

pytestmark = pytest.mark.skipif(KUSTOMIZE is None, reason="kustomize is not built: make check-deploy")


def build(folder: str) -> list[dict[str, Any]]:
    assert KUSTOMIZE is not None
    told = subprocess.run([KUSTOMIZE, "build", KUBERNETES / folder], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    assert not told.stderr, told.stderr
    return list(yaml.safe_load_all(told.stdout))


@pytest.fixture(scope="module", params=BUILT)
def objects(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    return build(request.param)


@pytest.fixture(scope="module")
def base() -> dict[str, dict[str, Any]]:
    """Objects of the base by kind and name."""
    return {f"{one['kind']}/{one['metadata']['name']}": one for one in build("base")}


def pods(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Specifications of pods, wherever they stand."""
    found = []
    for one in objects:
        spec = one.get("spec", {})
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        found += [spec["template"]["spec"]] if "template" in spec else []
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_objects_are_valid_and_have_no_unknown_field(objects: list[dict[str, Any]], version: str) -> None:
    for one in objects:
        if not one["apiVersion"].startswith(OURS):
            kubernetes_validate.validate(one, version, strict=True)


@pytest.mark.parametrize(
    ("kind", "plural"), [("ServingRuntime", "servingruntimes"), ("InferenceService", "inferenceservices")]
)
def test_kserve_takes_its_objects(kind: str, plural: str) -> None:
    definition = DEFINITIONS / f"{OURS}_{plural}.yaml"
    if not definition.exists():
        pytest.skip("KServe's definitions are not there: make check-deploy")
    (one,) = [found for found in build("kserve") if found["kind"] == kind]
    versions = yaml.safe_load(definition.read_text())["spec"]["versions"]
    (schema,) = [v["schema"]["openAPIV3Schema"] for v in versions if one["apiVersion"] == f"{OURS}/{v['name']}"]
    jsonschema.Draft202012Validator(closed(schema)).validate(one)


def closed(schema: Any) -> Any:
    """The schema, with fields that it does not list refused, as an API server drops them without a word."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: closed(part) for name, part in schema.items()}
    open_ended = "additionalProperties" in schema or schema.get("x-kubernetes-preserve-unknown-fields")
    if schema.get("type") == "object" and isinstance(schema.get("properties"), dict) and not open_ended:
        found["additionalProperties"] = False
    return found


def test_pods_keep_the_restricted_profile(objects: list[dict[str, Any]]) -> None:
    runtimes = [one["spec"] for one in objects if one["kind"] == "ServingRuntime"]
    for pod in [*pods(objects), *runtimes]:
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            context = {**pod.get("securityContext", {}), **container["securityContext"]}
            assert context["runAsNonRoot"] is True
            assert context["runAsUser"] == 10001
            assert context["seccompProfile"] == {"type": "RuntimeDefault"}
            assert context["allowPrivilegeEscalation"] is False
            assert context["readOnlyRootFilesystem"] is True
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert {"requests", "limits"} <= set(container["resources"])
            assert container["image"].split(":")[1] == "0.1.0", "kustomize sets every image"
        assert pod.get("automountServiceAccountToken") is not True


def test_mounts_name_volumes_and_volumes_name_claims(objects: list[dict[str, Any]]) -> None:
    claims = {one["metadata"]["name"] for one in objects if one["kind"] == "PersistentVolumeClaim"}
    for pod in pods(objects):
        volumes = {volume["name"] for volume in pod["volumes"]}
        asked = {v["persistentVolumeClaim"]["claimName"] for v in pod["volumes"] if "persistentVolumeClaim" in v}
        assert asked <= claims
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes


def test_everything_selects_the_pods_of_the_deployment(base: dict[str, dict[str, Any]]) -> None:
    labels = base["Deployment/jobcast"]["spec"]["template"]["metadata"]["labels"].items()
    selectors = [
        base["Deployment/jobcast"]["spec"]["selector"]["matchLabels"],
        base["Service/jobcast-grpc"]["spec"]["selector"],
        base["Service/jobcast"]["spec"]["selector"],
        base["PodDisruptionBudget/jobcast"]["spec"]["selector"]["matchLabels"],
        base["NetworkPolicy/jobcast"]["spec"]["podSelector"]["matchLabels"],
    ]
    assert all(selector.items() <= labels for selector in selectors)
    assert base["HorizontalPodAutoscaler/jobcast"]["spec"]["scaleTargetRef"]["name"] == "jobcast"
    assert base["Service/jobcast-grpc"]["spec"]["clusterIP"] == "None"


def test_a_pod_has_time_to_drain_before_it_is_killed(base: dict[str, dict[str, Any]]) -> None:
    pod = base["Deployment/jobcast"]["spec"]["template"]["spec"]
    (server,) = pod["containers"]
    variables = {variable["name"]: variable["value"] for variable in server["env"]}
    readiness = server["readinessProbe"]
    assert float(variables["JOBCAST_DRAIN_DELAY"]) > readiness["periodSeconds"] * readiness["failureThreshold"]
    assert pod["terminationGracePeriodSeconds"] > float(variables["JOBCAST_DRAIN_DELAY"]) + 30


def test_under_kserve_too_and_its_pods_are_reached_where_the_base_lets_nothing_in(
    base: dict[str, dict[str, Any]],
) -> None:
    found = {one["kind"]: one for one in build("kserve")}
    (server,) = found["ServingRuntime"]["spec"]["containers"]
    variables = {variable["name"]: variable["value"] for variable in server["env"]}
    readiness, predictor = server["readinessProbe"], found["InferenceService"]["spec"]["predictor"]
    assert float(variables["JOBCAST_DRAIN_DELAY"]) > readiness["periodSeconds"] * readiness["failureThreshold"]
    assert predictor["terminationGracePeriodSeconds"] > float(variables["JOBCAST_DRAIN_DELAY"]) + 30
    assert base["NetworkPolicy/nothing"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    policy, ours = found["NetworkPolicy"]["spec"], base["NetworkPolicy/jobcast"]["spec"]
    name = found["InferenceService"]["metadata"]["name"]
    assert policy["podSelector"]["matchLabels"] == {"serving.kserve.io/inferenceservice": name}
    assert [rule["from"] for rule in policy["ingress"]] == [rule["from"] for rule in ours["ingress"]]
    opened = {port["port"] for rule in policy["ingress"] for port in rule["ports"]}
    assert opened == {50051, int(variables["JOBCAST_HTTP_PORT"]), 8181}


def test_servers_read_what_training_writes() -> None:
    objects = build("overlays/training")
    (serving,) = [one["spec"]["template"]["spec"] for one in objects if one["kind"] == "Deployment"]
    (server,) = serving["containers"]
    mounts = {mount["name"]: mount for mount in server["volumeMounts"]}
    variables = {variable["name"]: variable["value"] for variable in server["env"]}
    assert variables["JOBCAST_MODELS"] == mounts["models"]["mountPath"]
    assert variables["JOBCAST_MODEL_CONTROL"] == "poll"
    assert mounts["models"]["readOnly"] is True
    (training,) = [one for one in objects if one["kind"] == "CronJob"]
    (trainer,) = training["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert f"--out={mounts['models']['mountPath']}" in trainer["args"]
