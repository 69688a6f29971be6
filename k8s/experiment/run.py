"""Conducts an experiment: settings, calm, load, samples, the way down, tidying up, report."""

import contextlib
import datetime
import json
import os
import shlex
import signal
import subprocess
import sys
import time

from reporting import k6, rows
from reporting.page import shown

from . import cluster, profiles, recording, report
from .cluster import ROOT, ClusterError
from .recording import SERVICES
from .sampler import KEDA_PREFIX, Sampler, metric_loads, metric_values, parse_quantity

LOAD_RELEASE = "load-ramp"  # the release of ./dev cluster-load ramp
QUIET_S = 5  # all must have been calm for so long
PROGRESS_S = 5


def conduct(options, folder, command):
    """Runs it all and returns the recording. On Ctrl-C, and on any error, the cluster is left as it
    was found."""
    began = time.monotonic()

    def step(message):
        with contextlib.suppress(
            OSError
        ):  # the terminal may be gone; there is still something to tidy up
            print(f"{time.monotonic() - began:5.0f}s  {message}", file=sys.stderr, flush=True)

    release = cluster.Release(options.release, options.namespace)
    revision = release.revision()
    settings = chart_settings(options)
    stages = profiles.make_stages(options.profile, options.rate, options.duration, options.tail)
    folder.mkdir(parents=True)
    with contextlib.ExitStack() as tidy:
        tidy.callback(remove_if_empty, folder)
        api = tidy.enter_context(cluster.Api())
        tidy.callback(restore, release, revision, settings or options.values, step)
        if settings or options.values:
            step(f"setting {' '.join([*map(str, options.values), *settings])}")
            release.change(settings, options.values)
        hpa = autoscaling(release, options.service)
        step(f"waiting for calm: {hpa['min']} replica(s), each metric below its target")
        release.scale(options.service, hpa["min"])
        wait_for_calm(api, release, options.service, hpa, options.calm)
        manifest = {
            "name": folder.name,
            "service": options.service,
            "command": command,
            "begin": now_text(),
            "profile": options.profile,
            "rate": options.rate,
            "to": options.to,
            "slo_ms": options.slo,
            "stages": stages,
            "hpa": hpa,
            "fullname": release.fullname,
            "cluster": cluster.describe(api, release),
        }
        sampler = Sampler(api, release, folder)
        tidy.callback(sampler.stop)
        sampler.start()
        first_event = time.time()
        run_load(tidy, options, release, stages, folder, sampler, step)
        wait_for_the_way_down(api, release, options, hpa, sampler, step)
        time.sleep(2)  # so that the last samples see the end
        sampler.stop()
        rows.write_rows(
            folder / "events.csv",
            recording.EVENT_COLUMNS,
            autoscaler_events(api, release, first_event),
        )
        write_manifest(folder, {**manifest, "end": now_text(), "problems": sampler.problems})
    for what, (count, reason) in sampler.problems.items():
        if count > sampler.samples / 10:
            print(
                f"warning: {what}: not had {count} times in {sampler.samples} samples: {reason}",
                file=sys.stderr,
            )
    return recording.read(folder)


def remove_if_empty(folder):
    """Of a run that was refused before it began, nothing is left."""
    with contextlib.suppress(OSError):
        folder.rmdir()


def chart_settings(options):
    """Values of the chart for the time of the experiment."""
    given = {
        "minReplicas": options.min,
        "maxReplicas": options.max,
        "targetCPUUtilization": options.cpu_target,
    }
    settings = [
        f"{SERVICES[options.service]}.autoscaling.{key}={value}"
        for key, value in given.items()
        if value is not None
    ]
    return settings + options.set


def restore(release, revision, is_changed, step):
    """Nothing interrupts this: a second Ctrl-C would leave the experiment's settings in the
    release."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    cluster.run(
        "helm", "uninstall", LOAD_RELEASE, "--namespace", release.namespace, "--ignore-not-found"
    )
    if is_changed:
        step(f"restoring the release's values (revision {revision})")
        release.restore(revision)


def autoscaling(release, service):
    """The settings of the service's autoscaler, and the CPU request behind its target."""
    key = SERVICES[service]
    values = release.values()[key]
    mode = values["autoscaling"]["mode"]
    if mode == "none":
        raise ClusterError(
            f"{key}.autoscaling.mode is none, the experiment needs hpa or keda: --set"
            f" {key}.autoscaling.mode=hpa"
        )
    a, resources = values["autoscaling"], values["resources"]
    return {
        "mode": mode,
        "name": f"{KEDA_PREFIX if mode == 'keda' else ''}{release.fullname}-{service}",
        "min": a["minReplicas"],
        "max": a["maxReplicas"],
        "cpu_target": a["targetCPUUtilization"],  # 0: CPU counts for nothing
        "behavior": a["behavior"],
        "cpu_request": cpu_of(resources, "requests"),
        "cpu_limit": cpu_of(resources, "limits"),
    }


def cpu_of(resources, kind):
    quantity = resources.get(kind, {}).get("cpu")
    return parse_quantity(str(quantity)) if quantity else None


def wait_for_calm(api, release, service, hpa, limit_s):
    """Until the replicas are at their minimum, all ready, none is ending, and the autoscaler sees
    them idle."""
    deadline, calm_since = time.monotonic() + limit_s, None
    while True:
        restless = restlessness(api, release, service, hpa)
        if restless:
            calm_since = None
        elif calm_since is None:
            calm_since = time.monotonic()
        elif time.monotonic() - calm_since >= QUIET_S:
            return
        if time.monotonic() > deadline:
            raise ClusterError(f"no calm within {limit_s} s: {restless or 'not for long enough'}")
        time.sleep(1)


def restlessness(api, release, service, hpa):
    """The reason why it is not calm yet, or ''."""
    name, namespace = f"{release.fullname}-{service}", release.namespace
    selector = (
        f"app.kubernetes.io/instance%3D{release.name},app.kubernetes.io/component%3D{service}"
    )
    deployment = api.json(f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}", timeout=10)
    autoscalers = api.json(
        f"/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers"
        f"?fieldSelector=metadata.name%3D{hpa['name']}",
        timeout=10,
    )["items"]
    pods = api.json(f"/api/v1/namespaces/{namespace}/pods?labelSelector={selector}", timeout=10)[
        "items"
    ]
    if not autoscalers:  # KEDA makes its own within seconds
        return f"there is no HPA {hpa['name']}"
    (autoscaler,) = autoscalers
    targets = metric_values(autoscaler["spec"].get("metrics"), "target")
    loads = metric_loads(autoscaler)
    if deployment["spec"]["replicas"] != hpa["min"]:
        return f"{deployment['spec']['replicas']} replicas are wanted"
    if deployment["status"].get("readyReplicas", 0) != hpa["min"] or len(pods) != hpa["min"]:
        return f"{deployment['status'].get('readyReplicas', 0)} of {len(pods)} pods are ready"
    for name in targets:
        if name not in loads:
            return f"the autoscaler does not see {name} (docs/experiments.md tells from where)"
        if loads[name] >= 100:
            return f"{name} is at {loads[name]:.0f} % of its target"
    return ""


def load_arguments(options, stages, out):
    """Of `./dev cluster-load ramp`."""
    # thresholds that hold: how slow is too slow, and how much is dropped, is for the report to say
    arguments = [
        "--to",
        options.to,
        "--stages",
        profiles.stages_text(stages),
        "--out",
        str(out),
        "--p95",
        "5000",
    ]
    for name, value in [
        ("--products", options.products),
        ("--vus", options.vus),
        ("--cpu", options.k6_cpu),
    ]:
        arguments += [name, str(value)] if value else []
    if options.service == "write-svc":
        arguments += ["--env", "REQUEST=write", "--env", "P95_WRITE_MS=5000"]
    for setting in (*options.env, "DROPPED_MAX=1000000000"):
        arguments += ["--env", setting]
    # the experiment has a sampler and a report of its own
    return [*arguments, "--no-report"]


def run_load(tidy, options, release, stages, folder, sampler, step):
    """Runs the scenario as a Job, showing progress, and takes k6's recording."""
    out = folder / "k6"
    arguments = load_arguments(options, stages, out)
    step(f"load for {profiles.length(stages)} s: {profiles.stages_text(stages)}")
    environment = {
        **os.environ,
        "FASTSTOCK_RELEASE": release.name,
        "FASTSTOCK_NAMESPACE": release.namespace,
    }
    with open(folder / "load.log", "w") as log:
        load = subprocess.Popen(
            [str(ROOT / "dev"), "cluster-load", "ramp", *arguments],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
    tidy.callback(end_group, load)
    show_until(lambda: load.poll() is not None, options.service, sampler, step)
    if not was_made(out):
        raise ClusterError(
            f"the load was not made; {folder / 'load.log'} ends"
            f" with\n{(folder / 'load.log').read_text()[-1000:]}"
        )


def was_made(out):
    """Whether k6 has done more than to look whether there are products."""
    if not (out / "record.ndjson").exists() or not (out / "summary.json").exists():
        return False
    return json.loads((out / "summary.json").read_text())["all"]["requests"] > 1


def end_group(process):
    """Ends the process and its children, if it still runs; it removes its Job itself."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)


def wait_for_the_way_down(api, release, options, hpa, sampler, step):
    """Sampling goes on until the replicas are back at their minimum and no pod is ending."""
    service, limit_s = options.service, options.settle
    deadline = time.monotonic() + limit_s
    selector = (
        f"app.kubernetes.io/instance%3D{release.name},app.kubernetes.io/component%3D{service}"
    )

    def is_down():
        latest = sampler.latest.get(options.service, {})
        pods = api.json(
            f"/api/v1/namespaces/{release.namespace}/pods?labelSelector={selector}", timeout=10
        )["items"]
        return latest.get("desired") == hpa["min"] and len(pods) <= hpa["min"]

    step(f"the load is over; waiting for {hpa['min']} replica(s), at most {limit_s} s")
    show_until(lambda: is_down() or time.monotonic() > deadline, service, sampler, step)
    if not is_down():
        print(
            f"warning: the replicas are not back at {hpa['min']} within {limit_s} s",
            file=sys.stderr,
        )


def show_until(done, service, sampler, step):
    shown = 0.0
    while not done():
        if time.monotonic() - shown >= PROGRESS_S and sampler.latest.get(service):
            shown = time.monotonic()
            row = sampler.latest[service]
            load = row.get("hpa_load_percent")
            seen = "?" if load is None else f"{row['hpa_load_metric']} at {load:.0f}"
            step(
                f"replicas {row['ready']} ready of {row['desired']} wanted   {seen} % of its"
                f" target   served {row['rps']:.0f}/s"
            )
        time.sleep(0.5)


def autoscaler_events(api, release, begin):
    """The events of the autoscalers since `begin`."""
    found = []
    for event in api.json(f"/api/v1/namespaces/{release.namespace}/events", timeout=10)["items"]:
        about = event["involvedObject"]
        scaled = about["name"].removeprefix(KEDA_PREFIX)
        at = event.get("lastTimestamp") or event.get("eventTime")
        if (
            about["kind"] != "HorizontalPodAutoscaler"
            or not scaled.startswith(release.fullname)
            or not at
        ):
            continue
        moment = datetime.datetime.fromisoformat(at.replace("Z", "+00:00")).timestamp()
        if moment >= begin - 1:
            service = scaled.removeprefix(f"{release.fullname}-")
            found.append(
                {
                    "time": moment,
                    "service": service,
                    "reason": event["reason"],
                    "message": event["message"],
                }
            )
    return sorted(found, key=lambda row: row["time"])


def write_manifest(folder, manifest):
    begin, load = k6.read(folder / "k6/record.ndjson")
    rows.write_rows(folder / "load.csv", k6.LOAD_COLUMNS, load)
    summary = json.loads((folder / "k6/summary.json").read_text())
    manifest |= {
        "load_begin": begin,
        "k6": {
            key: summary[key]
            for key in ("settings", "all", "endpoints", "dropped_arrivals", "passed")
        },
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")


def now_text():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")


def command_line(arguments):
    return shlex.join(["./dev", "experiment", *arguments])


def finish(run):
    """Writes the report and says the most important of it. Returns the exit status."""
    page = report.write(run)
    figures = json.loads((run.folder / "figures.json").read_text())
    for key, unit in [
        ("replicas_peak", ""),
        ("first_scale_up_s", "s"),
        ("first_ready_s", "s"),
        ("all_ready_s", "s"),
        ("out_of_slo_s", "s"),
        ("overshoot", ""),
        ("replica_seconds", "s"),
        ("scale_down_lag_s", "s"),
        ("requests", ""),
        ("failed", ""),
        ("dropped", ""),
        ("share_min", "%"),
        ("share_max", "%"),
    ]:
        print(f"{key:18} {shown(figures[key], unit)}")
    print(page)
    return 1 if figures["failed"] or figures["wrong"] else 0
