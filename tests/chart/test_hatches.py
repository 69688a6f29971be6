"""What operators may add or replace without a change of the chart: it reaches the objects."""

import json

import pytest
from rendering import (
    RENDERS,
    containers,
    kinds,
    one,
    pod_spec,
    refusal,
    render,
    to_set,
    workloads,
)

SERVICES = [("read-svc", "readSvc"), ("write-svc", "writeSvc")]
CONTAINER = {"name": "more", "image": "more:1"}
VOLUME = {"name": "spare", "emptyDir": {}}
MOUNT = {"name": "spare", "mountPath": "/spare"}
ALIAS = {"ip": "10.0.0.9", "hostnames": ["db"]}
SECRET = {"secretRef": {"name": "more"}}


def with_value(path, value):
    return render("--set-json", f"{path}={json.dumps(value)}")


def deployment(objects, service):
    return one(objects, "Deployment", f"-{service}")


def container(spec, name):
    (found,) = [c for c in spec["containers"] + spec["initContainers"] if c["name"] == name]
    return found


# value, what is set, where it is then in the pod
OF_THE_POD = {
    "extraContainers": ([CONTAINER], lambda spec: [spec["containers"][-1]]),
    "extraInitContainers": ([CONTAINER], lambda spec: [spec["initContainers"][0]]),
    "extraVolumes": ([VOLUME], lambda spec: [spec["volumes"][-1]]),
    "hostAliases": ([ALIAS], lambda spec: spec["hostAliases"]),
    "dnsConfig": ({"searches": ["a.example"]}, lambda spec: spec["dnsConfig"]),
    "dnsPolicy": ("Default", lambda spec: spec["dnsPolicy"]),
    "runtimeClassName": ("gvisor", lambda spec: spec["runtimeClassName"]),
}
OF_THE_CONTAINER = {
    "extraVolumeMounts": ([MOUNT], lambda found: [found["volumeMounts"][-1]]),
    "envFrom": ([SECRET], lambda found: found["envFrom"]),
    "probes.readiness.periodSeconds": (7, lambda found: found["readinessProbe"]["periodSeconds"]),
    "probes.liveness.timeoutSeconds": (9, lambda found: found["livenessProbe"]["timeoutSeconds"]),
    "probes.startup.failureThreshold": (
        300,
        lambda found: found["startupProbe"]["failureThreshold"],
    ),
}


@pytest.mark.parametrize("name", OF_THE_POD)
@pytest.mark.parametrize("service, key", SERVICES)
def test_of_the_pod(service, key, name):
    value, where = OF_THE_POD[name]
    objects = with_value(f"{key}.{name}", value)
    assert where(pod_spec(deployment(objects, service))) == value
    other = next(s for s, _ in SERVICES if s != service)
    plain = pod_spec(deployment(render(), other))
    assert pod_spec(deployment(objects, other)) == plain


@pytest.mark.parametrize("name", OF_THE_CONTAINER)
@pytest.mark.parametrize("service, key", SERVICES)
def test_of_the_container(service, key, name):
    value, where = OF_THE_CONTAINER[name]
    spec = pod_spec(deployment(with_value(f"{key}.{name}", value), service))
    assert where(container(spec, service)) == value


@pytest.mark.parametrize("service, key", SERVICES)
def test_a_probe_keeps_its_path(service, key):
    spec = pod_spec(deployment(with_value(f"{key}.probes.readiness.periodSeconds", 7), service))
    probe = container(spec, service)["readinessProbe"]
    assert probe["httpGet"] == {"path": "/readyz", "port": "ops"}
    assert probe["failureThreshold"] == 2


@pytest.mark.parametrize("service, key", SERVICES)
def test_of_the_deployment_and_the_service(service, key):
    objects = with_value(f"{key}.annotations", {"team": "stock"})
    assert deployment(objects, service)["metadata"]["annotations"]["team"] == "stock"
    value = {"type": "LoadBalancer", "annotations": {"internal": "true"}}
    found = one(with_value(f"{key}.service", value), "Service", f"-{service}")
    assert found["spec"]["type"] == "LoadBalancer"
    assert found["metadata"]["annotations"] == {"internal": "true"}


def test_a_registry_for_all_images():
    objects = render("--set", "global.imageRegistry=registry.example/mirror/")
    images = {c["image"] for o in workloads(objects) for c in containers(pod_spec(o))}
    assert images and all(image.startswith("registry.example/mirror/") for image in images)
    assert {"registry.example/mirror/valkey/valkey:8-trixie"} <= images


@pytest.mark.parametrize(
    "image", ["quay.io/pg:17", "localhost/pg:17", f"host:5000/pg@sha256:{64 * '0'}"]
)
def test_an_image_with_a_registry_stays(image):
    objects = render("--set", f"global.imageRegistry=registry.example,images.postgres={image}")
    spec = pod_spec(one(objects, "StatefulSet", "-postgres"))
    assert spec["containers"][0]["image"] == image


def test_secrets_for_pulling_of_every_pod():
    objects = with_value("global.imagePullSecrets", ["one", "two"])
    pods = [pod_spec(o) for o in workloads(objects)]
    assert len(pods) >= 5
    for spec in pods:
        assert spec["imagePullSecrets"] == [{"name": "one"}, {"name": "two"}]


def test_users_that_the_platform_gives():
    for o in workloads(render("--set", "security.fixedUser=false")):
        security = pod_spec(o)["securityContext"]
        assert not {"runAsUser", "runAsGroup", "fsGroup"} & set(security)
        assert security["runAsNonRoot"] is True


def test_further_objects():
    value = [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "of-a-map"}},
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: '{{ .Release.Name }}-of-a-text'}\n",
    ]
    names = [o["metadata"]["name"] for o in kinds(with_value("extraObjects", value), "ConfigMap")]
    assert "of-a-map" in names and any(name.endswith("-of-a-text") for name in names)


@pytest.mark.parametrize("name", RENDERS)
def test_every_object_has_the_namespace_and_the_annotations(name):
    more = ["--set", "namespaceOverride=other", "--set-json", 'commonAnnotations={"team":"stock"}']
    for o in render(*RENDERS[name], *more):
        metadata = o["metadata"]
        assert metadata["namespace"] == "other", o["kind"]
        assert metadata["annotations"]["team"] == "stock", o["kind"]
    plain = {o["metadata"]["namespace"] for o in render(*RENDERS[name])}
    assert plain == {"stock"}


def test_annotations_of_an_object_go_before_common_ones():
    more = to_set(commonAnnotations={"team": "all"}, readSvc__annotations={"team": "one"})
    objects = render(*more)
    assert deployment(objects, "read-svc")["metadata"]["annotations"]["team"] == "one"
    assert deployment(objects, "write-svc")["metadata"]["annotations"]["team"] == "all"


def test_common_annotations_make_no_hooks():
    message = refusal(*to_set(commonAnnotations={"helm.sh/hook": "pre-install"}))
    assert "commonAnnotations: helm.sh/hook would make each object a hook" in message
