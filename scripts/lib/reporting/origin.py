"""Where a run was made: the repository's commit, and this machine."""

import os
import pathlib
import platform
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[3]


def commit():
    """The repository's commit, with a + when files differ from it; empty outside a repository."""
    head = git("rev-parse", "--short=12", "HEAD")
    return head + ("+" if head and git("status", "--porcelain", "--untracked-files=no") else "")


def git(*arguments):
    """What git says, or nothing where it cannot."""
    try:
        done = subprocess.run(
            ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def machine():
    return {
        "cpus": os.cpu_count(),
        "cpu": first_of("/proc/cpuinfo", "model name"),
        "memory": first_of("/proc/meminfo", "MemTotal"),
        "os": first_of("/etc/os-release", "PRETTY_NAME", "=").strip('"'),
        "kernel": platform.release(),
        "architecture": platform.machine(),
    }


def first_of(file, name, separator=":"):
    """The value of the first line with that name; empty where there is none."""
    try:
        lines = pathlib.Path(file).read_text().splitlines()
    except OSError:
        return ""
    pairs = (line.partition(separator) for line in lines)
    return next((value.strip() for key, _, value in pairs if key.strip() == name), "")
