"""Usage: ./dev experiment [OPTIONS]            run one on the cluster that kubectl reaches
       ./dev experiment compare A B [--out FILE]   two runs in one report
       ./dev experiment report RUN                 write the report of a run again

A run sets the autoscaler of a service (an HPA, or one that KEDA makes), waits for calm, loads it
from a Job, samples until the replicas are back at their minimum, and puts the release's values back
as they were. Ctrl-C does that too.

  --service read-svc    read-svc, or write-svc

Options that are set for the time of the run; others stay as the release has them:
  --min N --max N       replicas
  --cpu-target PERCENT  mean CPU of the pods, in percent of their request
  --set KEY=VALUE       any value of the chart, e.g.
                        readSvc.autoscaling.behavior.scaleDown.stabilizationWindowSeconds=30
  --values FILE         a file of them, e.g. helm/faststock/values-keda.yaml; --set goes before it

The load: reads of stock (of write-svc: changes of it) at a rate that does not wait for answers
  --profile step        step (jump, hold, jump back), ramp (climb, hold, descend) or spike; begins
                        and ends at a tenth of the peak
  --rate 1000           requests a second at the peak
  --duration 3m         of the profile
  --tail 2m             how much longer the base rate lasts, so that the way down is under load
  --to ingress          through the ingress, straight to the `services`, or a URL
  --products 1000       ids that are asked for
  --vus 500             requests in flight at most; arrivals beyond are dropped (half the rate)
  --k6-cpu 1            CPU limit of the Job's pod
  --env NAME=VALUE      another setting of k6, e.g. K6_NO_CONNECTION_REUSE=true

The judgement:
  --slo 100             ms that 95 % of the answers of a second must keep

  --calm 3m             how long to wait for calm
  --settle 5m           how long to wait until the replicas have gone back
  --release, --namespace        (FASTSTOCK_RELEASE, FASTSTOCK_NAMESPACE, faststock)
  --out DIR             folder of the run                  (.run/experiments/<time>-<profile>)

Exit status: 0 when no request failed, 1 when some did, 2 for a wrong argument, 3 when the
experiment could not be run, 130 when it was interrupted. docs/experiments.md tells how to read the
report.
"""

import argparse
import os
import pathlib
import re
import signal
import sys
import time

from . import recording, report, run
from .cluster import ROOT, ClusterError

STATE = ROOT / os.environ.get("FASTSTOCK_RUN_DIR", ".run")


class Parser(argparse.ArgumentParser):
    def format_help(self):
        return __doc__

    def error(self, message):
        self.exit(2, f"error: {message} (./dev experiment --help tells more)\n")


def count(text):
    if not re.fullmatch(r"[1-9]\d*", text):
        raise argparse.ArgumentTypeError(f"'{text}' is no whole number from 1")
    return int(text)


def milliseconds(text):
    if not re.fullmatch(r"\d+(\.\d+)?", text) or float(text) == 0:
        raise argparse.ArgumentTypeError(f"'{text}' is no time above 0")
    return float(text)


def seconds(text):
    match = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", text)
    if not text or not match:
        raise argparse.ArgumentTypeError(f"'{text}' is no duration such as 45s or 1m30s")
    return sum(int(part or 0) * unit for part, unit in zip(match.groups(), (3600, 60, 1)))


def chart_value(text):
    if not re.fullmatch(r"[^=]+=.*", text, re.DOTALL):
        raise argparse.ArgumentTypeError(f"'{text}' is no KEY=VALUE")
    return text


def setting(text):
    if not re.fullmatch(r"[A-Z][A-Z0-9_]*=.*", text):
        raise argparse.ArgumentTypeError(f"'{text}' is no NAME=VALUE")
    return text


def parse(arguments):
    parser = Parser(prog="./dev experiment")
    add = parser.add_argument
    add("--service", choices=list(recording.SERVICES), default="read-svc")
    add("--profile", choices=["step", "ramp", "spike"], default="step")
    for name, default in [
        ("--min", None),
        ("--max", None),
        ("--cpu-target", None),
        ("--rate", 1000),
        ("--products", 1000),
        ("--vus", None),
    ]:
        add(name, type=count, default=default)
    for name, default in [
        ("--duration", "3m"),
        ("--tail", "2m"),
        ("--calm", "3m"),
        ("--settle", "5m"),
    ]:
        add(name, type=seconds, default=seconds(default))
    add("--slo", type=milliseconds, default=100)
    add("--set", action="append", default=[], type=chart_value, metavar="KEY=VALUE")
    add("--values", action="append", default=[], type=pathlib.Path)
    add("--env", action="append", default=[], type=setting, metavar="NAME=VALUE")
    add("--to", default="ingress")
    add("--k6-cpu")
    add("--release", default=os.environ.get("FASTSTOCK_RELEASE", "faststock"))
    add("--namespace", default=os.environ.get("FASTSTOCK_NAMESPACE", "faststock"))
    add("--out", type=pathlib.Path)
    options = parser.parse_args(arguments)
    if options.duration < 20:
        parser.error("--duration is less than 20 s")
    if options.rate < 2:
        parser.error("--rate is less than 2 a second: there would be no peak above the base load")
    if options.min and options.max and options.min > options.max:
        parser.error("--min is more than --max")
    options.out = (
        options.out or STATE / "experiments" / f"{time.strftime('%Y%m%d-%H%M%S')}-{options.profile}"
    )
    for file in options.values:
        if not file.is_file():
            parser.error(f"--values {file}: no such file")
    if options.out.exists():
        parser.error(f"{options.out} is there already")
    return options


def experiment(arguments):
    options = parse(arguments)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    return run.finish(run.conduct(options, options.out, run.command_line(arguments)))


def compare(arguments):
    parser = Parser(prog="./dev experiment compare")
    parser.add_argument("runs", type=pathlib.Path, nargs=2)
    parser.add_argument("--out", type=pathlib.Path)
    options = parser.parse_args(arguments)
    a, b = map(recording.read, options.runs)
    print(
        report.write_comparison(
            a, b, options.out or STATE / "experiments" / f"{a.name}-and-{b.name}.html"
        )
    )
    return 0


def write_again(arguments):
    parser = Parser(prog="./dev experiment report")
    parser.add_argument("run", type=pathlib.Path)
    return run.finish(recording.read(parser.parse_args(arguments).run))


def main(arguments):
    commands = {"compare": compare, "report": write_again}
    try:
        if arguments and arguments[0] in commands:
            return commands[arguments[0]](arguments[1:])
        return experiment(arguments)
    except (ClusterError, recording.RecordingError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        print("interrupted; the cluster is as it was", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
