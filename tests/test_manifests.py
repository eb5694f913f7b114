"""What production is given: manifests, job templates, an image and a batch script that hang together."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tomllib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from prefect import settings
from prefect.utilities.templating import apply_values, find_placeholders

from deployments import zombies
from tests.servers import ROOT

DEPLOYMENTS = ROOT / "deployments"
MANIFESTS = sorted((DEPLOYMENTS / "kubernetes").glob("*.yaml"))
TEMPLATES = sorted(DEPLOYMENTS.glob("*/job-template.json"))
SECRETS = {"prefect-server", "prefect-client", "binclf-storage"}  # that docs/deploy.md has one make

Document = dict[str, Any]


def documents() -> list[Document]:
    """Every Kubernetes object, and the job that a run of the work pool becomes."""
    found = [one for path in MANIFESTS for one in yaml.safe_load_all(path.read_text())]
    return [*found, rendered(DEPLOYMENTS / "kubernetes" / "job-template.json")["job_manifest"]]


def rendered(template: Path) -> Document:
    """What a worker makes of a template with the defaults of its variables, for a run of some name."""
    content = json.loads(template.read_text())
    properties = content["variables"]["properties"]
    values = {name: one["default"] for name, one in properties.items() if "default" in one}
    values |= {
        "name": "a-run",
        "labels": {"prefect.io/flow-run-id": "1"},
        "command": "prefect flow-run execute",
    }
    found: Document = apply_values(content["job_configuration"], values, remove_notset=True)
    for container in pod_of(found.get("job_manifest", {})).get("containers", []):
        # as the worker does
        container["env"] = [{"name": name, "value": value} for name, value in container["env"].items()]
        container["args"] = container["args"].split()
    return found


def pod_of(document: Document) -> Document:
    found: Document = document.get("spec", {}).get("template", {}).get("spec", {})
    return found


def named(kind: str) -> set[str]:
    return {one["metadata"]["name"] for one in documents() if one["kind"] == kind}


def test_there_is_something_to_look_at() -> None:
    assert [path.name for path in MANIFESTS] == ["server.yaml", "training.yaml", "worker.yaml"]
    assert [path.parent.name for path in TEMPLATES] == ["docker", "kubernetes"]
    assert len(documents()) == 11


@pytest.mark.skipif(find_spec("kubernetes_validate") is None, reason="`make manifests` brings the schemas")
def test_every_object_is_what_the_schemas_of_kubernetes_allow() -> None:
    import kubernetes_validate

    for version in ("1.30", kubernetes_validate.latest_version()):
        for document in documents():
            kubernetes_validate.validate(document, version, strict=True)
    wrong = documents()[0]
    wrong["spec"]["template"]["spec"]["containers"][0]["imagePullPolice"] = "Always"
    with pytest.raises(kubernetes_validate.ValidationError, match="imagePullPolice"):
        kubernetes_validate.validate(wrong, "1.30", strict=True)


def test_all_objects_are_in_one_namespace_and_name_only_what_is_there() -> None:
    accounts = named("ServiceAccount")
    for document in documents():
        assert document["metadata"]["namespace"] == "binclf", document
        pod = pod_of(document)
        assert pod.get("serviceAccountName", "binclf-run") in accounts
        if document["kind"] == "RoleBinding":
            assert document["roleRef"]["name"] in named("Role")
            assert {one["name"] for one in document["subjects"]} <= accounts
        for container in pod.get("containers", []):
            assert {one["secretRef"]["name"] for one in container.get("envFrom", [])} <= SECRETS
            volumes = {one["name"] for one in pod.get("volumes", [])}
            assert {one["name"] for one in container.get("volumeMounts", [])} == volumes
            assert container["image"] == "binclf:cpu"


def test_selectors_choose_the_pods_that_they_are_for() -> None:
    with_pods = [one["spec"]["template"] for one in documents() if pod_of(one)]
    labels = [one["metadata"]["labels"] for one in with_pods if "metadata" in one]
    for document in documents():
        spec = document.get("spec", {})
        for wanted in (
            spec.get("selector", {}).get("matchLabels", spec.get("selector")),
            spec.get("podSelector", {}).get("matchLabels"),
        ):
            assert not wanted or any(wanted.items() <= own.items() for own in labels), document


def test_pods_run_without_root_without_rights_to_gain_and_within_a_memory() -> None:
    pods = [pod_of(one) for one in documents() if pod_of(one)]
    assert len(pods) == 4
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"]
        for container in pod["containers"]:
            assert not container["securityContext"]["allowPrivilegeEscalation"]
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert "memory" in container["resources"]["limits"]


def test_a_training_on_several_machines_starts_as_many_agents_as_it_waits_for() -> None:
    (job,) = (
        one
        for one in documents()
        if one["metadata"].get("name") == "binclf-training" and one["kind"] == "Job"
    )
    spec, pod = job["spec"], pod_of(job)
    options = dict(arg.removeprefix("--").split("=") for arg in pod["containers"][0]["args"] if "=" in arg)
    assert int(options["nnodes"]) == spec["completions"] == spec["parallelism"]
    assert spec["completionMode"] == "Indexed"
    host, port = options["rdzv-endpoint"].split(":")
    assert host == f"{job['metadata']['name']}-0.{pod['subdomain']}"  # how Kubernetes names the first pod
    (service,) = (
        one for one in documents() if one["kind"] == "Service" and one["metadata"]["name"] == pod["subdomain"]
    )
    assert [str(one["port"]) for one in service["spec"]["ports"]] == [port]
    assert "binclf-training" in named("NetworkPolicy")  # torchrun trusts whoever reaches it


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.parent.name)
def test_a_template_uses_each_of_its_variables_and_their_defaults_are_allowed(template: Path) -> None:
    content = json.loads(template.read_text())
    properties = content["variables"]["properties"]
    used = {one.name for one in find_placeholders(content["job_configuration"])}
    assert used == set(properties)
    for variable in properties.values():
        if "default" in variable:
            jsonschema.validate(variable["default"], {**variable, "definitions": {}})
    found = rendered(template)
    assert "{{" not in json.dumps(found)
    assert properties["env"]["default"] == zombies.ENVIRONMENT


def test_each_setting_of_prefect_that_is_named_is_one() -> None:
    """A misspelt one would be ignored in silence."""
    texts = [path.read_text() for path in DEPLOYMENTS.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    texts.append((ROOT / "docs" / "deploy.md").read_text())
    found = {name for text in texts for name in re.findall(r"\bPREFECT_[A-Z_]+[A-Z]\b", text)}
    assert {"PREFECT_API_URL", "PREFECT_SERVER_CSRF_PROTECTION_ENABLED"} <= found
    # (that one is what a flow's process has in its environment, from whoever started it)
    assert {name for name in found if not hasattr(settings, name)} == {"PREFECT__FLOW_RUN_ID"}


def test_the_image_installs_the_torch_of_pyproject_and_copies_what_is_there() -> None:
    text = (DEPLOYMENTS / "docker" / "Dockerfile").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (torch,) = (one for one in project["dependencies"] if one.startswith("torch"))
    assert f'"{torch}"' in text
    for line in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE):
        for source in line.split():
            assert (ROOT / source).exists(), source
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {".git", ".venv", "demo"} <= set(ignored)


def test_the_batch_script_starts_an_agent_on_each_machine_with_the_arguments_as_they_are(
    tmp_path: Path,
) -> None:
    script = DEPLOYMENTS / "slurm" / "train.sbatch"
    for name, body in {"srun": 'printf "%s\\n" "$@"', "scontrol": "printf 'n07\\nn08\\n'"}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        "SLURM_JOB_NODELIST": "n[07-08]",
        "SLURM_JOB_NUM_NODES": "2",
        "SLURM_JOB_ID": "41234",
        "SLURM_CPUS_PER_TASK": "8",
    }

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", str(script), *arguments], env=environment, capture_output=True, text=True, check=False
        )

    done = run("my job.toml", "train.l2=0.1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "--kill-on-bad-exit=1", "torchrun", "--nnodes=2", "--nproc-per-node=8", "--rdzv-id=41234",
        "--rdzv-backend=c10d", "--rdzv-endpoint=n07:21234", "-m", "binclf", "train", "my job.toml",
        "train.l2=0.1",
    ]  # fmt: skip
    assert run().returncode == 2
