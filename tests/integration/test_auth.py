"""auth.tokens_file: writes need a bearer token. A write-svc of its own."""

import os
import time

import pytest

from support.problems import assert_problem
from support.service_process import ServiceProcess, run_service
from support.timing import eventually

pytestmark = pytest.mark.quick

TOKENS = "first-token\n\nsecond.token_~+/=\nthird\r\n"


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    path = tmp_path_factory.mktemp("auth") / "tokens"
    path.write_text(TOKENS)
    return path


@pytest.fixture(scope="module")
def service(stack, tokens):
    settings = {
        "database": {"url": stack.env["DATABASE_URL"]},
        "redis": {"url": stack.env["REDIS_URL"]},
        "auth": {"tokens_file": str(tokens)},
    }
    with ServiceProcess("write-svc", tokens.parent, settings) as service:
        yield service


@pytest.fixture(scope="module")
def guarded(service):
    return service.client


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize(
    "authorization",
    [
        "Bearer first-token",
        "Bearer second.token_~+/=",
        "Bearer third",
        "bearer first-token",
        "BEARER   third",
    ],
)
def test_a_listed_token(guarded, database, authorization):
    id = database.create_product()
    assert guarded.update_stock(id, {"delta": 1}, {"Authorization": authorization}).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        bearer(""),
        bearer("first-toke"),
        bearer("first-token2"),
        bearer("First-Token"),
        bearer("first-token second.token_~+/="),
        bearer("first-token,"),
        bearer("x" * 5000),
        {"Authorization": "first-token"},
        {"Authorization": "Basic Zmlyc3QtdG9rZW46"},
        {"Authorization": "Bearerfirst-token"},
        {"Authorization": "Bearer"},
        {"Authorization": ""},
        {"X-Authorization": "Bearer first-token"},
    ],
    ids=lambda headers: str(headers)[:60],
)
def test_anything_else(guarded, database, headers):
    id = database.create_product()
    reply = guarded.update_stock(id, {"delta": 1}, headers)
    assert_problem(reply, 401)
    assert reply.header("WWW-Authenticate").startswith("Bearer")
    assert b"first-token" not in reply.body
    assert len(database.movements(id)) == 1


def test_it_is_asked_before_anything_about_the_product(guarded, unknown_id):
    assert_problem(guarded.update_stock(unknown_id(), {"delta": 1}), 401)
    assert_problem(guarded.update_stock(unknown_id(), {"delta": "bad"}), 401)


def test_operations_need_no_token(guarded):
    assert guarded.get("/health").status == 200
    assert guarded.get("/metrics").status == 200


def test_the_file_is_read_again_when_it_changes(guarded, database, tokens):
    id = database.create_product()
    status = lambda token: guarded.update_stock(id, {"delta": 0}, bearer(token)).status
    new = tokens.with_suffix(".new")
    new.write_text("fourth\n")
    os.replace(new, tokens)  # as a secret's mount changes
    try:
        eventually(lambda: status("fourth") == 200, "the new token is known")
        eventually(lambda: status("third") == 401, "the old token is gone")
    finally:
        tokens.write_text(TOKENS)  # in place, as an editor does
        eventually(lambda: status("third") == 200, "the old tokens are back")
    eventually(lambda: status("fourth") == 401, "the other one is gone")


@pytest.mark.parametrize("content", ["", "\n  \n", None], ids=["empty", "blank", "gone"])
def test_a_file_without_tokens_changes_nothing_and_is_warned_of(
    service, guarded, database, tokens, content
):
    """Half a rotation: the tokens of before stay valid, no others do, and the log says so once."""
    id = database.create_product()
    warnings = lambda: [
        line
        for line in service.log_lines()
        if line.get("file") == str(tokens) and line["level"] == "warn"
    ]
    before = len(warnings())
    tokens.unlink() if content is None else tokens.write_text(content)
    try:
        for _ in range(3):
            time.sleep(1.1)  # the file is looked at each second
            for token in ("", "fourth", "None"):
                assert_problem(guarded.update_stock(id, {"delta": 1}, bearer(token)), 401)
            assert guarded.update_stock(id, {"delta": 0}, bearer("third")).status == 200
        new = warnings()[before:]
        assert len(new) == 1 and "stay valid" in new[0]["msg"] and new[0]["tokens"] == 3, new
    finally:
        tokens.write_text(TOKENS)
        eventually(
            lambda: guarded.update_stock(id, {"delta": 0}, bearer("third")).status == 200,
            "the tokens are back",
        )


@pytest.mark.parametrize("content", ["", None], ids=["empty", "missing"])
def test_no_start_without_tokens(stack, tmp_path, content):
    path = tmp_path / "tokens"
    if content is not None:
        path.write_text(content)
    env = {"DATABASE_URL": stack.env["DATABASE_URL"], "FASTSTOCK_AUTH_TOKENS_FILE": str(path)}
    done = run_service("write-svc", env=env)
    assert done.returncode == 2
    assert str(path) in done.stdout + done.stderr
