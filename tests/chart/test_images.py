"""One list of files makes the images: the Dockerfile copies them, .dockerignore lets them in, the
tag follows from them."""

import os
import re
import shutil
import subprocess

from rendering import ROOT

FILES = {
    "CMakeLists.txt",
    "CMakePresets.json",
    "common",
    "docs/openapi.yaml",
    "read-svc",
    "write-svc",
    "sql",
    "k8s/images",
}


def test_programs_and_chart_have_one_version():
    project = re.search(
        r"^project\(faststock VERSION (\S+)", (ROOT / "CMakeLists.txt").read_text(), re.M
    )
    chart = (ROOT / "helm/faststock/Chart.yaml").read_text()
    versions = dict(re.findall(r"^(version|appVersion): *(\S+)", chart, re.M))
    assert versions == {"version": project.group(1), "appVersion": project.group(1)}


def test_dockerfile_copies_them():
    copied = set()
    for sources in re.findall(
        r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.M
    ):
        copied |= set(sources.split())
    assert all((ROOT / path).exists() for path in copied)
    assert {"k8s/images" if path.startswith("k8s/images/") else path for path in copied} == FILES


def test_dockerignore_lets_them_in():
    rules = [
        line
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if not line.startswith("#")
    ]
    assert rules[0] == "*"
    assert set(rules[1:]) == {f"!{path}" for path in FILES}


def image_tag(root):
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("FASTSTOCK_")
    }
    result = subprocess.run(
        [root / "scripts/images", "--tag"], capture_output=True, text=True, env=environment
    )
    assert result.returncode == 0, result.stderr
    assert re.fullmatch(r"dev-[0-9a-f]{12}\n", result.stdout)
    return result.stdout


def test_tag_follows_from_them(tmp_path):
    """In a copy without git: the tag stays, a change of each makes another one, a change elsewhere
    does not."""
    for path in FILES | {"Dockerfile", ".dockerignore", "scripts", "local", "helm"}:
        copy, source = tmp_path / path, ROOT / path
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, copy) if source.is_dir() else shutil.copy(source, copy)
    tags = [image_tag(tmp_path)]
    (tmp_path / "local/new").write_text("new")
    assert image_tag(tmp_path) == tags[0]
    for path in sorted(FILES | {"Dockerfile", ".dockerignore"}):
        file = (
            next(f for f in sorted((tmp_path / path).rglob("*")) if f.is_file())
            if (tmp_path / path).is_dir()
            else tmp_path / path
        )
        file.write_text(file.read_text() + "\n")
        tags.append(image_tag(tmp_path))
    file.unlink()
    tags.append(image_tag(tmp_path))
    assert len(set(tags)) == len(tags)
