"""The chart refuses bad values, and its message says how to mend them."""

import json
import subprocess

import pytest
import yaml

from rendering import CHART, LOAD_CHART, ROOT, refusal, render, run_helm, to_set


def test_connection_budget():
    message = refusal(*to_set(readSvc__autoscaling__maxReplicas=60))
    assert "355" in message and "200" in message  # the sum and the limit
    assert "(60 replicas + 15 surge) x poolSize 4 = 300" in message
    assert "(4 replicas + 1 surge) x poolSize 8 = 40" in message
    assert "Raise postgres.maxConnections by 155" in message


def test_connection_budget_to_the_last_connection():
    # (10 + 3) x 4 + (4 + 1) x 8 + 5 + 10
    render(*to_set(postgres__maxConnections=107))
    assert "want 107 connections, PostgreSQL allows 106" in refusal(
        *to_set(postgres__maxConnections=106)
    )


def test_connection_budget_without_autoscaler_counts_replicas():
    fixed = to_set(readSvc__autoscaling__mode="none", readSvc__replicas=100)
    assert "(100 replicas + 25 surge) x poolSize 4 = 500" in refusal(*fixed)


def test_connection_budget_of_the_replica():
    assert "postgres.replica.maxConnections" in refusal(
        *to_set(postgres__replica__host="r", postgres__replica__maxConnections=50)
    )


def test_threads_and_clients_of_pgbouncer():
    message = refusal(*to_set(readSvc__config__http__threads=700))
    assert "702" in message and "Raise pgbouncer.maxClientConn by 102" in message


def test_grace_period():
    message = refusal(*to_set(shutdown__terminationGracePeriodSeconds=10))
    assert (
        "needs 18 s" in message
        and "preStop 6 s + drain 5000 ms + request timeout 2000 ms" in message
    )


def test_grace_period_without_a_drain():
    no_drain = to_set(
        readSvc__config__http__drain_ms=0,
        writeSvc__config__http__drain_ms=0,
        shutdown__preStopSeconds=2,
    )
    render(*no_drain, *to_set(shutdown__terminationGracePeriodSeconds=9))
    assert "needs 9 s" in refusal(*no_drain, *to_set(shutdown__terminationGracePeriodSeconds=8))


EXTERNAL = {"postgres__mode": "external", "postgres__existingSecret": "s"}
SENTINELS = {
    "redis__mode": "external",
    "redis__external__sentinel__hosts": ["a", "b"],
    "redis__external__sentinel__master": "m",
}


@pytest.mark.parametrize(
    "values, says",
    [
        (dict(postgres__mode="external"), "set postgres.external.host"),
        (dict(postgres__mode="external", postgres__external__host="h"),
         "set postgres.existingSecret"),
        (dict(postgres__mode="external", postgres__external__host="h",
         postgres__existingSecret="s", postgres__external__sslmode="verify-full"),
         "set postgres.external.caSecret"),
        (EXTERNAL | dict(postgres__external__host="pg1,pg2"), "could not tell the primary"),
        (EXTERNAL | dict(postgres__external__host="h:5432"), "the port has a value of its own"),
        (EXTERNAL | dict(postgres__external__host="[::1]"), "without brackets"),
        (EXTERNAL | dict(postgres__external__host="[::1]:5432"), "the port has a value of its own"),
        (EXTERNAL | dict(postgres__external__host="u@h"), "it may be a host name"),
        (EXTERNAL | dict(postgres__external__host="/run"), "it may be a host name"),
        (EXTERNAL | dict(postgres__external__host="postgresql://u:p@h/d"), "set the host alone"),
        (dict(postgres__replica__host="a,b"), "one name that leads to the replicas"),
        (dict(redis__mode="external", redis__external__host="rediss://h"), "set the host alone"),
        (dict(redis__mode="external", redis__external__host="a,b"), "redis.external.sentinel"),
        (dict(redis__replica__host="a b"), "it may be a host name"),
        (EXTERNAL | dict(postgres__external__host="h", postgres__external__hostKey="h"),
         "postgres.external.host and postgres.external.hostKey both tell the host"),
        (EXTERNAL | dict(postgres__external__host="h", postgres__external__uriKey="u"),
         "postgres.external.host and postgres.external.uriKey both tell the host"),
        (EXTERNAL | dict(postgres__external__userKey="h", postgres__external__uriKey="u"),
         "leave postgres.external.userKey empty"),
        (dict(postgres__external__userKey="h"), "for postgres.mode external, not bundled"),
        (dict(redis__mode="external"), "set redis.external.host"),
        (dict(redis__mode="external", redis__urlKey="url"), "set redis.existingSecret"),
        (dict(redis__external__userKey="user", redis__mode="external", redis__external__host="h"),
         "set redis.existingSecret"),
        (dict(redis__external__tls__caSecret="ca", redis__mode="external",
         redis__external__host="h"), "set redis.external.tls.enabled"),
        (dict(redis__external__tls__enabled=True), "redis.mode is bundled: set it to external"),
        (dict(redis__external__sentinel__master="m"), "redis.mode is bundled: set it to external"),
        (SENTINELS | dict(redis__external__sentinel__master=""), "the name of the Redis"),
        (dict(redis__mode="external", redis__external__host="h",
         redis__external__sentinel__master="m"), "set redis.external.sentinel.hosts"),
        (dict(**SENTINELS, redis__external__host="h"), "leave one of them empty"),
        (SENTINELS | dict(redis__external__sentinel__hosts=["a:26379"]), "the port has a value"),
        (SENTINELS | dict(redis__external__sentinel__hosts=["a,b"]), "each as one of the list"),
        (dict(**SENTINELS, redis__existingSecret="s", redis__urlKey="url"), "holds the Sentinels"),
        (dict(**SENTINELS, redis__existingSecret="s", redis__external__sentinel__userKey="u"),
         "set redis.external.sentinel.passwordKey"),
        (dict(**SENTINELS, redis__external__sentinel__passwordKey="p"), "set redis.existingSecret"),
        (dict(redis__mode="external", redis__external__host="h", redis__existingSecret="s",
         redis__external__sentinel__passwordKey="p"), "set redis.external.sentinel.hosts"),
        (dict(routing__mode="f5"), "set routing.hosts"),
        (dict(routing__mode="gateway", routing__rateLimit__enabled=True),
         "no limit by client address"),
        (dict(routing__mode="none", routing__gateway__envoyPolicy__enabled=True),
         "for routing.mode gateway, not none"),
        (dict(routing__mode="gateway", routing__gateway__envoyPolicy__enabled=True,
              writeSvc__config__http__keep_alive_timeout_ms=999), "1000 or more"),
        (dict(readSvc__autoscaling__minReplicas=20), "minReplicas 20 is above maxReplicas 10"),
        (dict(readSvc__autoscaling__targetCPUUtilization=0), "needs metrics"),
        (dict(readSvc__resources__requests={"cpu": None}), "set readSvc.resources.requests.cpu"),
        (dict(readSvc__resources=None), "set readSvc.resources.requests.cpu"),
        (dict(pgbouncer__settings={"default_pool_size": 50}), "set readSvc.poolSize"),
        (dict(pgbouncer__settings={"reserve_pool_size": 5}), "connection budget"),
        (dict(pgbouncer__settings={"max_client_conn": 50}), "set pgbouncer.maxClientConn"),
        (dict(postgres__bundled__settings={"max_connections": 50}), "set postgres.maxConnections"),
        (dict(readSvc__rollout={"maxSurge": 0, "maxUnavailable": "0%"}),
         "readSvc.rollout: maxSurge and maxUnavailable are both 0"),
    ],
)
def test_values_that_do_not_fit(values, says):
    assert says in refusal(*to_set(**values))


@pytest.mark.parametrize(
    "values, key",
    [
        (dict(replicas=3), "replicas"),
        (dict(readSvc__replica=3), "replica"),
        (dict(readSvc__config__databse={}), "databse"),
        (dict(readSvc__resources__request={}), "request"),
        (dict(routing__mode="traefik"), "mode"),
        (dict(postgres__database="fast stock"), "database"),
        (dict(postgres__user="a@b"), "user"),
        (dict(routing__hosts=["*.example.com"]), "hosts"),
        (dict(routing__hosts=["a", "a"]), "hosts"),
        (dict(routing__host="a"), "host"),
        (dict(readSvc__poolSize="4"), "poolSize"),
        (dict(readSvc__poolSize=257), "poolSize"),
        (dict(readSvc__config__http__thread=64), "thread"),
        (dict(readSvc__config__database__pool_size=16), "pool_size"),
        (dict(readSvc__config__log__level="loud"), "level"),
        (dict(writeSvc__config__catalog__refresh_ms=100), "catalog"),
        (dict(writeSvc__config__http__drain_ms="5s"), "drain_ms"),
        (dict(images__tag="a b"), "tag"),
        (dict(redis__external__sentinel__hosts=[""]), "sentinel"),
        (dict(redis__external__sentinel__master="my master"), "master"),
        (dict(nameOverride="a.b"), "nameOverride"),
        (dict(fullnameOverride="1a"), "fullnameOverride"),
    ],
)
def test_schema_refuses(values, key):
    message = refusal(*to_set(**values))
    assert "schema" in message and key in message


@pytest.mark.parametrize("release", ["1st", "my.stock"])
def test_release_names_that_services_cannot_have(release):
    result = run_helm("template", release, str(CHART))
    assert result.returncode != 0 and "names of Services begin with a letter" in result.stderr
    assert (
        run_helm("template", release, str(CHART), "--set", "fullnameOverride=stock").returncode == 0
    )


def test_readme_shows_the_values():
    result = subprocess.run(
        [ROOT / "scripts/chart-docs", "--check"], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr


def test_schema_describes_exactly_the_values():
    """Each key of values.yaml is in the schema, and each key that the schema fixes is in
    values.yaml."""
    optional = {"global", "readSvc.pdb.minAvailable", "writeSvc.pdb.minAvailable"}
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())
    free = {"config", "resources", "behavior", "topologySpread", "rollout"}

    def compare(value, node, path):
        properties = node.get("properties")
        if not isinstance(value, dict) or not properties or path.split(".")[-1] in free:
            return
        missing = {
            f"{path}.{key}".lstrip(".") for key in value.keys() ^ properties.keys()
        } - optional
        assert not missing, f"only in values.yaml or only in the schema: {missing}"
        for key in value.keys() & properties.keys():
            compare(value[key], properties[key], f"{path}.{key}".lstrip("."))

    compare(values, schema, "")


def test_load_chart_names_the_missing_script():
    result = run_helm(
        "template",
        "load",
        str(LOAD_CHART),
        "--set",
        "scenario=stock",
        "--set",
        r"scripts.x\.js=text",
    )
    assert result.returncode != 0 and "scripts has no stock.js" in result.stderr
