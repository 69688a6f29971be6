"""A strict server-side dry run of every values file and routing mode, where kubectl reaches a
cluster.

Objects of kinds the cluster does not know (no Gateway API, KEDA or Prometheus operator there) are
left out and named.
"""

import os
import shutil
import subprocess

import pytest
import yaml

from rendering import CHART, LOAD_CHART, RENDERS, ROOT, one, render, run_helm


def kubectl(*arguments, **options):
    return subprocess.run(["kubectl", *arguments], capture_output=True, text=True, **options)


def reachable():
    return shutil.which("kubectl") and kubectl("version", "--request-timeout=3s").returncode == 0


pytestmark = pytest.mark.skipif(not reachable(), reason="kubectl reaches no cluster: no dry run")


@pytest.fixture(scope="module")
def known():
    """The kinds of the cluster, as (apiVersion, kind)."""
    lines = kubectl("api-resources", "--no-headers").stdout.splitlines()
    return {(fields[-3], fields[-1]) for fields in map(str.split, lines)}


def dry_run(objects, known):
    unknown = {o["kind"] for o in objects if (o["apiVersion"], o["kind"]) not in known}
    text = yaml.safe_dump_all(o for o in objects if o["kind"] not in unknown)
    result = kubectl(
        "apply",
        "--namespace=default",
        "--dry-run=server",
        "--validate=strict",
        "--filename=-",
        input=text,
    )
    assert result.returncode == 0, result.stderr
    assert "Warning" not in result.stderr, result.stderr
    if unknown:
        pytest.skip(f"the rest passed; this cluster does not know {', '.join(sorted(unknown))}")


@pytest.mark.parametrize("name", RENDERS)
def test_dry_run(name, known):
    # a Pod is judged against its service account, which a dry run does not make; nor the class of
    # priority
    arguments = [
        *RENDERS[name],
        "--set",
        "serviceAccount.create=false,serviceAccount.name=default,readSvc.priorityClassName=",
    ]
    objects = render(*arguments)
    for o in objects:
        o["metadata"].pop("namespace", None)
    dry_run(objects, known)


def test_dry_run_of_the_load_chart(known):
    scripts = [
        part
        for file in (ROOT / "k6").glob("*.js")
        for part in ("--set-file", rf"scripts.{file.stem}\.js={file}")
    ]
    result = run_helm(
        "template",
        "load-stock",
        str(LOAD_CHART),
        "--set",
        "scenario=stock",
        "--set",
        "env.RATE=100",
        *scripts,
    )
    assert result.returncode == 0, result.stderr
    dry_run([o for o in yaml.safe_load_all(result.stdout) if o], known)


@pytest.fixture(scope="module")
def installed_postgres():
    """The StatefulSet of a release `fs` with PostgreSQL 15, in a namespace, without pods."""
    namespace = f"faststock-version-{os.getpid()}"
    old = render("--set", "images.postgres=postgres:15-bookworm")
    stateful_set = one(old, "StatefulSet", "-postgres")
    stateful_set["metadata"].pop("namespace", None)
    stateful_set["spec"]["replicas"] = 0
    assert kubectl("create", "namespace", namespace).returncode == 0
    try:
        text = yaml.safe_dump(stateful_set)
        made = kubectl("apply", f"--namespace={namespace}", "--filename=-", input=text)
        assert made.returncode == 0, made.stderr
        yield namespace
    finally:
        kubectl("delete", "namespace", namespace, "--wait=false")


@pytest.mark.parametrize(
    "image, refused",
    [
        ("postgres:17-trixie", True),
        ("registry.example.com:5000/library/postgres:17.6@sha256:00", True),
        ("postgres:15.14-bookworm", False),
        ("postgres:latest", False),
    ],
)
def test_another_version_of_postgresql_is_refused(installed_postgres, image, refused):
    """A tag without a version is left to the init container of the pod."""
    arguments = ["--namespace", installed_postgres, "--set", f"images.postgres={image}"]
    said = run_helm("install", "fs", str(CHART), "--dry-run=server", *arguments).stderr
    assert (f"runs PostgreSQL 15, and images.postgres is {image}" in said) == refused, said


def apply_as_helm_does(namespace):
    """The Deployment of read-svc of a release `fs` with two replicas, without pods."""
    objects = render("--set", "readSvc.autoscaling.mode=none,readSvc.replicas=2")
    deployment = one(objects, "Deployment", "-read-svc")
    deployment["metadata"]["annotations"] |= {
        "meta.helm.sh/release-name": "fs",
        "meta.helm.sh/release-namespace": namespace,
    }
    deployment["metadata"].pop("namespace", None)
    deployment["spec"]["paused"] = True
    made = kubectl(
        "apply", "--server-side", "--field-manager=helm", f"--namespace={namespace}",
        "--filename=-",
        input=yaml.safe_dump(deployment),
    )
    assert made.returncode == 0, made.stderr


@pytest.fixture
def namespace():
    name = f"faststock-replicas-{os.getpid()}"
    assert kubectl("create", "namespace", name).returncode == 0
    yield name
    kubectl("delete", "namespace", name, "--wait=false")


def test_a_number_of_replicas_set_past_helm_stays(namespace):
    """helm 4 could not apply another number: the one that scaled owns the field."""
    def replicas(wanted):
        settings = f"readSvc.autoscaling.mode=none,readSvc.replicas={wanted}"
        result = run_helm(
            "template", "fs", str(CHART), "--namespace", namespace, "--dry-run=server",
            "--set", settings, "--show-only", "templates/services.yaml",
        )
        assert result.returncode == 0, result.stderr
        objects = list(yaml.safe_load_all(result.stdout))
        deployment = one(objects, "Deployment", "-read-svc")
        assert deployment["metadata"]["annotations"]["faststock/replicas"] == str(wanted)
        return deployment["spec"]["replicas"]

    apply_as_helm_does(namespace)
    assert (replicas(2), replicas(5)) == (2, 5)
    scaled = kubectl(
        "scale", "deployment/fs-faststock-read-svc", f"--namespace={namespace}", "--replicas=3"
    )
    assert scaled.returncode == 0, scaled.stderr
    assert replicas(2) == 3
    assert replicas(5) == 5  # a new number is asked for: helm says whose it was
