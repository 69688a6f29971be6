"""Redis behind Sentinels: the services follow the master by themselves, and say what they tried.

The Sentinels that fail over are real. Those of the other tests say what the test wants, because
real ones cannot be made to be wrong."""

import ssl

import pytest

from support.load import Load, failures, outcomes
from support.metrics_text import Change
from support.redis_server import PASSWORD, documented_acl, redis_server
from support.sentinels import MASTER, ToldSentinel, sentinel_url, sentinels
from support.service_process import ServiceProcess, free_port, run_service
from support.stack import dependency_states
from support.timing import eventually, scaled
from test_redis_tls import HAS_TLS, Authority, needs_tls

SECRET = "sentinels-secret"
ROUND_S = 0.1  # freshness.follow_ms


def settings_for(stack, url, **redis):
    return {
        "database": {"url": stack.env["DATABASE_URL"]},
        "redis": {"url": url, "connect_timeout_ms": scaled(250), **redis},
    }


def reasons(service):
    return [
        line["error"]
        for line in service.log_lines()
        if line["msg"] in ("store is away", "store is still away") and line["store"] == "redis"
    ]


def masters(service):
    """The ports of the masters that were found, in order."""
    return [line["port"] for line in service.log_lines() if line["msg"] == "redis master found"]


def is_ready(service):
    reply = service.ops.get("/readyz")
    return reply.status == 200 and set(dependency_states(reply).values()) == {"up"}


def is_attached(service):
    return service.ops.get("/metrics").body.decode().count("faststock_stream_attached 1\n") == 1


@pytest.fixture
def own_server():
    with redis_server() as server:
        server.set_user(*documented_acl())
        yield server


# -- real Sentinels


@pytest.mark.parametrize("how", ["killed", "frozen", "by hand"])
def test_the_services_follow_a_failover(stack, database, tmp_path, how):
    """0 acknowledged changes are lost, none fails, and all is as before with the new master.

    No answer lacks an acknowledged change (the load asks with no-cache) when the old master is
    gone. When it lives on, a change may be published to one while a reader asks the other; then the
    reader's next round of the ledger ends it, which is awaited for five rounds here."""
    with sentinels(password=SECRET) as members:
        settings = settings_for(stack, members.url(), sentinel_password=SECRET)
        with (
            ServiceProcess("write-svc", tmp_path, settings) as writer,
            ServiceProcess("read-svc", tmp_path, settings) as reader,
        ):
            old = members.master()
            with Load(
                reader.client.base_url,
                database,
                write_url=writer.client.base_url,
                bound=scaled(5 * ROUND_S) if how == "by hand" else 0,
            ) as load:
                load.run_for(1)
                with load.records_of_block() as during:
                    if how == "killed":
                        old.process.kill()
                    elif how == "frozen":
                        old.process.send_signal(19)
                    else:
                        members.members[0].client.execute_command("SENTINEL FAILOVER", MASTER)
                    eventually(
                        lambda: members.master() is not old, "a replica is promoted", timeout=40
                    )
                    new = members.master()
                    for service in (writer, reader):
                        eventually(
                            lambda: is_ready(service) and masters(service)[-1] == new.port,
                            f"{service.service} has found the new master",
                            timeout=20,
                        )
                    eventually(lambda: is_attached(reader), "the stream is followed", timeout=20)
                with Change(reader.ops) as change:
                    load.run_for(1)
            load.assert_right()
            assert failures(during) == [], outcomes(during)
            assert change("faststock_cache_requests_total", tier="redis", result="hit") > 0
            assert new.admin.keys("fs:*:changes"), "publications are streamed there"
            if how == "frozen":  # it is made a replica once it goes on
                old.process.send_signal(18)
                eventually(
                    lambda: old.admin.info("replication")["role"] == "slave",
                    "the old master follows",
                    timeout=40,
                )
                assert is_ready(writer) and is_ready(reader)
            assert SECRET not in reader.log.read_text() + writer.log.read_text()


def test_a_sentinel_wants_its_own_password(stack, tmp_path):
    with sentinels(password=SECRET) as members:
        settings = settings_for(stack, members.url(), sentinel_password="wrong")
        with ServiceProcess("read-svc", tmp_path, settings, wait="alive") as service:
            eventually(lambda: reasons(service), "it is told")
            assert "WRONGPASS" in reasons(service)[-1]
            assert "redis.sentinel_password is another" in reasons(service)[-1]
            assert PASSWORD not in service.log.read_text()
        settings = settings_for(stack, members.url())
        with ServiceProcess("read-svc", tmp_path, settings, wait="alive") as service:
            eventually(lambda: reasons(service), "it is told")
            assert "NOAUTH" in reasons(service)[-1]
            assert "redis.sentinel_password is empty" in reasons(service)[-1]


# -- Sentinels that are away or wrong


def test_the_next_sentinel_is_asked(stack, own_server, tmp_path):
    with ToldSentinel(own_server.port) as sentinel:
        url = sentinel_url(free_port(), sentinel.port)
        with ServiceProcess("read-svc", tmp_path, settings_for(stack, url)) as service:
            eventually(lambda: masters(service) == [own_server.port], "the master is found")


def test_all_that_was_tried_is_told(stack, own_server, tmp_path):
    away, away_master = free_port(), free_port()
    with (
        redis_server("--replicaof", "127.0.0.1", str(own_server.port)) as replica,
        ToldSentinel(None) as ignorant,
        ToldSentinel(away_master) as late,
        ToldSentinel(replica.port) as wrong,
        ToldSentinel(replica.port) as wrong_too,
    ):
        replica.set_user(*documented_acl())
        ports = (away, ignorant.port, late.port, wrong.port, wrong_too.port)
        settings = settings_for(stack, sentinel_url(*ports))
        with ServiceProcess("read-svc", tmp_path, settings, wait="alive") as service:
            eventually(lambda: reasons(service), "it is told")
            (reason,) = reasons(service)[-1:]
            for part in (
                f"Sentinel 127.0.0.1 port {away}: Connection refused",
                f"Sentinel 127.0.0.1 port {ignorant.port}: it knows no master '{MASTER}'",
                f"master 127.0.0.1 port {away_master}: Connection refused",
                f"master 127.0.0.1 port {replica.port}: it is a replica, which takes no writes",
                f"Sentinel 127.0.0.1 port {wrong_too.port}: it names the same master",
            ):
                assert part in reason, reason
            assert service.ops.get("/readyz").json()["dependencies"]["redis"]["note"]
            assert service.client.get("/api/products?limit=1").status == 200
            assert PASSWORD not in service.log.read_text()
            ignorant.names = own_server.port
            eventually(lambda: is_ready(service), "it is found")


def test_a_master_that_was_replaced_is_left(stack, own_server, tmp_path):
    """Even when it can be reached, and does not know it."""
    with redis_server() as other:
        other.set_user(*documented_acl())
        with ToldSentinel(own_server.port) as sentinel:
            settings = settings_for(stack, sentinel_url(sentinel.port))
            with (
                ServiceProcess("write-svc", tmp_path, settings) as writer,
                ServiceProcess("read-svc", tmp_path, settings) as reader,
            ):
                eventually(lambda: is_attached(reader), "the stream is followed")
                sentinel.names = other.port
                for service in (writer, reader):
                    eventually(
                        lambda: masters(service) == [own_server.port, other.port]
                        and is_ready(service),
                        "the new master is used",
                    )
                    assert any("name another master" in reason for reason in reasons(service))
                eventually(
                    lambda: clients_of(own_server) == 0, "no connection to the old one is left"
                )
                assert clients_of(other) > 0


def clients_of(server):
    return sum(client["user"] == "faststock" for client in server.admin.client_list())


def test_without_sentinels_the_connections_stay(stack, own_server, tmp_path):
    with ToldSentinel(own_server.port) as sentinel:
        settings = settings_for(stack, sentinel_url(sentinel.port))
        with ServiceProcess("read-svc", tmp_path, settings) as service:
            sentinel.names = None
            asked = sentinel.asked
            eventually(lambda: sentinel.asked >= asked + 3, "it is asked again")
            assert is_ready(service) and reasons(service) == []


# -- settings


def check_config(**env):
    return run_service(
        "read-svc", "--check-config", env={"DATABASE_URL": "postgres://u@db/d", **env}
    )


def test_a_replica_behind_sentinels_is_refused():
    done = check_config(REDIS_URL="redis://a", REDIS_REPLICA_URL="redis+sentinel://:s3cret@a/m")
    assert done.returncode == 2 and "redis.replica_url" in done.stderr
    assert "master only" in done.stderr and "s3cret" not in done.stderr


@pytest.mark.skipif(HAS_TLS, reason="this hiredis has TLS")
def test_without_tls_the_refusal_says_why():
    done = check_config(REDIS_URL="rediss+sentinel://:s3cret@a/m")
    assert done.returncode == 2 and "needs hiredis 1.0" in done.stderr
    assert "s3cret" not in done.stderr


@needs_tls
def test_tls_to_sentinels_and_master(stack, tmp_path):
    authority = Authority(tmp_path / "ca")
    cert, key = authority.sign("local", "DNS:localhost,IP:127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    with redis_server(tls={"cert": cert, "key": key, "ca": authority.file}) as server:
        server.set_user(*documented_acl())
        with ToldSentinel(server.port, tls=context) as sentinel:
            url = sentinel_url(sentinel.port, scheme="rediss+sentinel")
            settings = settings_for(
                stack, url, tls_ca_file=str(authority.file), connect_timeout_ms=2000
            )
            with ServiceProcess("read-svc", tmp_path, settings) as service:
                eventually(lambda: masters(service) == [server.port], "the master is found")
