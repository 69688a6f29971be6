"""Settings: a service refuses a bad file or environment clearly, and shows the settings of good
ones."""

import ctypes
import ctypes.util
import re
import socket

import pytest
import yaml

from support.service_process import free_port, run_service

pytestmark = pytest.mark.quick

SERVICES = ["read-svc", "write-svc"]

# The settings of both or of one of them, with the defaults: section, key, default of read-svc,
# default of write-svc (None: not there).
DEFAULTS = [
    ("http", "host", "0.0.0.0", "0.0.0.0"),
    ("http", "port", 8080, 8080),
    ("http", "threads", 128, 512),
    ("http", "watchers", -1, -1),
    ("http", "keep_alive_timeout_ms", 75000, 75000),
    ("http", "request_timeout_ms", 2000, 2000),
    ("http", "read_timeout_ms", 5000, 5000),
    ("http", "body_bytes_max", 65536, 1048576),
    ("http", "drain_ms", 5000, 5000),
    ("http", "console", False, None),
    ("ops", "host", "0.0.0.0", "0.0.0.0"),
    ("ops", "port", 9090, 9090),
    ("database", "pool_size", 4, 8),
    ("database", "timeout_ms", 1000, 2000),
    ("database", "connect_timeout_ms", 1000, 1000),
    ("database", "prepared", False, False),  # YAML reads "off" so
    ("redis", "pool_size", 2, 4),
    ("redis", "timeout_ms", 250, 250),
    ("redis", "connect_timeout_ms", 250, 250),
    ("redis", "key_prefix", "fs", "fs"),
    ("redis", "tls_ca_file", "", ""),
    ("redis", "tls_cert_file", "", ""),
    ("redis", "tls_key_file", "", ""),
    ("redis", "tls_server_name", "", ""),
    ("redis", "sentinel_user", "", ""),
    ("redis", "sentinel_password", "", ""),
    ("cache", "ttl_ms", 60000, 60000),
    ("cache", "missing_ttl_ms", 5000, None),
    ("freshness", "max_staleness_ms", 2000, None),
    ("freshness", "stale_if_error_ms", 300000, None),
    ("freshness", "follow_ms", 100, None),
    ("l1", "bytes_max", 67108864, None),
    ("catalog", "refresh_ms", 250, None),
    ("catalog", "products_max", 10000000, None),
    ("writes", "lanes", None, 4),
    ("writes", "batch_max", None, 256),
    ("writes", "waiting_max", None, 2000),
    ("writes", "key_ttl_hours", None, 24),
    ("ledger", "retention_days", None, 0),
    ("auth", "tokens_file", None, ""),
    ("log", "level", "info", "info"),
    ("log", "sample", 100, 100),
    ("log", "slow_ms", 100, 100),
    ("otel", "endpoint", "", ""),
]
URLS = {
    "read-svc": ["database.url", "database.replica_url", "redis.url", "redis.replica_url"],
    "write-svc": ["database.url", "database.direct_url", "redis.url"],
}


def default_settings(service):
    column = 2 + SERVICES.index(service)
    return {(row[0], row[1]): row[column] for row in DEFAULTS if row[column] is not None}


@pytest.fixture(params=SERVICES)
def service(request):
    return request.param


def printed(service, *arguments, env=None):
    done = run_service(service, *arguments, "--print-config", env=env)
    assert done.returncode == 0, done.stderr
    sections = re.findall(r"^(\w+):", done.stdout, re.MULTILINE)
    assert len(sections) == len(
        set(sections)
    ), f"a section is there twice, which is not YAML: {sections}"
    return yaml.safe_load(done.stdout)


def test_no_database_at_all(service):
    for arguments in (["--check-config"], []):
        done = run_service(service, *arguments)
        assert done.returncode == 2 and not done.stdout, done
        assert (
            "database.url is empty" in done.stderr
            and "DATABASE_URL" in done.stderr
            and "postgres://" in done.stderr
        )


# -- mistakes

# A file, the line to blame, a part of the message.
MISTAKES = {
    "too large": ("http:\n  port: 99999\n", 2, ["http.port", "99999", "65535"]),
    "TLS to a collector": (
        "otel:\n  endpoint: https://collector:4318\n",
        2,
        ["otel.endpoint", "TLS is not spoken", "http://host[:port][/path]"],
    ),
    "not a number": ("http:\n  host: x\n  port: http\n", 3, ["http.port", "http"]),
    "a fraction": ("database:\n  timeout_ms: 1.5\n", 2, ["database.timeout_ms", "1.5"]),
    "negative": ("redis:\n  timeout_ms: -1\n", 2, ["redis.timeout_ms", "-1"]),
    "zero threads": ("http:\n  threads: 0\n", 2, ["http.threads", "0"]),
    "beyond 64 bit": (
        "http:\n  threads: 99999999999999999999\n",
        2,
        ["http.threads", "99999999999999999999"],
    ),
    "with a unit": ("log:\n  slow_ms: 100ms\n", 2, ["log.slow_ms", "100ms"]),
    "empty number": ("http:\n  port:\n", 2, ["http.port"]),
    "no such level": (
        "log:\n  level: loud\n",
        2,
        ["log.level", "loud", "debug", "info", "warn", "error"],
    ),
    "no such key": ("http:\n  prot: 80\n", 2, ["prot"]),
    "no such section": ("\nhtpp:\n  port: 80\n", 2, ["htpp"]),
    "key at the top": ("port: 80\n", 1, ["port"]),
    "a section that is none": ("http: 80\n", 1, []),
    "a list as section": ("http:\n  - port\n", None, []),
    "a list as value": ("http:\n  port: [80]\n", 2, []),
    "a map as value": ("http:\n  port:\n    number: 80\n", None, []),
    "a key twice": ("http:\n  port: 80\n  port: 81\n", 3, []),
    "a tab": ("http:\n\tport: 80\n", 2, []),
    "an open bracket": ("http:\n  port: [80\n", None, []),
    "a list at the top": ("- http\n", 1, []),
    "a word": ("http\n", 1, []),
    "two documents": ("http:\n  port: 80\n---\nhttp:\n  port: 81\n", 3, []),
    "bytes": (b"http:\n  host: \xff\xfe\n", None, []),
    "a prefix of 65 bytes": (f"redis:\n  key_prefix: {'x' * 65}\n", 2, ["redis.key_prefix", "64"]),
    "another scheme, database": (
        "database:\n  url: mysql://x/y\n",
        2,
        ["database.url", "postgres"],
    ),
    "another scheme, Redis": ("redis:\n  url: http://x:1\n", 2, ["redis.url", "redis://"]),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_in_the_file(service, tmp_path, name):
    content, line, mentions = MISTAKES[name]
    path = tmp_path / "settings.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    for arguments in (["--check-config"], []):
        done = run_service(service, "--config", path, *arguments)
        assert done.returncode == 2, done
        assert re.search(
            re.escape(str(path)) + (f":{line}: " if line else r":\d+: "), done.stderr
        ), done.stderr
        for text in mentions:
            assert text in done.stderr, done.stderr


def test_all_mistakes_at_once(service, tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text("http:\n  port: x\n  nothing: 1\nlog:\n  level: loud\n")
    message = run_service(service, "--config", path, "--check-config").stderr
    assert all(f"{path}:{line}: " in message for line in (2, 3, 5)), message


@pytest.mark.parametrize(
    "env, mentions",
    [
        ({"FASTSTOCK_HTTP_PORT": "x"}, ["FASTSTOCK_HTTP_PORT", "65535"]),
        ({"FASTSTOCK_HTTP_PORT": ""}, ["FASTSTOCK_HTTP_PORT"]),
        ({"FASTSTOCK_HTTP_PORT": " 80"}, ["FASTSTOCK_HTTP_PORT"]),
        ({"FASTSTOCK_HTTP_PROT": "80"}, ["FASTSTOCK_HTTP_PROT"]),
        ({"FASTSTOCK_LOG_LEVEL": "LOUD"}, ["FASTSTOCK_LOG_LEVEL", "LOUD", "debug"]),
        ({"FASTSTOCK_DATABASE_POOL_SIZE": "0"}, ["FASTSTOCK_DATABASE_POOL_SIZE"]),
        ({"PORT": "70000"}, ["PORT", "65535"]),
        ({"DATABASE_URL": "http://x/y"}, ["DATABASE_URL"]),
        ({"DATABASE_URL": "postgres://user:s3c/r3t@host:5432/x"}, ["DATABASE_URL"]),
        ({"DATABASE_URL": "postgres://user:r3t@host:port/x"}, ["DATABASE_URL", "host:port"]),
        ({"DATABASE_URL": "postgres://user:r3t@a:1,b:70000/x"}, ["DATABASE_URL", "b:70000"]),
        ({"DATABASE_URL": "postgres://user:r3t@host/x?nonsense=1"}, ["DATABASE_URL", "nonsense"]),
        ({"REDIS_URL": "x"}, ["REDIS_URL"]),
    ],
    ids=str,
)
def test_a_mistake_in_the_environment(service, env, mentions):
    done = run_service(service, "--check-config", env=env)
    assert done.returncode == 2, done
    assert all(text in done.stderr for text in mentions), done.stderr
    assert "r3t" not in done.stderr, "a password is shown"


def test_a_missing_file(service, tmp_path):
    done = run_service(service, "--config", tmp_path / "none.yaml", "--check-config")
    assert done.returncode == 2
    assert str(tmp_path / "none.yaml") in done.stderr and "No such file" in done.stderr


@pytest.mark.parametrize(
    "arguments", [["--nonsense"], ["--config"], ["--config="], ["--configs"], ["stray"]]
)
def test_bad_arguments(service, arguments):
    done = run_service(service, *arguments)
    assert done.returncode == 2
    assert done.stderr and not done.stdout
    assert arguments[0] in done.stderr or "--help" in done.stderr


# -- right settings


def test_defaults(service):
    config = printed(service)
    for (section, key), value in default_settings(service).items():
        assert config[section][key] == value, (section, key)
    known = set(default_settings(service)) | {tuple(name.split(".")) for name in URLS[service]}
    assert {(section, key) for section in config for key in config[section]} == known


def test_environment_before_file_before_default(service, tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text("http:\n  port: 1001\n  threads: 33\nops: {}\nlog:\n  level: warn\n")
    config = printed(
        service,
        "--config",
        path,
        env={"FASTSTOCK_HTTP_PORT": "1002", "FASTSTOCK_LOG_LEVEL": "error"},
    )
    assert (config["http"]["port"], config["http"]["threads"], config["log"]["level"]) == (
        1002,
        33,
        "error",
    )
    assert config["http"]["drain_ms"] == 5000


def test_the_file_behind_an_equals_sign(service, tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text("http:\n  threads: 33\n")
    assert printed(service, f"--config={path}")["http"]["threads"] == 33


def test_the_short_way_to_help(service):
    done = run_service(service, "-h")
    assert done.returncode == 0 and done.stdout == run_service(service, "--help").stdout


def test_the_other_names_in_the_environment(service):
    env = {"PORT": "1003", "REDIS_URL": "redis://r:1/0", "DATABASE_URL": "postgres://d/x"}
    config = printed(service, env=env)
    assert (config["http"]["port"], config["redis"]["url"], config["database"]["url"]) == (
        1003,
        "redis://r:1/0",
        "postgres://d/x",
    )


def test_an_empty_file(service, tmp_path):
    path = tmp_path / "settings.yaml"
    for content in ("", "# nothing\n", "http:\n", "http: {}\n"):
        path.write_text(content)
        done = run_service(
            service, "--config", path, "--check-config", env={"DATABASE_URL": "postgres://d/x"}
        )
        assert done.returncode == 0, done


def test_secrets_are_hidden(service):
    secret = "s3cr3t-p4ss"
    env = {
        "DATABASE_URL": f"postgres://user:{secret}@db.example:6432/x?sslmode=disable",
        "REDIS_URL": f"redis://:{secret}@redis.example:6379/0",
        "DIRECT_URL": f"postgresql://user:{secret}@db.example/x",
        "DATABASE_REPLICA_URL": f"postgres://user:{secret}@db2.example/x",
        "REDIS_REPLICA_URL": f"redis://user:{secret}@redis2.example/0",
    }
    done = run_service(service, "--print-config", env=env)
    assert (
        done.returncode == 0
        and "db.example:6432" in done.stdout
        and "redis.example:6379" in done.stdout
    )
    assert secret not in done.stdout + done.stderr
    bad = run_service(service, "--check-config", env={"DATABASE_URL": f"http://user:{secret}@x/y"})
    assert bad.returncode == 2 and secret not in bad.stdout + bad.stderr


def test_what_is_printed_can_be_read_again(service, tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text(
        run_service(
            service, "--print-config", env={"FASTSTOCK_REDIS_KEY_PREFIX": 'a: "b" # c'}
        ).stdout
    )
    assert printed(service, "--config", path)["redis"]["key_prefix"] == 'a: "b" # c'


def test_help_lists_every_setting(service):
    done = run_service(service, "--help")
    assert done.returncode == 0 and not done.stderr
    for section, keys in printed(service).items():
        for key in keys:
            assert f"{section}.{key}" in done.stdout
            assert f"FASTSTOCK_{section}_{key}".upper() in done.stdout
    for option in ("--config", "--help", "--version", "--print-config", "--check-config"):
        assert option in done.stdout
    for alias in ("DATABASE_URL", "REDIS_URL", "PORT"):
        assert re.search(rf"\b{alias}\b", done.stdout)


def test_version(service):
    done = run_service(service, "--version")
    assert (
        done.returncode == 0
        and done.stdout.startswith(service)
        and re.search(r"\d+\.\d+", done.stdout)
    )


def library_has_ipv6():
    """Whether civetweb was built with it; the installed one tells by its features."""
    library = ctypes.util.find_library("civetweb")
    return bool(ctypes.CDLL(library).mg_check_feature(8))  # MG_FEATURES_IPV6


@pytest.mark.parametrize("which", ["FASTSTOCK_HTTP_PORT", "FASTSTOCK_OPS_PORT"])
def test_a_port_that_is_taken(service, which):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        env = {
            "FASTSTOCK_HTTP_HOST": "127.0.0.1",
            "FASTSTOCK_OPS_HOST": "127.0.0.1",
            "FASTSTOCK_HTTP_PORT": str(free_port()),
        }
        env |= {
            "FASTSTOCK_OPS_PORT": str(free_port()),
            "DATABASE_URL": "postgres://127.0.0.1:1/none",
            which: port,
        }
        done = run_service(service, env=env)
    assert done.returncode not in (0, 2) and done.returncode > 0, done
    message = done.stdout + done.stderr
    assert port in message and "Address already in use" in message, message


@pytest.mark.parametrize(
    "host, why",
    [
        ("::", "without IPv6"),
        ("192.0.2.1", "Cannot assign requested address"),
        ("localhost.test", "numeric address"),
    ],
)
def test_an_address_that_cannot_be_had(service, host, why):
    """The message has the cause that the system tells, or what the HTTP library lacks."""
    env = {
        "FASTSTOCK_HTTP_HOST": host,
        "FASTSTOCK_HTTP_PORT": str(free_port()),
        "DATABASE_URL": "postgres://127.0.0.1:1/none",
    }
    if host == "::" and library_has_ipv6():
        pytest.skip("the HTTP library has IPv6")
    done = run_service(service, env=env)
    assert done.returncode == 1, done
    assert why in done.stdout + done.stderr and host in done.stdout
