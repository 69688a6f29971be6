"""The parts of `./dev load` and `./dev cluster-load` that make their report.

sample DIR        samples until SIGTERM, or until the process that started it is gone
report DIR        writes DIR/report.html
compare A B       writes the page of two runs, and prints its path
"""

import argparse
import contextlib
import datetime
import functools
import json
import os
import pathlib
import signal
import sys
import threading

from env import stack_env
from reporting.origin import ROOT, commit, machine
from reporting.rows import RecordingError

from . import cluster, recording, report, sampler

STATE = ROOT / os.environ.get("FASTSTOCK_RUN_DIR", ".run")


class Parser(argparse.ArgumentParser):
    def error(self, message):
        self.exit(2, f"error: {message} (./dev load --help tells more)\n")


def main(arguments):
    parser = Parser(prog="./dev load")
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("sample")
    command.add_argument("folder", type=pathlib.Path)
    command.add_argument("--scenario", required=True)
    command.add_argument("--target", required=True)
    command.add_argument("--command", required=True)
    command.add_argument("--stack", action="store_true", help="the target is the running stack")
    command.add_argument("--cluster", help="NAMESPACE/RELEASE that the load goes to")
    command.add_argument("--metrics", default="", help="operations addresses, comma-separated")
    command.set_defaults(run=sample)
    command = commands.add_parser("report")
    command.add_argument("folder", type=folder_of)
    command.add_argument("--status", type=int, help="with which k6 exited")
    command.set_defaults(run=write_report)
    command = commands.add_parser("compare")
    command.add_argument("a", type=folder_of)
    command.add_argument("b", type=folder_of)
    command.add_argument("--out", type=pathlib.Path)
    command.set_defaults(run=compare)
    options = parser.parse_args(arguments)
    try:
        return options.run(options)
    except (RecordingError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def folder_of(text):
    """A run by its folder, or by its name in the folder of all runs."""
    known = STATE / "load" / text
    return known if known.is_dir() and not pathlib.Path(text).is_dir() else pathlib.Path(text)


def sample(options):
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends k6, whose end is to be seen
    starter = os.getppid()
    with contextlib.ExitStack() as tidy:
        if options.cluster:
            pods = tidy.enter_context(cluster.Pods(*options.cluster.split("/")))
            instances, processes, facts = pods.instances, None, pods.describe()
        else:
            addresses = instances_of(options)
            scrapes = {
                name: functools.partial(sampler.scrape, addresses[name]) for name in addresses
            }
            instances, processes = lambda: scrapes, sampler.Processes(lambda: pids(options))
            facts = {"machine": machine(), "where": where()}
        sampling = sampler.Sampler(instances, processes, options.folder)
        manifest = {
            "name": options.folder.name,
            "scenario": options.scenario,
            "command": options.command,
            "target": options.target,
            "begin": now_text(),
            "commit": commit(),
            **facts,
        }
        sampling.start()
        while not ended.wait(0.5) and os.getppid() == starter:
            pass
        sampling.stop()
    manifest |= {"end": now_text(), "samples": sampling.samples, "problems": sampling.problems}
    write_manifest(options.folder, manifest)
    return 0


def where():
    found = machine()
    return f"k6 on {found['cpus']} CPUs ({found['cpu'] or found['architecture']})"


def instances_of(options):
    """{name: operations address}"""
    if not options.stack:
        given = [url.rstrip("/") for url in options.metrics.split(",") if url]
        return {url.partition("://")[2]: url for url in given}
    env = stack_env()
    return {
        f"{kind}-{i}": url
        for kind in ("read", "write")
        for i, url in enumerate(env[f"{kind.upper()}_OPS_URLS"].split(","), 1)
    }


def pids(options):
    """{name: pid} of the stack's processes, of which any may be started anew, and of k6."""
    records = [options.folder / "k6.pid"]
    if options.stack:
        records += (STATE / "pid").glob("*[!g]")  # not NAME.leaving
    found = {}
    for record in records:
        try:
            found[record.name.removesuffix(".pid")] = int(record.read_text().split()[0])
        except (OSError, ValueError, IndexError):
            continue  # not there yet, or not any more
    return found


def write_manifest(folder, manifest):
    (folder / "run.json").write_text(json.dumps(manifest, indent=2) + "\n")


def write_report(options):
    if options.status is not None:
        manifest = json.loads((options.folder / "run.json").read_text())
        write_manifest(options.folder, {**manifest, "status": options.status})
    print(report.write(recording.read(options.folder)))
    return 0


def compare(options):
    a, b = recording.read(options.a), recording.read(options.b)
    file = options.out or STATE / "load" / f"{a.name}-and-{b.name}.html"
    print(report.write_comparison(a, b, file))
    return 0


def now_text():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
