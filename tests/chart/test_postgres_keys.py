"""PostgreSQL's host, role, database or whole URI from keys of a secret: the render, and the
sidecar's entrypoint with a real PgBouncer."""

import contextlib
import os
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile
import time

import pytest

from rendering import ROOT, containers, env, one, pod_spec, render, to_set, workloads

ENTRYPOINT = ROOT / "k8s/images/pgbouncer-entrypoint"
EXTERNAL = dict(postgres__mode="external", postgres__existingSecret="db", seed__enabled=True)
CA = dict(postgres__external__caSecret="ca", postgres__external__sslmode="verify-full")
PARTS = EXTERNAL | dict(
    postgres__passwordKey="password",
    postgres__external__hostKey="host",
    postgres__external__portKey="port",
    postgres__external__userKey="username",
    postgres__external__databaseKey="dbname",
)
URI = EXTERNAL | dict(postgres__external__uriKey="uri")


def app(objects, component):
    pod = pod_spec(one(objects, "Deployment", f"-{component}"))
    return pod, pod["containers"][0]


def from_secret(key):
    return {"secretKeyRef": {"name": "db", "key": key}}


def sidecar(pod):
    (found,) = (c for c in pod["initContainers"] if c["name"] == "pgbouncer")
    return found


def before(container, first, then):
    """Kubernetes puts only variables into a value that stand before it."""
    names = [e["name"] for e in container["env"]]
    return names.index(first) < names.index(then)


@pytest.mark.parametrize("component", ["read-svc", "write-svc"])
def test_parts_of_a_secret(component):
    pod, service = app(render(*to_set(**PARTS)), component)
    told, url = env(sidecar(pod)), "PGBOUNCER_SERVER"
    assert told[url] == (
        "postgresql://$(POSTGRES_USER)@$(POSTGRES_HOST):$(POSTGRES_PORT)/$(POSTGRES_DATABASE)"
        "?sslmode=require"
    )
    for part, key in zip(
        ["USER", "HOST", "PORT", "DATABASE"], ["username", "host", "port", "dbname"]
    ):
        assert told[f"POSTGRES_{part}"] == from_secret(key)
        assert before(sidecar(pod), f"POSTGRES_{part}", url)
    assert told["PGBOUNCER_PASSWORD"] == from_secret("password") and "PGBOUNCER_USER" not in told
    assert env(service)["DATABASE_URL"] == "postgresql://127.0.0.1:6432/faststock?sslmode=disable"
    assert env(service)["PGPASSWORD"] == from_secret("password")
    assert env(service).get("DIRECT_URL") == (told[url] if component == "write-svc" else None)
    folder = env(service)["PGSERVICEFILE"].rpartition("/")[0]
    for container in (service, sidecar(pod)):
        (mount,) = (m for m in container["volumeMounts"] if m["name"] == "pgbouncer")
        assert mount["mountPath"] == folder and mount.get("readOnly", False) == (
            container is service
        )


def test_a_part_of_a_secret_goes_with_values():
    one_key = EXTERNAL | dict(postgres__external__host="h", postgres__external__userKey="u")
    pod, _ = app(render(*to_set(**one_key)), "read-svc")
    url = "postgresql://$(POSTGRES_USER)@h:5432/faststock?sslmode=require"
    assert env(sidecar(pod))["PGBOUNCER_SERVER"] == url


def test_all_that_ask_the_server_get_the_uri():
    objects = render(*to_set(**URI, **CA, postgres__replica__host="r"))
    asking = 0
    for workload in workloads(objects):
        for container in containers(pod_spec(workload)):
            told = env(container)
            assert "PGPASSWORD" not in told and "PGBOUNCER_PASSWORD" not in told
            for name in {"DIRECT_URL", "PGBOUNCER_SERVER"} & set(told):
                asking += 1
                assert told[name] == from_secret("uri")
                assert told["PGSSLMODE"] == "verify-full"
                assert told["PGSSLROOTCERT"] == "/etc/faststock/postgres-ca/ca.crt"
    assert asking == 2 + 1 + 3 + 1  # sidecars, write-svc, migrate and seed, the test
    pod, service = app(objects, "read-svc")
    assert env(sidecar(pod))["PGBOUNCER_REPLICA"] == "host=r port=5432"
    assert env(service)["DATABASE_REPLICA_URL"].endswith(":6432/faststock_replica?sslmode=disable")
    ini = one(objects, "ConfigMap", "-read-svc")["data"]["pgbouncer.ini"]
    assert "%include /run/pgbouncer/databases.ini" in ini and "stats_users" not in ini


def test_names_and_addresses_of_all_kinds():
    objects = render(
        *to_set(
            **EXTERNAL | dict(
                postgres__user="Fast.Stock-1", postgres__database="fast-stock.A",
                postgres__external__host="2001:db8::1", postgres__replica__host="fe80::2",
                redis__mode="external", redis__external__host="2001:db8::3",
                redis__replica__host="::1",
            )
        )
    )  # fmt: skip
    pod, service = app(objects, "write-svc")
    assert env(service)["DIRECT_URL"] == (
        "postgresql://Fast.Stock-1@[2001:db8::1]:5432/fast-stock.A?sslmode=require"
    )
    assert env(sidecar(pod))["PGBOUNCER_USER"] == "Fast.Stock-1"
    assert env(service)["REDIS_URL"] == "redis://:$(REDIS_PASSWORD)@[2001:db8::3]:6379/0" or env(
        service
    )["REDIS_URL"] == "redis://[2001:db8::3]:6379/0"
    ini = one(objects, "ConfigMap", "-read-svc")["data"]["pgbouncer.ini"]
    assert "faststock = host=2001:db8::1 port=5432 dbname=fast-stock.A\n" in ini
    assert "faststock_replica = host=fe80::2 port=5432 dbname=fast-stock.A\n" in ini
    assert env(app(objects, "read-svc")[1])["REDIS_REPLICA_URL"].endswith("[::1]:6379/0")


# -- the entrypoint


@pytest.fixture
def sidecar_of():
    """Runs the entrypoint with the render's pgbouncer.ini; gives a way to ask the PgBouncer."""
    if not shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin"):
        pytest.skip("pgbouncer is not on the PATH")
    plain = "setpriv --reuid=65534 --regid=65534 --clear-groups".split() if not os.getuid() else []
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(dir="/tmp")))
        folder.chmod(0o777)

        def run(user, *arguments, **environment):
            ini = one(render(*arguments), "ConfigMap", "-read-svc")["data"]["pgbouncer.ini"]
            with socket.create_server(("127.0.0.1", 0)) as free:
                port = free.getsockname()[1]
            ini = ini.replace("/run/pgbouncer", str(folder)).replace("= 6432", f"= {port}")
            ini = re.sub("^max_prepared.*\n", "", ini, flags=re.M)  # not known to 1.18
            (folder / "pgbouncer.ini").write_text(f"{ini}\nstats_users = {user}\n")
            command = [*plain, str(ENTRYPOINT), str(folder / "pgbouncer.ini")]
            environment = {
                "PATH": f"{os.environ['PATH']}:/usr/sbin",
                "PGBOUNCER_AUTH_FILE": str(folder / "userlist.txt"),
            } | environment
            log = (folder / "log").open("w+")
            server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
            stack.callback(lambda: (server.kill(), server.wait(20)))
            until = time.monotonic() + 20
            while time.monotonic() < until and server.poll() is None:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                time.sleep(0.05)
            else:
                raise RuntimeError((folder / "log").read_text())

            def ask(**password):
                asked = subprocess.run(
                    [
                        "psql", "-wXAt", "-c", "SHOW DATABASES",
                        f"postgresql://127.0.0.1:{port}/pgbouncer?sslmode=disable",
                    ],
                    capture_output=True, text=True,
                    env={"PATH": os.environ["PATH"], "PGSERVICE": "faststock",
                         "PGSERVICEFILE": str(folder / "client.conf")} | password,
                )  # fmt: skip
                assert asked.returncode == 0, asked.stderr
                rows = (row.split("|") for row in asked.stdout.splitlines())
                return {row[0]: tuple(row[1:4]) for row in rows}

            return ask

        yield run


@pytest.mark.parametrize(
    "url, user, leads_to",
    [
        ("postgresql://fs:p%20%3A%2F%40q@db.example:6000/stock?sslmode=require", "fs",
         ("db.example", "6000", "stock")),
        ("postgres://Fast.Stock:it's@[2001:db8::1]/fast-stock", "Fast.Stock",
         ("2001:db8::1", "5432", "fast-stock")),
        ("postgresql://a%22b:%25%5Cn\"@10.0.0.1/x%27y", 'a"b', ("10.0.0.1", "5432", "x'y")),
    ],
)  # fmt: skip
def test_a_pgbouncer_of_a_uri(sidecar_of, url, user, leads_to):
    quoted = user.replace('"', '""')
    replica = ("r", "7000", leads_to[2])
    arguments = to_set(**URI, postgres__replica__host="r", postgres__replica__port=7000)
    ask = sidecar_of(quoted, *arguments, PGBOUNCER_SERVER=url, PGBOUNCER_REPLICA="host=r port=7000")
    if '"' in user:  # the list of stats_users cannot name it
        with pytest.raises(AssertionError, match="not allowed"):
            ask()
        return
    found = ask()
    assert found["faststock"] == leads_to and found["faststock_replica"] == replica


def test_a_pgbouncer_of_parts(sidecar_of):
    url = "postgresql://u@h:5433/d?sslmode=require"
    ask = sidecar_of("u", *to_set(**PARTS), PGBOUNCER_SERVER=url, PGBOUNCER_PASSWORD=" p")
    assert ask(PGPASSWORD=" p")["faststock"] == ("h", "5433", "d")
    with pytest.raises(AssertionError, match="authentication failed"):
        ask(PGPASSWORD="p")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:secret@a,b/d", "postgresql://u:secret@h", "mysql://u:secret@h/d",
        "postgresql://u:secret@h:/d", "postgresql://:secret@h/d", "host=h password=secret",
        "postgresql://u:se%0Acret@h/d",
    ],
)  # fmt: skip
def test_a_uri_that_cannot_be_read_is_refused_and_not_shown(sidecar_of, url):
    with pytest.raises(RuntimeError, match="the URL of PostgreSQL") as said:
        sidecar_of("u", *to_set(**URI), PGBOUNCER_SERVER=url)
    assert not re.search("se.*cret", str(said.value))
