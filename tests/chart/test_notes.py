"""The notes after an installation: commands to copy, that fit the values."""

import pytest

from rendering import CHART, MODES, run_helm


def notes(*arguments):
    # helm template leaves the notes out
    result = run_helm(
        "install", "fs", str(CHART), "--namespace", "stock", "--dry-run=client", *arguments
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.partition("\nNOTES:\n")[2]


def test_the_page_is_told_where_it_is_on_and_routed():
    on = ["--set", "readSvc.config.http.console=on,routing.hosts={stock.example.com}"]
    assert "http://stock.example.com/\n" in notes(*on)
    assert "a browser" not in notes() and "a browser" not in notes(*on, *MODES["none"])


def test_a_url_with_a_question_mark_is_quoted():
    """A shell such as zsh takes it for a pattern."""
    for mode in ("ingress-nginx", "gateway", "none"):
        lines = [
            line for line in notes("--set", f"routing.mode={mode}").splitlines() if "?" in line
        ]
        assert lines and all("'http" in line or '"http' in line for line in lines)


@pytest.mark.parametrize(
    "settings, says",
    [
        (
            "routing.hosts={stock.example.com},routing.tlsSecret=tls",
            "curl 'https://stock.example.com/api/products?limit=3'",
        ),
        ("routing.mode=none", "port-forward service/fs-faststock-write-svc 8081:http"),
        (
            "writeSvc.tokensSecret=tokens",
            "update-stock -H 'Content-Type: application/json' -H \"Authorization: Bearer $TOKEN\"",
        ),
        ("postgres.bundled.storageSize=", "its data go with its pod"),
        ("postgres.bundled.keep=true", "Its volume and password stay"),
    ],
)
def test_commands_fit_the_values(settings, says):
    assert says in notes("--set", settings)


GATEWAY = "routing.mode=gateway,routing.gateway.parentRefs[0].name=edge"


@pytest.mark.parametrize(
    "settings, says",
    [
        (GATEWAY, "kubectl --namespace stock get gateway edge"),
        (GATEWAY, "{.spec.listeners[0].port}"),
        (GATEWAY, 'curl "http://$GATEWAY/api/products?limit=3"'),
        (GATEWAY, "routing.gateway.envoyPolicy.enabled"),
        (f"{GATEWAY},routing.gateway.parentRefs[0].namespace=infra", "--namespace infra get"),
        (
            f"{GATEWAY},routing.gateway.parentRefs[0].sectionName=web",
            '{.spec.listeners[?(@.name=="web")].port}',
        ),
        (f"{GATEWAY},routing.gateway.parentRefs[0].port=81", "{.spec.listeners[?(@.port==81)]"),
        (
            f"{GATEWAY},routing.hosts={{a.example.com}}",
            'curl --connect-to "::$GATEWAY" "http://a.example.com/api/products/1/update-stock"',
        ),
    ],
)
def test_the_address_is_that_of_the_gateway(settings, says):
    assert says in notes("--set", settings)


def test_a_policy_leaves_nothing_to_set_at_the_gateway():
    assert "no words" not in notes(
        "--set", f"{GATEWAY},routing.gateway.envoyPolicy.enabled=true"
    )
