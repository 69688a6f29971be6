"""Every render of the chart is right, with every values file and routing mode."""

import re

import pytest
import yaml

from rendering import (
    CHART,
    LOAD_CHART,
    REDIS_SENTINEL,
    REDIS_TLS,
    RENDERS,
    containers,
    env,
    kinds,
    one,
    pod_spec,
    render,
    render_text,
    run_helm,
    to_set,
    workloads,
)


@pytest.fixture(params=RENDERS, name="objects")
def _objects(request):
    return render(*RENDERS[request.param])


@pytest.mark.parametrize("name", RENDERS)
def test_lint(name):
    result = run_helm("lint", "--strict", str(CHART), *RENDERS[name])
    assert result.returncode == 0, result.stdout + result.stderr


def test_names_are_unique(objects):
    names = [(o["kind"], o["metadata"]["name"]) for o in objects]
    assert len(names) == len(set(names))


def test_pods_are_restricted(objects):
    """The restricted Pod Security Standard, a read-only root, no token."""
    for workload in workloads(objects):
        pod = pod_spec(workload)
        assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        for container in containers(pod):
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False
            assert security["readOnlyRootFilesystem"] is True
            assert security["capabilities"] == {"drop": ["ALL"]}


def test_no_service_links(objects):
    """The variables of a Service faststock-redis, such as FASTSTOCK_REDIS_PORT, would be taken for
    settings."""
    assert all(pod_spec(w)["enableServiceLinks"] is False for w in workloads(objects))


def test_containers_ask_for_resources(objects):
    for workload in workloads(objects):
        for container in containers(pod_spec(workload)):
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys(), container["name"]
            assert "memory" in container["resources"]["limits"], container["name"]


def test_selectors_find_their_pods(objects):
    pods = [
        w["spec"]["template"]["metadata"]["labels"]
        for w in workloads(objects)
        if w["kind"] != "Pod"
    ]
    selectors = [o["spec"]["selector"] for o in kinds(objects, "Service")]
    selectors += [
        o["spec"]["selector"]["matchLabels"] for o in kinds(objects, "PodDisruptionBudget")
    ]
    selectors += [o["spec"]["podSelector"]["matchLabels"] for o in kinds(objects, "NetworkPolicy")]
    for selector in selectors:
        found = [labels for labels in pods if selector.items() <= labels.items()]
        assert len(found) == 1, selector


def test_references_exist(objects):
    """Backends, config maps and generated secrets that objects name are in the render."""
    names = {(o["kind"], o["metadata"]["name"]) for o in objects}
    for workload in workloads(objects):
        for volume in pod_spec(workload).get("volumes", []):
            if "configMap" in volume:
                assert ("ConfigMap", volume["configMap"]["name"]) in names
    for ingress in kinds(objects, "Ingress"):
        for rule in ingress["spec"]["rules"]:
            for path in rule.get("http", {}).get("paths", []):
                assert ("Service", path["backend"]["service"]["name"]) in names
    for route in kinds(objects, "HTTPRoute"):
        for rule in route["spec"]["rules"]:
            assert all(("Service", ref["name"]) in names for ref in rule["backendRefs"])


@pytest.mark.parametrize("service", ["read-svc", "write-svc"])
class TestService:
    @pytest.fixture
    def deployment(self, objects, service):
        return one(objects, "Deployment", f"-{service}")

    def test_pgbouncer_is_a_native_sidecar(self, deployment, service):
        (sidecar,) = pod_spec(deployment)["initContainers"]
        assert sidecar["restartPolicy"] == "Always"
        assert sidecar["startupProbe"] and sidecar["livenessProbe"]
        assert "readinessProbe" not in sidecar  # the service tells whether the pod is ready

    def test_replicas_belong_to_the_autoscaler(self, objects, deployment, service):
        scaled = [o for o in objects if o["kind"] in ("HorizontalPodAutoscaler", "ScaledObject")]
        owned = any(
            o["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"] for o in scaled
        )
        assert ("replicas" in deployment["spec"]) != owned

    def test_grace_period_covers_preStop_and_drain(self, objects, deployment, service):
        pod = pod_spec(deployment)
        (app,) = pod["containers"]
        http = service_config(objects, service)["http"]
        needed = (
            app["lifecycle"]["preStop"]["sleep"]["seconds"]
            + (http["drain_ms"] + http["request_timeout_ms"]) / 1000
        )
        assert pod["terminationGracePeriodSeconds"] >= needed + 5

    def test_probes_ask_the_operations_port(self, deployment, service):
        (app,) = pod_spec(deployment)["containers"]
        paths = {
            probe: app[probe]["httpGet"]
            for probe in ("startupProbe", "livenessProbe", "readinessProbe")
        }
        assert {p: g["path"] for p, g in paths.items()} == {
            "startupProbe": "/startupz", "livenessProbe": "/livez",
            "readinessProbe": "/readyz"}
        assert all(g["port"] == "ops" for g in paths.values())

    def test_pool_sizes_agree(self, objects, deployment, service):
        ini = one(objects, "ConfigMap", f"-{service}")["data"]["pgbouncer.ini"]
        pool = int(re.search(r"^default_pool_size = (\d+)$", ini, re.M)[1])
        clients = int(re.search(r"^max_client_conn = (\d+)$", ini, re.M)[1])
        config = service_config(objects, service)
        assert config["database"]["pool_size"] == pool
        assert clients >= config["http"]["threads"]

    def test_no_password_in_the_clear(self, deployment, service):
        (app,) = pod_spec(deployment)["containers"]
        assert "secretKeyRef" in env(app)["PGPASSWORD"]
        assert "@127.0.0.1:6432/" in env(app)["DATABASE_URL"] and ":" not in env(app)[
            "DATABASE_URL"
        ].split("@")[0].removeprefix("postgresql:")

    def test_order_of_variables(self, deployment, service):
        """A variable may use $(OTHER) only after OTHER."""
        (app,) = pod_spec(deployment)["containers"]
        seen = set()
        for variable in app["env"]:
            assert set(re.findall(r"\$\((\w+)\)", variable.get("value", ""))) <= seen
            seen.add(variable["name"])


def service_config(objects, service):
    return yaml.safe_load(one(objects, "ConfigMap", f"-{service}")["data"]["service.yaml"])


def test_only_write_svc_has_the_direct_url():
    objects = render()
    (write,) = pod_spec(one(objects, "Deployment", "-write-svc"))["containers"]
    (read,) = pod_spec(one(objects, "Deployment", "-read-svc"))["containers"]
    assert env(write)["DIRECT_URL"].startswith(
        "postgresql://faststock@fs-faststock-postgres:5432/faststock"
    )
    assert "DIRECT_URL" not in env(read)


def test_config_change_rolls_the_pods_of_that_service_only():
    def checksums(*arguments):
        return {
            d["metadata"]["name"]: annotations["checksum/config"]
            for d in kinds(render(*arguments), "Deployment")
            if (annotations := d["spec"]["template"]["metadata"].get("annotations"))
        }

    before, after = checksums(), checksums(*to_set(readSvc__config__cache={"ttl_ms": 30000}))
    assert before["fs-faststock-read-svc"] != after["fs-faststock-read-svc"]
    assert before["fs-faststock-write-svc"] == after["fs-faststock-write-svc"]


def test_version_of_the_chart_is_not_in_the_pods():
    """Else each release of the chart would replace all pods, the database too."""
    for workload in workloads(render()):
        if workload["kind"] != "Pod":
            labels = workload["spec"]["template"]["metadata"]["labels"]
            assert not {"helm.sh/chart", "app.kubernetes.io/version"} & labels.keys()


@pytest.mark.parametrize(
    "release", ["y", "1234", "stock", "a-name-of-53-characters-which-is-the-most-helm-allows"]
)
def test_names_of_releases(release):
    """Also those that YAML would take for a number or a boolean, and the longest."""
    result = run_helm(
        "template",
        release,
        str(CHART),
        "--set",
        "fullnameOverride=stock" if release.isdigit() else "",
    )
    assert result.returncode == 0, result.stderr
    for o in filter(None, yaml.safe_load_all(result.stdout)):
        assert o["metadata"]["labels"]["app.kubernetes.io/instance"] == release
        assert len(o["metadata"]["name"]) <= 60  # Kubernetes puts some of them into labels


def test_large_numbers_of_a_values_file(tmp_path):
    """Helm reads them as floating-point numbers."""
    file = tmp_path / "values.yaml"
    file.write_text(
        "{pgbouncer: {settings: {max_packet_size: 2147483647}}, postgres: {bundled: {settings: "
        "{max_wal_size: 4000000, jit: false}}},"
        " readSvc: {config: {catalog: {products_max: 20000000}}}, routing: {rateLimit: {enabled: "
        "true, rps: 1000000}}}"
    )
    text = render_text("--values", str(file))
    for line in (
        "max_packet_size = 2147483647",
        '"max_wal_size=4000000"',
        '"jit=false"',
        "products_max: 20000000",
        'limit-rps: "1000000"',
    ):
        assert line in text
    file.write_text("env: {RATE: 1000000, SHARE: 0.5}")
    load = run_helm(
        "template",
        "load",
        str(LOAD_CHART),
        "--set",
        "scenario=x",
        "--set",
        r"scripts.x\.js=text",
        "--values",
        str(file),
    )
    assert (
        '{name: RATE, value: "1000000"}' in load.stdout
        and '{name: SHARE, value: "0.5"}' in load.stdout
    ), load.stderr


def test_hpa():
    hpa = one(render(), "HorizontalPodAutoscaler", "-read-svc")["spec"]
    (metric,) = hpa["metrics"]
    assert (
        metric["containerResource"]["container"] == "read-svc"
        and metric["containerResource"]["name"] == "cpu"
    )
    assert hpa["behavior"]["scaleUp"]["stabilizationWindowSeconds"] == 0
    assert {(p["type"], p["value"],
    p["periodSeconds"]) for p in hpa["behavior"]["scaleUp"]["policies"]} == {
        ("Percent", 100, 15), ("Pods", 4, 15)}
    assert hpa["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 60


def test_keda_in_place_of_the_hpa():
    trigger = {
        "type": "prometheus",
        "metadata": {"serverAddress": "http://prometheus", "query": "x", "threshold": "100"},
    }
    objects = render(
        *to_set(readSvc__autoscaling__mode="keda", readSvc__autoscaling__triggers=[trigger])
    )
    scaled = one(objects, "ScaledObject", "-read-svc")["spec"]
    assert [t["type"] for t in scaled["triggers"]] == ["cpu", "prometheus"]
    assert [o["metadata"]["name"] for o in kinds(objects, "HorizontalPodAutoscaler")] == [
        "fs-faststock-write-svc"
    ]


def test_mode_of_the_autoscaler_can_change():
    """An upgrade makes the new object before it removes the old one: KEDA's webhook must let it
    pass, and the names must differ."""
    hpa = one(render(), "HorizontalPodAutoscaler", "-read-svc")
    assert hpa["metadata"]["annotations"] == {"validations.keda.sh/hpa-ownership": "false"}
    scaled = one(render(*to_set(readSvc__autoscaling__mode="keda")), "ScaledObject", "-read-svc")[
        "spec"
    ]
    # KEDA calls its HPA keda-hpa-...
    assert scaled["advanced"]["horizontalPodAutoscalerConfig"].keys() == {"behavior"}


def test_custom_metrics_alone():
    metric = {
        "type": "Pods",
        "pods": {
            "metric": {"name": "rps"},
            "target": {"type": "AverageValue", "averageValue": "500"},
        },
    }
    objects = render(
        *to_set(
            readSvc__autoscaling__targetCPUUtilization=0, readSvc__autoscaling__metrics=[metric]
        )
    )
    assert one(objects, "HorizontalPodAutoscaler", "-read-svc")["spec"]["metrics"] == [metric]


def test_external_stores():
    objects = render(*RENDERS["external, ingress-nginx"])
    assert not kinds(objects, "StatefulSet") and not kinds(objects, "Secret")
    (read,) = pod_spec(one(objects, "Deployment", "-read-svc"))["containers"]
    assert env(read)["REDIS_URL"] == "redis://:$(REDIS_PASSWORD)@redis.example.internal:6379/0"
    assert (
        env(read)["REDIS_REPLICA_URL"]
        == "redis://:$(REDIS_PASSWORD)@redis-replica.example.internal:6379/0"
    )
    assert env(read)["DATABASE_REPLICA_URL"].endswith("/faststock_replica?sslmode=disable")
    ini = one(objects, "ConfigMap", "-read-svc")["data"]["pgbouncer.ini"]
    assert (
        "faststock_replica = host=postgres-replica.example.internal port=5432 dbname=faststock"
        in ini
    )
    assert (
        "server_tls_sslmode = verify-full" in ini
        and "server_tls_ca_file = /etc/faststock/postgres-ca/ca.crt" in ini
    )
    (write,) = pod_spec(one(objects, "Deployment", "-write-svc"))["containers"]
    assert env(write)["DIRECT_URL"].endswith(
        "?sslmode=verify-full&sslrootcert=/etc/faststock/postgres-ca/ca.crt"
    )


def test_statements_are_prepared_where_the_sidecar_keeps_them():
    objects = render()
    for component in ("read-svc", "write-svc"):
        assert service_config(objects, component)["database"]["prepared"] == "on"
        ini = one(objects, "ConfigMap", f"-{component}")["data"]["pgbouncer.ini"]
        assert int(re.search(r"^max_prepared_statements = (\d+)$", ini, re.M)[1]) >= 20


def test_redis_url_from_a_secret():
    objects = render(
        *to_set(redis__mode="external", redis__existingSecret="stores", redis__urlKey="redis-url")
    )
    (read,) = pod_spec(one(objects, "Deployment", "-read-svc"))["containers"]
    assert env(read)["REDIS_URL"] == {"secretKeyRef": {"name": "stores", "key": "redis-url"}}


def test_redis_with_tls_and_a_user():
    objects = render(*REDIS_TLS)
    for component in ("read-svc", "write-svc"):
        pod = pod_spec(one(objects, "Deployment", f"-{component}"))
        (service,) = pod["containers"]
        given = env(service)
        assert (
            given["REDIS_URL"]
            == "rediss://$(REDIS_USER):$(REDIS_PASSWORD)@redis.example.internal:6380/0"
        )
        assert given["REDIS_USER"] == {
            "secretKeyRef": {"name": "faststock-stores", "key": "redis-user"}
        }
        files = {
            name: value for name, value in given.items() if name.startswith("FASTSTOCK_REDIS_TLS_")
        }
        assert files == {
            "FASTSTOCK_REDIS_TLS_CA_FILE": "/etc/faststock/redis-ca/ca.crt",
            "FASTSTOCK_REDIS_TLS_SERVER_NAME": "redis.internal",
            "FASTSTOCK_REDIS_TLS_CERT_FILE": "/etc/faststock/redis-client/tls.crt",
            "FASTSTOCK_REDIS_TLS_KEY_FILE": "/etc/faststock/redis-client/tls.key"}
        mounts = {m["name"]: m["mountPath"] for m in service["volumeMounts"]}
        secrets = {
            v["name"]: v["secret"]["secretName"]
            for v in pod["volumes"]
            if v["name"].startswith("redis-")
        }
        assert secrets == {"redis-ca": "redis-ca", "redis-client": "redis-client"}
        assert all(mounts[name] == f"/etc/faststock/{name}" for name in secrets)
    (read,) = pod_spec(one(objects, "Deployment", "-read-svc"))["containers"]
    assert (
        env(read)["REDIS_REPLICA_URL"]
        == "rediss://$(REDIS_USER):$(REDIS_PASSWORD)@replica.example.internal:6380/0"
    )
    names = [e["name"] for e in read["env"]]  # Kubernetes puts in only what stands before
    assert max(names.index("REDIS_USER"), names.index("REDIS_PASSWORD")) < names.index("REDIS_URL")


def test_redis_behind_sentinels():
    objects = render(*REDIS_SENTINEL)
    for component in ("read-svc", "write-svc"):
        (service,) = pod_spec(one(objects, "Deployment", f"-{component}"))["containers"]
        given = env(service)
        assert (
            given["REDIS_URL"] == "redis+sentinel://$(REDIS_USER):$(REDIS_PASSWORD)@"
            "sentinel-0.example.internal:26379,[2001:db8::1]:26379/stock-cache/3"
        )
        for name in ("user", "password"):
            assert given[f"FASTSTOCK_REDIS_SENTINEL_{name.upper()}"] == {
                "secretKeyRef": {"name": "faststock-stores", "key": f"sentinel-{name}"}
            }
        policy = one(objects, "NetworkPolicy", f"-{component}")
        ports = [port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]]
        assert 26379 in ports and 6379 in ports
    (read,) = pod_spec(
        one(
            render(*REDIS_SENTINEL, "--set", "redis.external.tls.enabled=true"),
            "Deployment",
            "-read-svc",
        )
    )["containers"]
    assert env(read)["REDIS_URL"].startswith("rediss+sentinel://")


def test_without_sentinels_their_port_is_closed():
    policy = one(render(*REDIS_TLS), "NetworkPolicy", "-read-svc")
    assert 26379 not in [
        port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]
    ]


def test_without_redis():
    objects = render(*to_set(redis__mode="none"))
    (read,) = pod_spec(one(objects, "Deployment", "-read-svc"))["containers"]
    assert not any(name.startswith("REDIS") for name in env(read))


def test_a_first_install_has_plain_jobs_and_an_upgrade_hooks():
    for job in kinds(render(), "Job"):
        assert "annotations" not in job["metadata"] and job["metadata"]["name"].endswith("-1")
        # Helm 4 waits in vain for a Job that is gone.
        assert "ttlSecondsAfterFinished" not in job["spec"]
    account_is_there = to_set(serviceAccount__create=False, serviceAccount__name="stock")
    for job in kinds(render("--is-upgrade", *RENDERS["external, none"], *account_is_there), "Job"):
        assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-upgrade"
    for job in kinds(
        render("--is-upgrade", *RENDERS["external, none"]), "Job"
    ):  # the upgrade makes the account: a hook's pod would wait for it
        assert "annotations" not in job["metadata"]
    # Bundled, and (here) not there yet: a hook would wait for ever.
    for job in kinds(render("--is-upgrade"), "Job"):
        assert "annotations" not in job["metadata"]


def test_uninstall_takes_the_volume_unless_it_is_kept():
    policy = one(render(), "StatefulSet", "-postgres")["spec"][
        "persistentVolumeClaimRetentionPolicy"
    ]
    assert policy["whenDeleted"] == "Delete"
    objects = render(*to_set(postgres__bundled__keep=True))
    assert (
        one(objects, "StatefulSet", "-postgres")["spec"]["persistentVolumeClaimRetentionPolicy"][
            "whenDeleted"
        ]
        == "Retain"
    )
    assert (
        one(objects, "Secret", "-stores")["metadata"]["annotations"]["helm.sh/resource-policy"]
        == "keep"
    )


def test_database_without_a_volume():
    postgres = one(render(*to_set(postgres__bundled__storageSize="")), "StatefulSet", "-postgres")
    assert "volumeClaimTemplates" not in postgres["spec"]
    assert {"name": "data", "emptyDir": {}} in pod_spec(postgres)["volumes"]


def test_tokens_of_writes():
    objects = render(*to_set(writeSvc__tokensSecret="tokens"))
    assert (
        service_config(objects, "write-svc")["auth"]["tokens_file"] == "/etc/faststock/auth/tokens"
    )
    assert "auth" not in service_config(objects, "read-svc")


def test_full_image_references():
    text = render_text(
        "--set",
        "images.registry=ghcr.io/acme/,images.tag=1.2.3,images.pgbouncer=other/pgbouncer@sha256:00",
    )
    images = set(re.findall(r"image: (\S+)", text))
    assert images == {
        "ghcr.io/acme/faststock-read-svc:1.2.3", "ghcr.io/acme/faststock-write-svc:1.2.3",
        "ghcr.io/acme/faststock-migrate:1.2.3",
        "other/pgbouncer@sha256:00", "postgres:17-trixie", "valkey/valkey:8-trixie"}
