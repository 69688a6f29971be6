"""Redis by TLS: which server is trusted, and what the log says of the others. Skipped where hiredis
has no TLS; there the refusal is tested."""

import subprocess

import pytest

from support.metrics_text import Change
from support.redis_server import documented_acl, redis_server
from support.service_process import ServiceProcess, run_service
from support.stack import dependency_states
from support.timing import eventually

pytestmark = pytest.mark.quick

CHECK = run_service(
    "read-svc",
    "--check-config",
    env={"REDIS_URL": "rediss://cache", "DATABASE_URL": "postgres://u@db/d"},
)
HAS_TLS = CHECK.returncode == 0
needs_tls = pytest.mark.skipif(not HAS_TLS, reason=f"no TLS here: {CHECK.stderr.strip()}")


@pytest.mark.skipif(HAS_TLS, reason="this hiredis has TLS")
def test_without_tls_the_refusal_says_why():
    assert CHECK.returncode != 0
    assert (
        "redis.url" in CHECK.stderr
        and "needs hiredis 1.0" in CHECK.stderr
        and "built with hiredis 0." in CHECK.stderr
    ), CHECK.stderr


def openssl(*words):
    done = subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


class Authority:
    """A CA in a folder, and the certificates that it signs."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        self.file = folder / "ca.pem"
        subject = ["-subj", "/CN=CA of a test"]
        openssl(
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            2,
            "-keyout",
            folder / "ca.key",
            "-out",
            self.file,
            *subject,
        )
        (folder / "index.txt").touch()
        (folder / "serial").write_text("1000\n")
        (folder / "ca.conf").write_text(
            f"[ca]\ndefault_ca=it\n[it]\ndatabase={folder}/index.txt\nserial={folder}/serial\n"
            f"new_certs_dir={folder}\ndefault_md=sha256\npolicy=any\nunique_subject=no\n"
            "copy_extensions=copy\n[any]\ncommonName=supplied\n"
        )

    def sign(self, name, alternatives, valid=("20240101000000Z", "20400101000000Z")):
        """Returns the files of the certificate and of its key."""
        cert, key, request = (self.folder / f"{name}.{ending}" for ending in ("pem", "key", "csr"))
        extension = ["-addext", f"subjectAltName={alternatives}"]
        openssl(
            "req",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-keyout",
            key,
            "-out",
            request,
            "-subj",
            f"/CN={name}",
            *extension,
        )
        what = ["-in", request, "-out", cert, "-startdate", valid[0], "-enddate", valid[1]]
        openssl(
            "ca",
            "-batch",
            "-config",
            self.folder / "ca.conf",
            "-cert",
            self.file,
            "-keyfile",
            self.folder / "ca.key",
            *what,
        )
        return cert, key


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pki")
    authority, stranger = Authority(folder / "ca"), Authority(folder / "stranger")
    return {
        "ca": authority.file,
        "strange ca": stranger.file,
        "local": authority.sign("local", "DNS:localhost,IP:127.0.0.1"),
        "elsewhere": authority.sign("elsewhere", "DNS:redis.example"),
        "expired": authority.sign(
            "expired", "DNS:localhost,IP:127.0.0.1", ("20240101000000Z", "20240201000000Z")
        ),
        "client": authority.sign("client", "DNS:client.example"),
        "strange client": stranger.sign("client", "DNS:client.example"),
    }


def server_with(pki, name, clients="no"):
    cert, key = pki[name]
    return redis_server(tls={"cert": cert, "key": key, "ca": pki["ca"], "clients": clients})


def settings_for(stack, server, **redis):
    settings = {name: str(value) for name, value in redis.items()}
    return {
        "database": {"url": stack.env["DATABASE_URL"]},
        "redis": {"url": server.url(), "connect_timeout_ms": 2000, **settings},
    }


def reasons(service):
    return [
        line["error"]
        for line in service.log_lines()
        if line["msg"] in ("store is away", "store is still away")
    ]


@needs_tls
def test_a_trusted_redis_is_used(stack, database, pki, tmp_path):
    id = database.create_product(stock=5)
    with server_with(pki, "local") as server:
        server.set_user(*documented_acl())
        settings = settings_for(stack, server, tls_ca_file=pki["ca"])
        with ServiceProcess("write-svc", tmp_path, settings) as writer, ServiceProcess(
            "read-svc", tmp_path, settings
        ) as reader:
            for _ in range(20):
                done = writer.client.update_stock(id, {"delta": 1}).json()
                with Change(reader.ops) as change:
                    assert reader.client.stock(id).json()["version"] == done["version"]
                assert change("faststock_cache_requests_total", tier="redis", result="hit") == 1
            server.cut_connections()
            eventually(
                lambda: dependency_states(reader.ops.get("/readyz"))["redis"] == "up",
                "it connects again",
            )
            assert reader.client.stock(id).json()["version"] == done["version"]


@needs_tls
@pytest.mark.parametrize(
    ["cert", "clients", "host", "tls"],
    [
        ("local", "no", "localhost", {}),
        ("elsewhere", "no", "127.0.0.1", {"tls_server_name": "redis.example"}),
        ("local", "yes", "127.0.0.1", {"tls_cert_file": 0, "tls_key_file": 1}),
    ],
    ids=["by name", "another server name", "with a client certificate"],
)
def test_other_ways_to_be_trusted(stack, pki, tmp_path, cert, clients, host, tls):
    files = {
        name: pki["client"][value] if isinstance(value, int) else value
        for name, value in tls.items()
    }
    with server_with(pki, cert, clients) as server:
        server.set_user(*documented_acl())
        settings = settings_for(
            stack, server, url=server.url(host=host), tls_ca_file=pki["ca"], **files
        )
        with ServiceProcess("read-svc", tmp_path, settings) as service:
            assert dependency_states(service.ops.get("/readyz"))["redis"] == "up"


REFUSALS = {
    "an unknown CA": (
        "local",
        "no",
        "127.0.0.1",
        {"tls_ca_file": "strange ca"},
        ["certificate is refused", "in certificate chain"],
    ),
    "no CA given": ("local", "no", "127.0.0.1", {"tls_ca_file": None}, ["certificate is refused"]),
    "another host": (
        "elsewhere",
        "no",
        "localhost",
        {},
        ["certificate is refused", "ostname mismatch", "localhost"],
    ),
    "another address": (
        "elsewhere",
        "no",
        "127.0.0.1",
        {},
        ["certificate is refused", "IP address mismatch", "127.0.0.1"],
    ),
    "an expired certificate": (
        "expired",
        "no",
        "127.0.0.1",
        {},
        ["certificate is refused", "has expired"],
    ),
    "no client certificate": ("local", "yes", "127.0.0.1", {}, ["redis.tls_cert_file"]),
    "a strange client": (
        "local",
        "yes",
        "127.0.0.1",
        {"tls_cert_file": "strange client"},
        ["redis.tls_cert_file"],
    ),
    "no such CA file": (
        "local",
        "no",
        "127.0.0.1",
        {"tls_ca_file": "/nonexistent"},
        ["redis.tls_ca_file /nonexistent", "o such file"],
    ),
}


@needs_tls
@pytest.mark.parametrize("case", REFUSALS)
def test_the_log_says_why_there_is_no_trust(stack, pki, tmp_path, case):
    cert, clients, host, tls, told = REFUSALS[case]
    files = {"tls_ca_file": "ca", **tls}
    files = {name: pki.get(value, value) for name, value in files.items() if value}
    if "tls_cert_file" in files:
        files["tls_cert_file"], files["tls_key_file"] = files["tls_cert_file"]
    with server_with(pki, cert, clients) as server:
        server.set_user(*documented_acl())
        settings = settings_for(stack, server, url=server.url(host=host), **files)
        with ServiceProcess("read-svc", tmp_path, settings, wait="alive") as service:
            eventually(lambda: reasons(service), "Redis is away")
            assert all(text in reasons(service)[0] for text in told), reasons(service)
            assert dependency_states(service.ops.get("/readyz"))["redis"] == "down"
            assert service.client.get("/api/products?limit=1").status == 200


@needs_tls
@pytest.mark.parametrize(
    ["scheme", "told"], [("rediss", "does the server speak TLS"), ("redis", "does it want TLS")]
)
def test_the_log_says_when_one_side_speaks_no_tls(stack, pki, tmp_path, scheme, told):
    with server_with(pki, "local") as server:
        server.set_user(*documented_acl())
        port = server.plain_port if scheme == "rediss" else server.port
        settings = settings_for(
            stack, server, url=server.url(scheme=scheme, port=port), tls_ca_file=pki["ca"]
        )
        with ServiceProcess("read-svc", tmp_path, settings, wait="alive") as service:
            eventually(lambda: any(told in reason for reason in reasons(service)), told)
