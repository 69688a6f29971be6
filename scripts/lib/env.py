"""The running stack's URLs and pids, as `./dev env` tells them, for the commands that are written
in Python."""

import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def stack_env():
    """A dict of the names that `./dev env --help` lists; ends the program when the stack does not
    answer."""
    result = subprocess.run([os.path.join(ROOT, "dev"), "env"], capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(f"./dev env failed: {result.stderr.strip()[-500:]}")
    pairs = (line.removeprefix("export ").partition("=") for line in result.stdout.splitlines())
    return {name: value.strip("'") for name, _, value in pairs}
