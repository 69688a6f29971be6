"""The commands of ./dev on the running stack: a wrong argument changes nothing, an interrupted
command is taken up again."""

import os
import signal
import socket
import subprocess

import pytest

from support.stack import ROOT

pytestmark = pytest.mark.once

WRONG = [
    "bench --seconds 0",
    "bench --bogus",
    "bench unprepared",
    "bench prepared --rows hot",
    "bench read --api /nothere",
    "bench seeds",
    "bench seeds --api /nothere --nest-sql /dev/null",
    "bench seeds --api /nothere --api-sql /nothere",
    "bench write --clients 0",
    "bench write --rows bogus",
    "build bogus",
    "build release bogus",
    "check-ledger bogus",
    "contract bogus",
    "contract --seconds",
    "contract --seconds 0",
    "contract --seed soon",
    "down bogus",
    "env bogus",
    "faults bogus",
    "faults check",
    "faults self-test bogus",
    "faults writes --bogus",
    "faults writes --seconds",
    "faults writes --seconds soon",
    "format bogus",
    "images bogus",
    "images --tag bogus",
    "import",
    "import nothere.csv",
    "import --bogus x",
    "import --format bogus x",
    "kind bogus",
    "kind down bogus",
    "lint shellcheck bogus",
    "load bogus",
    "load stock --bogus",
    "load stock --duration 10",
    "load stock --rate",
    "load stock --vus abc",
    "logs bogus",
    "migrate bogus",
    "monitor",
    "monitor bogus",
    "monitor up bogus",
    "outages bogus",
    "packages bogus",
    "restart read-1 bogus",
    "seed -1",
    "seed 1 bogus",
    "start read-1 bogus",
    "status bogus",
    "stop --now",
    "stop read-1 bogus",
    "test bogus",
    "test --preset bogus",
    "up bogus",
]


def run(words, **env):
    return subprocess.run(
        [ROOT / "dev", *words.split()],
        env={**os.environ, **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("words", WRONG)
def test_wrong_arguments(stack, words):
    before = stack.read_env()
    result = run(words)
    assert result.returncode == 2, result
    assert "error: " in result.stderr and result.stdout == ""
    assert stack.read_env() == before


@pytest.mark.parametrize("command", ["restart", "start"])
@pytest.mark.parametrize(
    "name, setting",
    [
        ("read-1", "FASTSTOCK_LOG_SAMPLE"),
        ("write-1", "FASTSTOCK_HTTP_THREADS"),
        ("nginx", "FASTSTOCK_RATE_LIMIT"),
    ],
)
def test_a_wrong_setting_stops_nothing(stack, command, name, setting):
    before = stack.read_env()
    result = run(f"{command} {name}", **{setting: "x"})
    assert result.returncode == 1, result
    assert setting in result.stderr and "'x'" in result.stderr
    assert stack.read_env() == before


def test_unknown_command():
    result = run("bogus")
    assert result.returncode == 2 and "no command 'bogus'; there are: " in result.stderr


@pytest.mark.parametrize("command", ["bench", "k6", "load", "logs", "psql", "redis", "test"])
def test_help_needs_no_stack_and_builds_nothing(tmp_path, command):
    result = run(f"{command} --help", FASTSTOCK_RUN_DIR=str(tmp_path))
    assert result.returncode == 0, result
    assert f"./dev {command}" in result.stdout and "building" not in result.stderr


def test_logs_say_that_they_show_a_sample(stack):
    result = run("logs read-1")
    assert result.returncode == 0 and "1 of 100 requests" in result.stderr
    assert "FASTSTOCK_LOG_SAMPLE=1 ./dev restart read-1" in run("logs --help").stdout


def test_no_cluster_is_said_in_one_line(tmp_path):
    kubectl = tmp_path / "kubectl"
    kubectl.write_text("#!/bin/sh\nfor line in 1 2 3 4 5 6; do echo refused >&2; done\nexit 1\n")
    kubectl.chmod(0o755)
    result = run("experiment", PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert result.returncode == 3 and result.stderr == (
        "error: kubectl reaches no cluster; ./dev kind up makes one\n"
    )


@pytest.mark.parametrize("base", ["x", "80", "65001", "18000x"])
def test_wrong_port_base(base):
    result = run("status", FASTSTOCK_PORT_BASE=base)
    assert (
        result.returncode == 2
        and f"FASTSTOCK_PORT_BASE must be a whole number from 1000 to 65000, not '{base}'"
        in result.stderr
    )


def test_data_are_deleted_and_nothing_else(tmp_path):
    mine = tmp_path / "mine"
    mine.write_text("kept")
    (tmp_path / "pid").mkdir()
    (tmp_path / "data").mkdir()
    result = run("down --delete-data", FASTSTOCK_RUN_DIR=str(tmp_path))
    assert result.returncode == 0, result
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lock", "mine"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can try what root must not do")
@pytest.mark.parametrize("words", ["up", "start redis"])
def test_stack_of_another_user(tmp_path, words):
    (tmp_path / "credentials").touch()
    os.chown(tmp_path / "credentials", 1, 1)
    result = run(words, FASTSTOCK_RUN_DIR=str(tmp_path))
    assert result.returncode == 1 and f"the stack in {tmp_path} belongs to " in result.stderr
    assert not (tmp_path / "data").exists()


def test_stop_that_was_interrupted(stack):
    """It is draining then: `start` waits for its end."""
    before = stack.pid("read-1")
    os.kill(before, signal.SIGSTOP)  # so that it cannot end before the command does
    try:
        command = subprocess.Popen(
            [ROOT / "dev", "stop", "read-1"],
            process_group=0,
            # one call that takes no lock, so that threads cannot harm it
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
        )
        mark = stack.run_dir() / "pid" / "read-1.leaving"
        while not mark.exists():
            assert command.poll() is None
        os.killpg(command.pid, signal.SIGINT)
        # 2: bash 5.2 may misread its trap when the signal comes while it reads $(...)
        assert command.wait(30) in (-signal.SIGINT, 2)
    finally:
        os.kill(before, signal.SIGCONT)
    stack.dev("start", "read-1")
    stack.wait_until_whole()
    assert stack.pid("read-1") != before
    assert not mark.exists()


def test_postgres_started_is_reached(stack, database):
    """`./dev start postgres` comes back when changes can be made, not when PgBouncer still refuses
    them."""
    product = database.create_product(stock=1)
    stack.dev("restart", "postgres")
    assert stack.edge.post(f"/api/products/{product}/update-stock", {"delta": 1}).status == 200
    stack.wait_until_whole()


def test_a_port_of_an_outgoing_connection_is_told():
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname()) as connection:
            port = connection.getsockname()[1]
            sources = "source scripts/lib/base.sh; source scripts/lib/stack.sh"
            result = subprocess.run(
                ["bash", "-c", f"{sources}; say_held_ports read-2"],
                cwd=ROOT,
                env={**os.environ, "FASTSTOCK_PORT_READ_2": str(port)},
                capture_output=True,
                text=True,
            )
    assert result.returncode == 0, result
    assert f"port {port} (FASTSTOCK_PORT_READ_2) belongs to a connection of " in result.stderr
    assert "choose FASTSTOCK_PORT_BASE below that" in result.stderr
