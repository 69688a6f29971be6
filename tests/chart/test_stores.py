"""The bundled stores: their commands are run here, with the programs of this machine."""

import contextlib
import hashlib
import os
import re
import shutil
import socket
import subprocess
import time

import pytest
import redis

from rendering import CHART, ROOT, env, one, pod_spec, render, to_set

# -- PostgreSQL: data of another major version


def data_version(tmp_path, made_by, server):
    """Runs the init container's script on a volume; gives its exit status, its output, and its
    termination message."""
    data, message = tmp_path / "pgdata", tmp_path / "message"
    data.mkdir()
    if made_by:
        (data / "PG_VERSION").write_text(f"{made_by}\n")
    program = tmp_path / "postgres"
    program.write_text(
        f"#!/bin/sh\necho 'postgres (PostgreSQL) {server} (Debian {server}-1.pgdg13+1)'\n"
    )
    program.chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "PGDATA": str(data),
        "TERMINATION_LOG": str(message),
    }
    script = (CHART / "files/postgres-data-version").read_text()
    result = subprocess.run(["sh", "-c", script], capture_output=True, text=True, env=environment)
    return result.returncode, result.stderr, message.read_text() if message.exists() else ""


@pytest.mark.parametrize("made_by, server", [(None, "17.6"), ("17", "17.6"), ("15", "15.14")])
def test_data_of_the_same_version_are_taken(tmp_path, made_by, server):
    assert data_version(tmp_path, made_by, server) == (0, "", "")


@pytest.mark.parametrize("made_by, server", [("15", "17.6"), ("17", "15.14"), ("17", "18beta1")])
def test_data_of_another_version_are_refused(tmp_path, made_by, server):
    status, said, message = data_version(tmp_path, made_by, server)
    assert status == 1 and said == message
    assert f"data of PostgreSQL {made_by}" in said and f"images.postgres=postgres:{made_by}" in said
    assert (
        '"Another version of PostgreSQL"' in said
        and "## Another version of PostgreSQL" in (CHART / "README.md").read_text()
    )


def test_the_version_is_judged_before_the_server_starts():
    pod = pod_spec(one(render(), "StatefulSet", "-postgres"))
    (judge,), (server,) = pod["initContainers"], pod["containers"]
    assert judge["command"] == ["sh", "-c", (CHART / "files/postgres-data-version").read_text()]
    assert judge["image"] == server["image"] and env(judge)["PGDATA"] == env(server)["PGDATA"]
    (volume,) = judge["volumeMounts"]
    assert volume["readOnly"] and volume["mountPath"] in {
        m["mountPath"] for m in server["volumeMounts"]
    }


# -- Redis: the services' user


@pytest.fixture
def bundled_redis(tmp_path):
    """Runs a server with the arguments of the chart and a password; gives a client for a user."""
    if not (shutil.which("valkey-server") or shutil.which("redis-server")):
        pytest.skip("neither valkey-server nor redis-server is on the PATH")
    with contextlib.ExitStack() as stack:

        def start(*arguments, password="x" * 2048):
            (container,) = pod_spec(one(render(*arguments), "Deployment", "-redis"))["containers"]
            with socket.create_server(("127.0.0.1", 0)) as free:
                port = free.getsockname()[1]
            words = [word.replace("$(REDISCLI_AUTH)", password) for word in container["args"]]
            command = [*container["command"], *words, "--port", str(port), "--bind", "127.0.0.1"]
            server = subprocess.Popen(
                command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
            )
            stack.callback(lambda: (server.terminate(), server.wait(20)))
            until = time.monotonic() + 20
            while time.monotonic() < until and server.poll() is None:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                time.sleep(0.05)
            return lambda user: redis.Redis(port=port, username=user, password=password)

        yield start


@pytest.mark.parametrize("user", ["faststock", "default"])
def test_the_services_may_do_what_they_need_and_no_more(bundled_redis, user):
    client = bundled_redis()(user)
    assert client.info("replication")["role"] == "master"
    assert client.set("fs:1:p:7", "state", px=60000) and client.mget("fs:1:p:7") == [b"state"]
    script = (
        "redis.call('SET', KEYS[1], ARGV[1], 'PX', 1000) redis.call('DEL', KEYS[1]) "
        "return redis.call('GETRANGE', KEYS[1], 0, 19)"
    )
    assert client.eval(script, 1, "fs:1:g:7", "1") == b""
    assert client.evalsha(hashlib.sha1(script.encode()).hexdigest(), 1, "fs:1:g:7", "1") == b""
    for words in (
        ["FLUSHALL"],
        ["CONFIG", "GET", "*"],
        ["KEYS", "*"],
        ["SCRIPT", "FLUSH"],
        ["ACL", "LIST"],
        ["GET", "other"],
    ):
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.execute_command(*words)


def test_the_rights_are_those_that_are_documented():
    (container,) = pod_spec(one(render(), "Deployment", "-redis"))["containers"]
    words = container["args"]
    begin = words.index("faststock")
    rights = words[begin + 1 : words.index("--user", begin)]
    text = (ROOT / "docs/operations.md").read_text()
    (documented,) = re.findall(r"ACL SETUSER faststock on >PASSWORD (.*)", text)
    assert rights == ["reset", "on", ">$(REDISCLI_AUTH)", "~fs:*", "-@all", *documented.split()[1:]]
    assert documented.split()[0] == "~fs:*"


def test_a_former_chart_and_the_probe_are_served_as_well(bundled_redis):
    client = bundled_redis()("default")
    assert client.ping() and client.script_load("return 1")
    with pytest.raises(redis.exceptions.NoPermissionError):
        bundled_redis()("faststock").ping()


def test_the_keys_are_those_of_the_services_prefix(bundled_redis):
    prefixes = to_set(
        readSvc__config__redis__key_prefix="shop", writeSvc__config__redis__key_prefix="shop"
    )
    client = bundled_redis(*prefixes)("faststock")
    assert client.set("shop:1:p:7", "state")
    with pytest.raises(redis.exceptions.NoPermissionError):
        client.set("fs:1:p:7", "state")


def test_nobody_comes_in_without_the_password(bundled_redis):
    client = bundled_redis()("default")
    client.connection_pool.connection_kwargs["password"] = "wrong"
    with pytest.raises(redis.exceptions.RedisError, match="invalid username-password"):
        client.ping()


def test_the_services_log_in_as_their_user():
    (read,) = pod_spec(one(render(), "Deployment", "-read-svc"))["containers"]
    assert env(read)["REDIS_URL"] == "redis://faststock:$(REDIS_PASSWORD)@fs-faststock-redis:6379/0"
