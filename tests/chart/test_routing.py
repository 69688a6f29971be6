"""Where a request goes, in each routing mode: the rules are followed as the controllers'
documentation says."""

import re
from pathlib import Path

import pytest

from rendering import MODES, VALUES, kinds, one, render

PRODUCTS = Path(__file__).parents[2] / "common/products"

READS = [
    "/api/products",
    "/api/products/1",
    "/api/products/1/stock",
    "/api/products/1/movements",
    "/api/stock",
    "/api/changes",
    "/api/orders/",
    "/api/orders/1",
    "/api/reservations/1",
]
WRITES = [
    "/api/products/1/update-stock",
    "/api/orders",
    "/api/orders/1/cancel",
    "/api/reservations",
    "/api/reservations/1/confirm",
    "/api/reservations/1/release",
    "/api/stock/changes",
    "/api/catalog/products",
    "/api/catalog/products/7",
    "/api/catalog/import",
]
NOT_WRITES = [
    "/api/products/1/update-stocks",
    "/api/products/1/2/update-stock",
    "/api/products/1/update-stock/x",
    "/api/ordersX",
    "/api/reservationsX",
    "/api/reservations/1/confirmed",
    "/api/reservations/1/2/release",
    "/api/stock/changes/1",
]
# The one read that has the path of a write.
LIST_OF_ORDERS = ("GET", "/api/orders")
OUTSIDE = ["/", "/metrics", "/health", "/apix"]


def paths(ingresses):
    for ingress in ingresses:
        for rule in ingress["spec"]["rules"]:
            for path in rule.get("http", {}).get("paths", []):
                yield ingress, path["path"], path["backend"]["service"]["name"].removeprefix(
                    "fs-faststock-"
                )


def route_ingress_nginx(objects, request, method="GET"):
    """use-regex: all paths of the host are regular expressions, longest first, ignoring case, bound
    to the start only."""
    rules = sorted(paths(kinds(objects, "Ingress")), key=lambda rule: -len(rule[1]))
    return next((service for _, path, service in rules if re.match(path, request, re.I)), None)


def route_f5(objects, request, method="GET"):
    """A minion gives `location = "path"` with path-regex `exact`, `location ~ "^path"` with
    `case_sensitive`, a prefix location without; nginx takes the first kind before the first that
    matches of the second, else the longest of the third."""
    found = []
    for ingress, path, service in paths(kinds(objects, "Ingress")):
        kind = ingress["metadata"]["annotations"].get("nginx.org/path-regex")
        if kind == "exact":
            matches, rank = request == path, 10_000
        elif kind == "case_sensitive":
            matches, rank = re.match(path, request), 1_000
        else:
            matches, rank = request.startswith(path), len(path)  # whatever the pathType
        if matches:
            found.append((rank, service))
    return max(found, default=(0, None), key=lambda match: match[0])[1]


def route_gateway(objects, request, method="GET"):
    """Exact before the longest prefix before the method; regular expressions as the controller
    likes: here first."""
    def matches(match):
        if match.get("method", method) != method:
            return None
        kind, value = match["path"]["type"], match["path"]["value"]
        if kind == "RegularExpression" and re.fullmatch(value, request):
            return (3, 0, 0)
        if kind == "Exact" and request == value:
            return (2, 0, "method" in match)
        if kind == "PathPrefix" and (request == value or request.startswith(value + "/")):
            return (1, len(value), "method" in match)
        return None

    (route,) = kinds(objects, "HTTPRoute")
    found = [
        (rank, rule["backendRefs"][0]["name"].removeprefix("fs-faststock-"))
        for rule in route["spec"]["rules"]
        for match in rule["matches"]
        if (rank := matches(match))
    ]
    return max(found, default=(0, None))[1]


ROUTES = {"ingress-nginx": route_ingress_nginx, "f5": route_f5, "gateway": route_gateway}


def api_routes():
    """The table of the API, from its source: (method, path, service)."""
    names = dict(re.findall(r'#define (API_\w+) "([^"]+)"', (PRODUCTS / "api.h").read_text()))
    rows = re.findall(r'{"(\w+)", (API_\w+), "([\w-]+)"}', (PRODUCTS / "api.c").read_text())
    return [(method, names[path].replace("{id}", "7"), service) for method, path, service in rows]


@pytest.mark.parametrize("mode", ROUTES)
def test_each_route_of_the_api_reaches_its_service(mode):
    objects, route = render(*MODES[mode]), ROUTES[mode]
    routes = api_routes()
    assert {service for _, _, service in routes} == {"read-svc", "write-svc"}
    for method, path, service in routes:
        if (method, path) == LIST_OF_ORDERS and mode != "gateway":
            service = "write-svc"  # which sends it on to /api/orders/
        assert route(objects, path, method) == service, (method, path)


def test_each_route_of_the_api_reaches_its_service_by_method():
    objects = render(*MODES["gateway-method"])
    for method, path, service in api_routes():
        assert route_gateway(objects, path, method) == service, (method, path)


def test_the_helm_test_asks_for_each_path_of_the_api():
    script = (PRODUCTS.parents[1] / "helm/faststock/files/helm-test").read_text()
    asked = set(re.findall(r'^routed (\S+) "\$(\w+)"', script, re.M))
    for method, path, service in api_routes():
        if (method, path) == LIST_OF_ORDERS:
            continue  # its path is asked for with PUT, as that of a write
        variable = service.upper().replace("-", "_")
        assert (path.replace("/7", "/1"), variable) in asked, path


@pytest.mark.parametrize("mode", ROUTES)
def test_paths(mode):
    objects, route = render(*MODES[mode]), ROUTES[mode]
    assert {path: route(objects, path) for path in READS} == dict.fromkeys(READS, "read-svc")
    for method in ("POST", "PUT", "DELETE"):
        found = {path: route(objects, path, method) for path in WRITES}
        assert found == dict.fromkeys(WRITES, "write-svc")
    assert {path: route(objects, path) for path in NOT_WRITES} == dict.fromkeys(
        NOT_WRITES, "read-svc"
    )
    assert {path: route(objects, path) for path in OUTSIDE} == dict.fromkeys(OUTSIDE)


def console(value):
    return ["--set", f"readSvc.config.http.console={value}"]


@pytest.mark.parametrize("mode", ROUTES)
@pytest.mark.parametrize("value", ["on", "true"])
def test_the_pages_are_routed_where_they_are_on(mode, value):
    objects, route = render(*MODES[mode], *console(value)), ROUTES[mode]
    for path in ("/", "/problems/", "/problems/not-found", "/docs", "/docs/openapi.yaml"):
        assert route(objects, path) == "read-svc", path
    assert {path: route(objects, path) for path in OUTSIDE[1:]} == dict.fromkeys(OUTSIDE[1:])
    found = {path: route(objects, path, "POST") for path in WRITES}
    assert found == dict.fromkeys(WRITES, "write-svc")
    assert {route(objects, path) for path in READS} == {"read-svc"}


@pytest.mark.parametrize("mode", ROUTES)
def test_the_pages_are_on_in_kind_only(mode):
    for values, arguments in VALUES.items():
        objects = render(*arguments, *MODES[mode])
        assert ROUTES[mode](objects, "/") == ("read-svc" if values == "kind" else None), values
    for value in ("off", "false"):
        objects = render(*VALUES["kind"], *MODES[mode], *console(value))
        assert ROUTES[mode](objects, "/") is None
        assert ROUTES[mode](objects, "/problems/not-found") is None
        assert ROUTES[mode](objects, "/docs") is None


def test_the_helm_test_asks_for_the_page_where_it_is_on():
    def has_console(*arguments):
        (pod,) = kinds(render(*arguments), "Pod")
        (value,) = [
            variable.get("value")
            for container in pod["spec"]["containers"]
            for variable in container["env"]
            if variable["name"] == "HAS_CONSOLE"
        ]
        return value

    assert has_console() == "" and has_console(*VALUES["kind"]) == "true"


def test_gateway_by_method():
    objects = render(*MODES["gateway-method"])
    assert {route_gateway(objects, path, "GET") for path in READS + WRITES} == {"read-svc"}
    assert {
        route_gateway(objects, path, method)
        for path in WRITES
        for method in ("POST", "PATCH", "DELETE")
    } == {"write-svc"}


def test_an_import_may_be_long_and_nothing_else():
    nginx = "nginx.ingress.kubernetes.io/"
    ingress = one(render(), "Ingress", "-write-svc-import")["metadata"]["annotations"]
    assert (ingress[nginx + "proxy-body-size"], ingress[nginx + "proxy-read-timeout"]) == (
        "0",
        "600",
    )
    assert ingress[nginx + "proxy-request-buffering"] == "off"
    for other in ("-write-svc", "-read-svc"):
        ingress = one(render(), "Ingress", other)["metadata"]["annotations"]
        assert nginx + "proxy-body-size" not in ingress
        assert ingress[nginx + "proxy-read-timeout"] == "5"
    minion = one(render(*MODES["f5"]), "Ingress", "-write-svc-import")["metadata"]["annotations"]
    assert minion["nginx.org/client-max-body-size"] == "0"
    assert minion["nginx.org/proxy-read-timeout"] == "600s"
    for mode in ("gateway", "gateway-method"):
        (route,) = kinds(render(*MODES[mode]), "HTTPRoute")
        timeouts = [rule["timeouts"]["request"] for rule in route["spec"]["rules"]]
        assert timeouts == ["600s", "5s", "5s"]
        (match,) = route["spec"]["rules"][0]["matches"]
        assert match["path"] == {"type": "Exact", "value": "/api/catalog/import"}


def test_the_import_comes_before_the_catalogue():
    """Longest first, so the Ingress of the import is asked before that of the catalogue."""
    found = {path: i["metadata"]["name"] for i, path, _ in paths(kinds(render(), "Ingress"))}
    matching = [path for path in found if re.match(path, "/api/catalog/import", re.I)]
    assert found[max(matching, key=len)] == "fs-faststock-write-svc-import"


def test_rate_limit():
    read = one(render("--set", "routing.rateLimit.enabled=true"), "Ingress", "-read-svc")[
        "metadata"
    ]["annotations"]
    assert read["nginx.ingress.kubernetes.io/limit-rps"] == "100"
    minion = one(
        render(*MODES["f5"], "--set", "routing.rateLimit.enabled=true"), "Ingress", "-read-svc"
    )["metadata"]["annotations"]
    assert (
        minion["nginx.org/limit-req-rate"] == "100r/s"
        and minion["nginx.org/limit-req-reject-code"] == "429"
    )


def test_f5_master_and_minions():
    ingresses = {
        i["metadata"]["name"]: i
        for i in kinds(render(*MODES["f5"], "--set", "routing.tlsSecret=tls"), "Ingress")
    }
    master = ingresses.pop("fs-faststock")
    assert master["metadata"]["annotations"]["nginx.org/mergeable-ingress-type"] == "master"
    assert master["metadata"]["annotations"]["nginx.org/lb-method"] == "least_conn"
    assert master["metadata"]["annotations"]["nginx.org/keepalive"] == "64"
    assert all("http" not in rule for rule in master["spec"]["rules"])  # a master has no paths
    assert master["spec"]["tls"] == [{"hosts": ["stock.example.com"], "secretName": "tls"}]
    for minion in ingresses.values():
        assert minion["metadata"]["annotations"]["nginx.org/mergeable-ingress-type"] == "minion"
        assert "tls" not in minion["spec"]
        assert [rule["host"] for rule in minion["spec"]["rules"]] == ["stock.example.com"]


TWO = ["--set", "routing.hosts={a.example.com,b.example.com}"]


def hosts_and_paths(ingresses):
    """The paths that lead to each host, with the type of the object they are in."""
    found = {}
    for ingress in ingresses:
        kind = ingress["metadata"]["annotations"].get("nginx.org/mergeable-ingress-type")
        for rule in ingress["spec"]["rules"]:
            for path in rule.get("http", {}).get("paths", [{"path": None}]):
                found.setdefault(rule.get("host"), []).append((kind, path["path"]))
    return found


@pytest.mark.parametrize("mode", ["ingress-nginx", "f5"])
def test_several_hosts_are_served_alike(mode):
    alone = hosts_and_paths(kinds(render(*MODES[mode], *TWO[:1], "routing.hosts={a}"), "Ingress"))
    both = hosts_and_paths(kinds(render(*MODES[mode], *TWO), "Ingress"))
    assert both == {"a.example.com": alone["a"], "b.example.com": alone["a"]}


def test_several_hosts_share_the_certificate():
    arguments = [*TWO, "--set", "routing.tlsSecret=tls"]
    for ingress in kinds(render(*MODES["ingress-nginx"], *arguments), "Ingress"):
        assert ingress["spec"]["tls"] == [
            {"secretName": "tls", "hosts": ["a.example.com", "b.example.com"]}
        ]
    route = one(render(*MODES["gateway"], *TWO), "HTTPRoute", "")
    assert route["spec"]["hostnames"] == ["a.example.com", "b.example.com"]


def test_mode_none_has_no_routes():
    assert not [o for o in render(*MODES["none"]) if o["kind"] in ("Ingress", "HTTPRoute")]


ENVOY = [*MODES["gateway"], "--set", "routing.gateway.envoyPolicy.enabled=true"]


def envoy_policy(*arguments):
    return one(render(*ENVOY, *arguments), "BackendTrafficPolicy", "")["spec"]


def test_policy_of_envoy_gateway():
    assert not kinds(render(*MODES["gateway"]), "BackendTrafficPolicy")
    policy = envoy_policy("--set", "routing.timeouts.connect=3")
    (target,) = policy["targetRefs"]
    (route,) = kinds(render(*ENVOY), "HTTPRoute")
    assert (target["kind"], target["name"]) == ("HTTPRoute", route["metadata"]["name"])
    assert policy["timeout"]["tcp"] == {"connectTimeout": "3s"}
    assert "rateLimit" not in policy


def test_a_write_that_may_have_been_made_is_never_repeated():
    """A connection that failed carried nothing; a reset, a status or a timeout says less."""
    assert envoy_policy()["retry"] == {
        "numRetries": 2,
        "retryOn": {"triggers": ["connect-failure"]},
    }
    assert "retry" not in envoy_policy("--set", "routing.gateway.envoyPolicy.connectRetries=0")


@pytest.mark.parametrize(
    "settings, idle",
    [
        ("images.tag=x", "60000ms"),
        ("readSvc.config.http.keep_alive_timeout_ms=10000", "8000ms"),
        ("writeSvc.config.http.keep_alive_timeout_ms=1000", "800ms"),
        ("readSvc.config.http.keep_alive_timeout_ms=3600000", "60000ms"),
    ],
)
def test_the_gateway_closes_idle_connections_before_the_services_do(settings, idle):
    assert envoy_policy("--set", settings)["timeout"]["http"] == {"connectionIdleTimeout": idle}


def test_rate_limit_of_envoy_gateway():
    limit = envoy_policy("--set", "routing.rateLimit.enabled=true,routing.rateLimit.rps=7")
    rules = limit["rateLimit"]["local"]["rules"]
    assert [rule["limit"] for rule in rules] == [{"requests": 7, "unit": "Second"}] * 2
    assert [rule["clientSelectors"] for rule in rules] == [
        [{"sourceCIDR": {"type": "Distinct", "value": everything}}]
        for everything in ("0.0.0.0/0", "::/0")
    ]
