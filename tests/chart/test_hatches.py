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
TOLERATION = {"key": "pool", "operator": "Exists"}
AFFINITY = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {}}}
USER = 1000660000  # of OpenShift's size: a number that YAML may print with an exponent

# the values of a component: its workloads, with the containers of the chart in them
COMPONENTS = {
    "readSvc": {("Deployment", "read-svc"): ["pgbouncer", "read-svc"]},
    "writeSvc": {("Deployment", "write-svc"): ["pgbouncer", "write-svc"]},
    "postgres.bundled": {("StatefulSet", "postgres"): ["user", "data-version", "postgres"]},
    "redis.bundled": {("Deployment", "redis"): ["redis"]},
    "migrate": {
        ("Job", "migrate"): ["migrate"],
        ("Job", "seed"): ["migrate", "seed"],
        ("Pod", "test"): ["test"],
    },
}
LONG_RUNNING = ["readSvc", "writeSvc", "postgres.bundled", "redis.bundled"]


def with_value(path, value):
    return render("--set-json", f"{path}={json.dumps(value)}")


def deployment(objects, service):
    return one(objects, "Deployment", f"-{service}")


def component(o):
    return o["metadata"]["labels"]["app.kubernetes.io/component"]


def workloads_of(objects, of):
    found = {(o["kind"], component(o)): o for o in workloads(objects)}
    return {key: found[key] for key in COMPONENTS[of]}


def template(workload):
    return workload if workload["kind"] == "Pod" else workload["spec"]["template"]


def main(spec):
    """The container that the pod is there for."""
    (found,) = [c for c in spec["containers"] if c["name"] != "more"]
    return found


# value: what is set, where it is then in the pod's spec
OF_THE_POD = {
    "nodeSelector": ({"disk": "ssd"}, lambda spec: spec["nodeSelector"]),
    "tolerations": ([TOLERATION], lambda spec: spec["tolerations"]),
    "affinity": (AFFINITY, lambda spec: spec["affinity"]),
    "priorityClassName": ("high", lambda spec: spec["priorityClassName"]),
    "runtimeClassName": ("gvisor", lambda spec: spec["runtimeClassName"]),
    "hostAliases": ([ALIAS], lambda spec: spec["hostAliases"]),
    "dnsPolicy": ("Default", lambda spec: spec["dnsPolicy"]),
    "dnsConfig": ({"searches": ["a.example"]}, lambda spec: spec["dnsConfig"]),
    "podSecurityContext.runAsUser": (USER, lambda spec: spec["securityContext"]["runAsUser"]),
    "extraInitContainers": ([CONTAINER], lambda spec: [spec["initContainers"][0]]),
    "extraVolumes": ([VOLUME], lambda spec: [spec["volumes"][-1]]),
    "extraVolumeMounts": ([MOUNT], lambda spec: [main(spec)["volumeMounts"][-1]]),
    "env": ([{"name": "A", "value": "b"}], lambda spec: [main(spec)["env"][-1]]),
    "envFrom": ([SECRET], lambda spec: main(spec)["envFrom"]),
}
OF_LONG_RUNNING = {
    "extraContainers": ([CONTAINER], lambda spec: [spec["containers"][-1]]),
    "lifecycle.postStart": (
        {"exec": {"command": ["true"]}}, lambda spec: main(spec)["lifecycle"]["postStart"]),
    "lifecycle.preStop": (
        {"exec": {"command": ["true"]}}, lambda spec: main(spec)["lifecycle"]["preStop"]),
    "probes.readiness.periodSeconds": (
        7, lambda spec: main(spec)["readinessProbe"]["periodSeconds"]),
    "probes.liveness.timeoutSeconds": (
        9, lambda spec: main(spec)["livenessProbe"]["timeoutSeconds"]),
}


def check_reaches(of, name, value, where):
    """It is in all workloads of the component, and in no others."""
    objects = with_value(f"{of}.{name}", value)
    for key, o in workloads_of(objects, of).items():
        assert where(pod_spec(o)) == value, key
    for other in COMPONENTS.keys() - {of}:
        assert workloads_of(objects, other) == workloads_of(render(), other)


@pytest.mark.parametrize("name", OF_THE_POD)
@pytest.mark.parametrize("of", COMPONENTS)
def test_of_the_pod(of, name):
    check_reaches(of, name, *OF_THE_POD[name])


@pytest.mark.parametrize("name", OF_LONG_RUNNING)
@pytest.mark.parametrize("of", LONG_RUNNING)
def test_of_long_running_pods(of, name):
    check_reaches(of, name, *OF_LONG_RUNNING[name])


@pytest.mark.parametrize("of", ["readSvc", "writeSvc", "postgres.bundled"])
def test_times_of_a_start(of):
    for o in workloads_of(with_value(f"{of}.probes.startup.failureThreshold", 300), of).values():
        assert main(pod_spec(o))["startupProbe"]["failureThreshold"] == 300


@pytest.mark.parametrize("of", COMPONENTS)
def test_security_of_every_container(of):
    objects = render(
        *to_set(security__fixedUser=False),
        *("--set-json", f'{of}.securityContext={{"capabilities":{{"add":["X"]}}}}'),
    )
    for key, o in workloads_of(objects, of).items():
        found = containers(pod_spec(o))
        assert [c["name"] for c in found] == COMPONENTS[of][key]
        for c in found:
            assert c["securityContext"]["capabilities"] == {"add": ["X"], "drop": ["ALL"]}
            assert c["securityContext"]["readOnlyRootFilesystem"] is True


@pytest.mark.parametrize("of", COMPONENTS)
def test_labels_and_annotations(of):
    label, note = {"team": "stock"}, {"note": "x"}
    for key, o in workloads_of(with_value(f"{of}.podLabels", label), of).items():
        assert template(o)["metadata"]["labels"].items() >= label.items(), key
    for key, o in workloads_of(with_value(f"{of}.podAnnotations", note), of).items():
        assert template(o)["metadata"]["annotations"].items() >= note.items(), key
    for key, o in workloads_of(with_value(f"{of}.annotations", note), of).items():
        if o["kind"] != "Pod":
            assert o["metadata"]["annotations"].items() >= note.items(), key


@pytest.mark.parametrize("of", COMPONENTS)
def test_a_label_of_a_selector_stays(of):
    wrong = {"app.kubernetes.io/component": "other"}
    for key, o in workloads_of(with_value(f"{of}.podLabels", wrong), of).items():
        assert template(o)["metadata"]["labels"]["app.kubernetes.io/component"] == key[1]


@pytest.mark.parametrize("service, key", SERVICES)
def test_a_probe_keeps_its_path(service, key):
    spec = pod_spec(deployment(with_value(f"{key}.probes.readiness.periodSeconds", 7), service))
    probe = main(spec)["readinessProbe"]
    assert probe["httpGet"] == {"path": "/readyz", "port": "ops"}
    assert probe["failureThreshold"] == 2


@pytest.mark.parametrize("service, key", SERVICES)
def test_a_hook_after_the_start_leaves_that_before_the_end(service, key):
    value = {"exec": {"command": ["true"]}}
    spec = pod_spec(deployment(with_value(f"{key}.lifecycle.postStart", value), service))
    assert main(spec)["lifecycle"]["preStop"] == {"sleep": {"seconds": 6}}


@pytest.mark.parametrize("service, key", SERVICES)
def test_of_the_service(service, key):
    value = {"type": "LoadBalancer", "annotations": {"internal": "true"}}
    found = one(with_value(f"{key}.service", value), "Service", f"-{service}")
    assert found["spec"]["type"] == "LoadBalancer"
    assert found["metadata"]["annotations"] == {"internal": "true"}


def test_any_user_has_a_name_where_initdb_wants_one():
    assert "user" not in [c["name"] for c in containers(pod_spec(postgres()))]
    for more in (
        to_set(security__fixedUser=False),
        to_set(postgres__bundled__podSecurityContext={"runAsUser": USER}),
    ):
        spec = pod_spec(postgres(*more))
        (name,) = [c for c in spec["initContainers"] if c["name"] == "user"]
        assert name["volumeMounts"] == [{"name": "user", "mountPath": "/user"}]
        assert {"name": "user", "mountPath": "/etc/passwd", "subPath": "passwd",
                "readOnly": True} in main(spec)["volumeMounts"]


def postgres(*arguments):
    return one(render(*arguments), "StatefulSet", "-postgres")


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
