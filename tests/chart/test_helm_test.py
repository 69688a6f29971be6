"""The script of `helm test` against a made-up cluster: programs that answer as the ingress, the
services and the stores do.

Each request is asked for as a client would have to: over TLS with the name of the host, where there
is a certificate.
"""

import os
import subprocess

import pytest

from rendering import CHART, MODES, env, kinds, pod_spec, render

CURL = r"""#!/bin/bash
# curl: an ingress with RULE_HOST, RULE_TLS and RULE_MATCH before two services, whose requests are
# counted in the folder COUNTS
declare -A option=()
host='' url=''
while (($# > 0)); do
  case $1 in
    -X | -o | -m | -w | -d | --connect-to) option[$1]=$2 && shift ;;
    -H) [[ $2 != Host:* ]] || host=${2#Host: } && shift ;;
    -*) option[$1]=yes ;;
    *) url=$1 ;;
  esac
  shift
done
method=${option[-X]:-GET} scheme=${url%%:*} rest=${url#*://}
authority=${rest%%/*} path=/${rest#*/} && path=${path%%\?*}

answer() { # STATUS [BODY]
  [[ ! ${option[-o]:-} ]] || printf '%s' "${2:-}" >"${option[-o]}"
  if [[ ${option[-w]:-} ]]; then printf '%s' "$1"; else printf '%s' "${2:-}"; fi
  exit 0
}

case $authority in
  10.0.0.1:9090) service=fs-faststock-read-svc ;;
  10.0.0.2:9090) service=fs-faststock-write-svc ;;
  *) service='' ;;
esac
if [[ $service ]]; then
  stores='"postgres":{"state":"up"},"redis":{"state":"'$REDIS_STATE'"}'
  [[ $path == /metrics ]] || answer 200 "{\"status\":\"ok\",\"dependencies\":{$stores}}"
  answer 200 "$(cd "$COUNTS" && for file in "$service".*; do
    labels="method=\"${file##*.}\",route=\"unmatched\",status=\"405\""
    [[ ! -f $file ]] || echo "http_requests_total{$labels} $(stat -c %s "$file")"
  done)"
fi
[[ ! $RULE_HOST || ${host:-$authority} == "$RULE_HOST" ]] || answer 404
if [[ $RULE_TLS ]]; then
  [[ $scheme == https ]] || answer 308
  [[ ! $RULE_HOST || $authority == "$RULE_HOST" ]] || exit 35 # no such server
  [[ ${option[--insecure]:-} ]] || exit 60 # signed by no authority that the pod knows
  # no such name
  [[ $authority == controller || ${option[--connect-to]} == ::controller:443 ]] || exit 6
fi
[[ $path == /api/* ]] || answer 404
service=read-svc
case $RULE_MATCH:$method:$path in
  path:*:/api/products/*/update-stock | path:*:/api/catalog/*) service=write-svc ;;
  path:*:/api/orders | path:*:/api/orders/*/cancel) service=write-svc ;;
  path:*:/api/reservations | path:*:/api/reservations/*/*) service=write-svc ;;
  path:*:/api/stock/changes) service=write-svc ;;
  method:POST:* | method:PUT:*) service=write-svc ;;
esac
printf . >>"$COUNTS/fs-faststock-$service.$method"
stock=4
[[ ${option[-d]:-} != *'"delta":-1'* ]] || stock=3
case $method in
  GET | POST) answer 200 "{\"id\":1,\"version\":7,\"stock\":$stock}" ;;
esac
answer 405
"""
GETENT = """#!/bin/sh
case $2 in *read-svc-ops) echo 10.0.0.1 ;; *write-svc-ops) echo 10.0.0.2 ;; esac
"""
PSQL = """#!/bin/sh
echo 1
"""


@pytest.fixture
def run_test(tmp_path):
    """Runs the script with the environment of a render's test pod."""

    def run(ingress, *arguments, redis_state="up"):
        for name, text in {"curl": CURL, "getent": GETENT, "psql": PSQL}.items():
            (tmp_path / name).write_text(text)
            (tmp_path / name).chmod(0o755)
        counts = tmp_path / "counts"
        counts.mkdir()
        given = env(pod_of_the_test(*arguments))
        environment = {name: value for name, value in given.items() if isinstance(value, str)}
        environment |= {
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
            "COUNTS": str(counts),
            "REDIS_STATE": redis_state,
            **ingress,
        }
        script = (CHART / "files/helm-test").read_text()
        script = script.replace("SECONDS + 60", "SECONDS + 1").replace("/tmp/", f"{tmp_path}/")
        return subprocess.run(
            ["bash", "-c", script], capture_output=True, text=True, env=environment
        )

    return run


def pod_of_the_test(*arguments):
    (pod,) = kinds(render(*arguments), "Pod")
    (container,) = pod_spec(pod)["containers"]
    return container


def rules(host="", tls="", match="path"):
    return {"RULE_HOST": host, "RULE_TLS": tls, "RULE_MATCH": match}


INGRESS = ["--set", "routing.ingressNginx.url=http://controller"]
GATEWAY = [*MODES["gateway"], "--set", "routing.gateway.url=http://controller"]


@pytest.mark.parametrize(
    "ingress, arguments",
    [
        (rules(), INGRESS),
        (rules(host="stock.example.com"), [*INGRESS, "--set", "routing.hosts={stock.example.com}"]),
        (rules(tls="yes"), [*INGRESS, "--set", "routing.tlsSecret=tls"]),
        (rules(host="stock.example.com", tls="yes"), [*INGRESS, "--set",
         "routing.hosts={stock.example.com},routing.tlsSecret=tls"]),
        (rules(), GATEWAY),
        (rules(match="method"), [*GATEWAY, "--set", "routing.gateway.match=method"]),
        (rules(host="stock.example.com", tls="yes", match="method"),
         [*GATEWAY, "--set",
          "routing.gateway.match=method,routing.gateway.url=https://controller/,"
          "routing.hosts={stock.example.com}"]),
    ],
)
def test_passes_where_the_ingress_is_right(run_test, ingress, arguments):
    result = run_test(ingress, *arguments)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "FAIL" not in result.stdout and result.stdout.endswith("all as expected\n")


def test_fails_where_writes_are_told_in_another_way(run_test):
    result = run_test(rules(match="method"), *INGRESS)
    assert result.returncode == 1
    assert "FAIL  PUT /api/products, refused by fs-faststock-read-svc" in result.stdout


def test_fails_where_the_services_do_not_reach_redis(run_test):
    result = run_test(rules(), *INGRESS, redis_state="down")
    assert result.returncode == 1
    (line,) = [
        line
        for line in result.stdout.splitlines()
        if "FAIL  fs-faststock-read-svc is not ready" in line
    ]
    assert line.endswith('"redis":{"state":"down"}}}')


def test_passes_without_redis_where_there_is_to_be_none(run_test):
    assert (
        run_test(rules(), *INGRESS, "--set", "redis.mode=none", redis_state="down").returncode == 0
    )


def test_a_controller_on_another_port_is_asked_as_given():
    given = env(
        pod_of_the_test(
            "--set", "routing.tlsSecret=tls,routing.ingressNginx.url=https://controller:8443"
        )
    )
    assert given["EDGE_URL"] == "https://controller:8443"
    given = env(
        pod_of_the_test(
            "--set", "routing.tlsSecret=tls,routing.ingressNginx.url=http://controller:8080"
        )
    )
    assert given["EDGE_URL"] == "http://controller:8080"
