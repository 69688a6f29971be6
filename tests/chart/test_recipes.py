"""The values of docs/stores.md: each block renders, and leads the services where it says."""

import re

import pytest
import yaml

from rendering import ROOT, env, one, pod_spec, render

TEXT = (ROOT / "docs/stores.md").read_text(encoding="utf-8")
RECIPES = dict(re.findall(r"^## ([^\n]+)\n(?:(?!^## ).)*?^```yaml\n(.*?)^```", TEXT, re.M | re.S))


def test_each_chapter_has_values():
    assert list(RECIPES) == re.findall(r"^## (.*)$", TEXT, re.M) and len(RECIPES) == 7


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_renders(recipe, tmp_path):
    values = yaml.safe_load(RECIPES[recipe])
    file = tmp_path / "values.yaml"
    file.write_text(RECIPES[recipe])
    objects = render("--values", str(file))
    (read,) = pod_spec(one(objects, "Deployment", "-read-svc"))["containers"]
    (write,) = pod_spec(one(objects, "Deployment", "-write-svc"))["containers"]
    if "redis" in values:
        external = values["redis"]["external"]
        for host in external.get("sentinel", {}).get("hosts") or [external["host"]]:
            assert f"{host}:" in env(read)["REDIS_URL"]
    else:
        host = values["postgres"]["external"]["host"]
        assert f"@{host}:5432/" in env(write)["DIRECT_URL"]
