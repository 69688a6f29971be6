"""The notes after an installation: commands to copy, that fit the values."""

import pytest
from rendering import CHART, run_helm


def notes(*arguments):
    # helm template leaves the notes out
    result = run_helm(
        "install", "fs", str(CHART), "--namespace", "stock", "--dry-run=client", *arguments
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.partition("\nNOTES:\n")[2]


def test_a_url_with_a_question_mark_is_quoted():
    """A shell such as zsh takes it for a pattern."""
    for mode in ("ingress-nginx", "gateway", "none"):
        lines = [
            line for line in notes("--set", f"routing.mode={mode}").splitlines() if "?" in line
        ]
        assert lines and all("'http" in line for line in lines)


@pytest.mark.parametrize(
    "settings, says",
    [
        (
            "routing.host=stock.example.com,routing.tlsSecret=tls",
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
