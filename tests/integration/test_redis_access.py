"""Which Redis is used, as which user: the documented rights are enough, and each missing one is
named. A Redis that is of no use counts as away, and the log says what to do."""

import pytest

from support.metrics_text import Change
from support.redis_server import PASSWORD, documented_acl, redis_server
from support.service_process import ServiceProcess, free_port
from support.stack import dependency_states
from support.timing import eventually

pytestmark = pytest.mark.quick

OF_THE_STREAM = ["xadd", "pexpire", "xread", "xrevrange"]
RIGHTS = [rule[1:] for rule in documented_acl() if rule.startswith("+")]
NEEDED = [command for command in RIGHTS if command not in OF_THE_STREAM]


def settings_for(stack, server, **redis):
    return {
        "database": {"url": stack.env["DATABASE_URL"]},
        "redis": {"url": server.url(), **redis},
    }


def reasons(service):
    """Why Redis was away, each time that the log says so."""
    lines = service.log_lines()
    return [
        line["error"]
        for line in lines
        if line["msg"] in ("store is away", "store is still away") and line["store"] == "redis"
    ]


def redis_state(service):
    return dependency_states(service.ops.get("/readyz"))["redis"]


@pytest.fixture(scope="module")
def server():
    with redis_server() as server:
        server.set_user(*documented_acl())
        yield server


@pytest.fixture(scope="module")
def reader(stack, server, tmp_path_factory):
    with ServiceProcess(
        "read-svc", tmp_path_factory.mktemp("access"), settings_for(stack, server)
    ) as service:
        yield service


def test_the_documented_user_can_do_all_that_is_needed(stack, database, server, reader, tmp_path):
    id = database.create_product(stock=5)
    with ServiceProcess("write-svc", tmp_path, settings_for(stack, server)) as writer:
        with Change(writer.ops) as change:
            done = writer.client.update_stock(id, {"delta": -1}).json()
        assert change("faststock_publish_total", result="stored") == 1
        assert server.admin.keys("fs:*:changes")
        with Change(reader.ops) as change:
            assert reader.client.stock(id).json()["version"] == done["version"]
        assert change("faststock_cache_requests_total", tier="redis", result="hit") == 1
        server.admin.flushall()
        eventually(
            lambda: reader.client.stock(id).status == 200 and server.admin.keys(f"fs:*:p:{id}"),
            "it is filled again",
        )


@pytest.mark.parametrize("command", NEEDED)
def test_a_command_that_is_refused_is_named(server, reader, command):
    count = len(reasons(reader))
    server.set_user(f"-{command}")
    try:
        server.cut_connections()
        eventually(
            lambda: redis_state(reader) == "down" and len(reasons(reader)) > count,
            "Redis counts as away",
        )
        (last,) = reasons(reader)[-1:]
        assert (
            "NOPERM" in last
            and f"'faststock' was refused {command.upper()}" in last
            and "docs/operations.md" in last
        ), last
        assert reader.ops.get("/readyz").json()["dependencies"]["redis"]["note"] == last
        assert reader.client.get("/api/products?limit=1").status == 200
    finally:
        server.set_user(f"+{command}")
    eventually(lambda: redis_state(reader) == "up", "Redis is back")


@pytest.mark.parametrize("command", ["xadd", "pexpire"])
def test_a_command_of_the_stream_may_be_refused(server, reader, command):
    """It is told once, although each connection finds it out."""

    def told():
        return [
            line
            for line in reader.log_lines()
            if line["msg"] == "redis refuses a command that can be done without"
            and f"was refused {command.upper()}" in line["error"]
        ]

    server.set_user(f"-{command}")
    try:
        server.cut_connections()
        eventually(told, "it is told")
        eventually(lambda: redis_state(reader) == "up", "Redis is used")
        assert len(told()) == 1 and "by the ledger" in told()[0]["effect"]
    finally:
        server.set_user(f"+{command}")


def test_a_publication_needs_no_stream(stack, database, server, tmp_path):
    id = database.create_product(stock=5)
    server.admin.flushall()
    server.set_user("-xadd")
    try:
        with ServiceProcess("write-svc", tmp_path, settings_for(stack, server)) as writer:
            with Change(writer.ops) as change:
                assert writer.client.update_stock(id, {"delta": -1}).status == 200
            assert change("faststock_publish_total", result="stored") == 1
    finally:
        server.set_user("+xadd")
    assert not server.admin.keys("fs:*:changes")


def test_a_command_that_is_refused_from_now_on_is_noticed(server, reader):
    """Without a new connection: the probe of writing finds out, and a request that is refused."""
    count = len(reasons(reader))
    server.set_user("-set")
    try:
        eventually(
            lambda: redis_state(reader) == "down" and len(reasons(reader)) > count,
            "Redis counts as away",
        )
    finally:
        server.set_user("+set")
    eventually(lambda: redis_state(reader) == "up", "Redis is back")


def test_keys_that_are_refused_are_told(stack, server, tmp_path):
    settings = settings_for(stack, server, key_prefix="other")
    with ServiceProcess("read-svc", tmp_path, settings, wait="alive") as service:
        eventually(
            lambda: any("NOPERM" in reason and "key" in reason for reason in reasons(service)),
            "the keys are named",
        )


def test_all_commands_but_the_dangerous_ones_lack_info_alone(stack, server, tmp_path):
    server.set_user("on", f">{PASSWORD}", "~fs:*", "+@all", "-@dangerous", name="careful")
    settings = settings_for(stack, server, url=server.url(user="careful"))
    with ServiceProcess("read-svc", tmp_path, settings, wait="alive") as service:
        eventually(
            lambda: any("'careful' was refused INFO" in reason for reason in reasons(service)),
            "INFO is named",
        )
        server.set_user("+info", name="careful")
        eventually(lambda: redis_state(service) == "up", "Redis is used", timeout=20)


@pytest.mark.parametrize(
    ["user", "password", "told"],
    [("faststock", "wrong", "WRONGPASS"), ("nobody", "x", "WRONGPASS"), ("", "", "NOAUTH")],
)
def test_a_wrong_login_is_told(stack, server, tmp_path, user, password, told):
    server.set_user("on", ">admin", "+@all", "~*", name="admin")
    server.set_user("resetpass", ">guarded", name="default")
    try:
        settings = settings_for(stack, server, url=server.url(user, password))
        with ServiceProcess("read-svc", tmp_path, settings, wait="alive") as service:
            eventually(lambda: any(told in reason for reason in reasons(service)), told)
            assert "wrong" not in " ".join(reasons(service))
    finally:
        server.set_user("nopass", name="default")


def test_long_and_escaped_passwords(stack, server, tmp_path):
    password = "p%@/:#?" * 290
    server.set_user("resetpass", f">{password}", name="faststock")
    try:
        escaped = (
            password.replace("%", "%25")
            .replace("@", "%40")
            .replace("/", "%2F")
            .replace(":", "%3A")
            .replace("#", "%23")
            .replace("?", "%3F")
        )
        with ServiceProcess(
            "read-svc", tmp_path, settings_for(stack, server, url=server.url(password=escaped))
        ):
            pass
    finally:
        server.set_user("resetpass", f">{PASSWORD}", name="faststock")


def test_cluster_mode_is_refused(stack, tmp_path):
    bus = str(free_port())  # else 10,000 above the port, which may be taken by a connection
    with redis_server("--cluster-enabled", "yes", "--cluster-port", bus) as server:
        server.set_user(*documented_acl())
        with ServiceProcess(
            "read-svc", tmp_path, settings_for(stack, server), wait="alive"
        ) as service:
            eventually(
                lambda: any("cluster-enabled no" in reason for reason in reasons(service)),
                "cluster mode is told",
            )
            assert redis_state(service) == "down"
            assert service.client.get("/api/products?limit=1").status == 200


def test_a_sentinel_is_refused(stack, tmp_path):
    with redis_server(sentinel=True) as server:
        with ServiceProcess(
            "read-svc", tmp_path, settings_for(stack, server, url=server.url(user="")), wait="alive"
        ) as service:
            eventually(
                lambda: any("Sentinel" in reason for reason in reasons(service)), "it is told"
            )
            assert redis_state(service) == "down"
