"""The numbers of a run, from its recording alone. Times are seconds; None where something did not happen.

`rise` is when the planned rate leaves its base, `fall` when it leaves its peak, `base` when it is back.
"""

import dataclasses
import math
import statistics

from . import profiles
from .recording import SERVICE

RATE_SAMPLES = 3  # a pod's rate is over so many samples: when exactly within its scrape a pod has counted is not known
SETTLED_S = 5  # a pod that has been ready for so long has been heard of by the ingress and takes its share


@dataclasses.dataclass
class Figure:
    key: str
    label: str
    value: float | None
    unit: str
    meaning: str


@dataclasses.dataclass
class PodShare:
    pod: str
    seen: float  # when it appeared; before the load began for those that were there
    ready_after: float | None  # from appearing to ready
    gone: float | None
    requests: float
    rps: float | None  # mean while it was ready beside others
    fair: float | None  # what an equal share would have been in those seconds
    own_cpu: float | None  # mean cores while it was ready

    @property
    def share(self):
        return self.rps / self.fair if self.fair else None


def figures(run):
    """All of them, in groups: [(title, [Figure])]."""
    return [
        ("Scaling up", scaling_up(run)),
        ("Scaling down", scaling_down(run)),
        ("Cost", cost(run)),
        ("Requests", requests(run)),
        ("Fairness", fairness(run)),
    ]


def as_dict(groups):
    return {figure.key: figure.value for _, group in groups for figure in group}


def scaling_up(run):
    marks, rows, least = profiles.landmarks(run.stages), replicas(run), run.manifest["hpa"]["min"]
    rise, peak = marks["rise"], most(run, "desired")
    calm = next((row for row in reversed(rows) if row["time"] < rise), rows[0])  # the base load may have wanted more than the least already
    first_up = first(rows, rise, lambda row: row["desired"] > calm["desired"])
    first_ready = first(rows, rise, lambda row: row["ready"] > calm["ready"])
    all_ready = first(rows, rise, lambda row: row["ready"] >= peak) if peak > least else None
    starts = [share.ready_after for share in pod_shares(run) if share.seen > 0 and share.ready_after is not None]
    needed = replicas_needed(run)
    return [
        Figure("replicas_peak", "Most replicas", peak, "", f"wanted at once; the run began with {least}"),
        Figure("first_scale_up_s", "Time to first scale-up", since(first_up, rise), "s", "from the load's rise until the autoscaler wants more replicas"),
        Figure("first_ready_s", "Time to first new pod ready", since(first_ready, rise), "s", "from the load's rise"),
        Figure("all_ready_s", "Time until all were ready", since(all_ready, rise), "s", "from the load's rise until the most replicas are ready"),
        Figure("pod_start_s", "Start of a pod, median", statistics.median(starts) if starts else None, "s", "from its appearance to ready"),
        Figure("replicas_needed", "Replicas needed", needed, "", "by the CPU used in the second half of the peak, at the target"),
        Figure("overshoot", "Overshoot", max(0, peak - needed) if needed else None, "", "most replicas less those needed"),
    ]  # fmt: skip


def scaling_down(run):
    marks, rows, least = profiles.landmarks(run.stages), replicas(run), run.manifest["hpa"]["min"]
    peak = most(run, "desired")
    first_down = first(rows, marks["fall"], lambda row: row["desired"] < peak) if peak > least else None
    back = first(rows, marks["base"], lambda row: row["desired"] <= least and row["existing"] <= least) if peak > least else None
    counts = pod_counts(run)
    gone = first(rows, back, lambda row: counts.get(row["time"], 0) <= least) if back is not None else None
    return [
        Figure("first_scale_down_s", "Time to first scale-down", since(first_down, marks["fall"]), "s", "from the load's fall until fewer replicas are wanted"),
        Figure("scale_down_lag_s", "Scale-down lag", since(back, marks["base"]), "s", "from the load being back at its base until the replicas are back at their minimum"),
        Figure("last_pod_gone_s", "Last pod gone", since(gone, marks["base"]), "s", "the same until the last pod that ended has drained and gone"),
    ]  # fmt: skip


def requests(run):
    summary, slo_ms = run.manifest["k6"]["all"], run.manifest["slo_ms"]
    violations = out_of_slo(run)
    peak = most(run, "desired")
    all_ready = first(replicas(run), profiles.landmarks(run.stages)["rise"], lambda row: row["ready"] >= peak)
    late = [second for second in violations if all_ready is not None and second > all_ready + SETTLED_S]
    served = [row["requests"] - row["failed"] for row in run.load]
    return [
        Figure("requests", "Requests", summary["requests"], "", "that k6 has made"),
        Figure("failed", "Failed requests", summary["failed"], "", "any status but 200, a timeout or a connection error"),
        Figure("wrong", "Wrong answers", summary["wrong_answers"], "", "the failed ones are among them"),
        Figure("dropped", "Dropped arrivals", run.manifest["k6"]["dropped_arrivals"], "", "not sent, as too many requests were waiting for an answer"),
        Figure("out_of_slo_s", "Seconds out of SLO", len(violations), "s", f"p95 above {slo_ms:g} ms, or a request failed or dropped"),
        Figure("out_of_slo_late_s", "of these with all replicas ready", len(late), "s", f"later than {SETTLED_S} s after the most replicas were ready"),
        Figure("served_peak_rps", "Most served", max(served), "/s", "in one second"),
        Figure("p50_ms", "p50", summary["p50_ms"], "ms", "of the whole run"),
        Figure("p95_ms", "p95", summary["p95_ms"], "ms", "of the whole run"),
        Figure("p99_ms", "p99", summary["p99_ms"], "ms", "of the whole run"),
    ]  # fmt: skip


def cost(run):
    pod_seconds = replica_seconds(run)
    served = run.manifest["k6"]["all"]["requests"] - run.manifest["k6"]["all"]["failed"]
    cpu_seconds = sum(used(rows, "cpu_seconds") for rows in pods_of(run).values())
    return [
        Figure("replica_seconds", "Replica-seconds", pod_seconds, "s", "pods, starting and ending ones too, times their lives during the load"),
        Figure("cpu_seconds", "CPU used", cpu_seconds, "s", "by the service's processes"),
        Figure("requests_per_replica_second", "Served per replica-second", served / pod_seconds if pod_seconds else None, "", "during the load"),
    ]  # fmt: skip


def fairness(run):
    shares = [share.share for share in pod_shares(run) if share.share is not None]
    return [
        Figure("share_min", "Smallest share of a pod", percent(min(shares, default=None)), "%", "of what an equal share would have been; 100 % is fair"),
        Figure("share_max", "Largest share of a pod", percent(max(shares, default=None)), "%", "the same"),
    ]  # fmt: skip


def out_of_slo(run):
    """The seconds (their ends) in which a client did not get what the SLO promises."""
    slo_ms = run.manifest["slo_ms"]
    return [row["time"] for row in run.load if row["failed"] or row["dropped"] or (row["p95_ms"] or 0) > slo_ms]


def replicas_needed(run):
    marks, hpa = profiles.landmarks(run.stages), run.manifest["hpa"]
    used_cores = own_cpu(run, (marks["peak"] + marks["fall"]) / 2, marks["fall"])
    if used_cores is None or not hpa["cpu_request"] or not hpa["cpu_target"]:
        return None
    return min(hpa["max"], max(hpa["min"], math.ceil(used_cores / (hpa["cpu_request"] * hpa["cpu_target"] / 100))))


def own_cpu(run, begin, end):
    """Cores that all pods together used from begin to end, by their own counters."""
    total = 0
    for rows in pods_of(run).values():
        total += used([row for row in rows if begin <= row["time"] <= end], "cpu_seconds")
    return total / (end - begin) if end > begin and total else None


def replica_seconds(run):
    """Pods times seconds, from the load's begin to its planned end."""
    rows = [row for row in replicas(run) if row["time"] <= profiles.length(run.stages)]
    times = [max(0, row["time"]) for row in rows] + [profiles.length(run.stages)]
    counts = pod_counts(run)
    return sum(counts.get(row["time"], 0) * (after - before) for row, before, after in zip(rows, times, times[1:]))


def pod_shares(run):
    """What each pod of the service got, in the order of their appearance."""
    together = ready_together(run)
    return sorted((pod_share(run, pod, rows, together) for pod, rows in pods_of(run).items()), key=lambda share: (share.seen, share.pod))


def ready_together(run):
    """{time: {pod: requests a second}} of the samples in which several pods had been ready for SETTLED_S."""
    found = {}
    for pod, rows in pods_of(run).items():
        ready_since = None
        for row, rate in zip(rows, rates(rows, "requests")):
            if not takes_load(row):
                ready_since = None
                continue
            ready_since = row["time"] if ready_since is None else ready_since
            if row["time"] - ready_since >= SETTLED_S and rate is not None:
                found.setdefault(row["time"], {})[pod] = rate
    ready = {}
    for rows in pods_of(run).values():
        for row in rows:
            ready[row["time"]] = ready.get(row["time"], 0) + takes_load(row)
    return {time: rates for time, rates in found.items() if len(rates) >= 2 and len(rates) == ready[time]}


def pod_share(run, pod, rows, together):
    ready = [row for row in rows if takes_load(row)]
    rates = [(found[pod], statistics.mean(found.values())) for found in together.values() if pod in found]
    last_sample = max(row["time"] for row in replicas(run))
    seconds = ready[-1]["time"] - ready[0]["time"] if ready else 0
    return PodShare(
        pod=pod, seen=rows[0]["time"], ready_after=ready[0]["time"] - rows[0]["time"] if ready else None,
        gone=rows[-1]["time"] if rows[-1]["time"] < last_sample - 1 else None,
        requests=used(rows, "requests"),
        rps=statistics.mean(rate for rate, _ in rates) if rates else None,
        fair=statistics.mean(fair for _, fair in rates) if rates else None,
        own_cpu=used(ready, "cpu_seconds") / seconds if seconds > 0 else None,
    )  # fmt: skip


def takes_load(row):
    return bool(row["ready"] and not row["ending"])


def used(rows, counter):
    """By how much a counter of a pod went up. One that appears with the pod began at 0."""
    values = [row[counter] for row in rows if row[counter] is not None]
    return sum(after - before if after >= before else after for before, after in zip(values, values[1:]))


def rates(rows, counter):
    """What a counter of a pod did a second, at each of its samples; None where that cannot be told."""
    found = []
    for i, row in enumerate(rows):
        earlier = (r for r in rows[max(0, i - RATE_SAMPLES) : i] if r[counter] is not None)
        before = next(earlier, None)
        if before is None or row[counter] is None or row[counter] < before[counter] or row["scraped"] - before["scraped"] < 0.2:
            found.append(None)
        else:
            found.append((row[counter] - before[counter]) / (row["scraped"] - before["scraped"]))
    return found


def replicas(run):
    return run.services[SERVICE]


def pods_of(run, service=SERVICE):
    return {pod: rows for pod, rows in run.pods.items() if rows[0]["service"] == service}


def pod_counts(run):
    """{time: pods there were}, of the samples; ending ones count too."""
    counts = {}
    for rows in pods_of(run).values():
        for row in rows:
            counts[row["time"]] = counts.get(row["time"], 0) + 1
    return counts


def most(run, column):
    return max(row[column] for row in replicas(run) if row["time"] >= 0)


def first(rows, begin, condition):
    """The time of the first row from `begin` on for which the condition holds."""
    return next((row["time"] for row in rows if row["time"] >= begin and condition(row)), None)


def since(time, begin):
    return None if time is None else time - begin


def percent(share):
    return None if share is None else 100 * share
