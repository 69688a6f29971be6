"""The numbers of a run, from its recording alone. Times are seconds; None where something did not
happen.

`rise` is when the planned rate leaves its base, `fall` when it leaves its peak, `base` when it is
back.
"""

import dataclasses
import math
import statistics

from reporting import counters

from . import profiles

SETTLED_S = (
    5  # a pod that has been ready for so long has been heard of by the ingress and takes its share
)


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
    fair: float | None  # the size of an equal share in those seconds
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
    calm = next(
        (row for row in reversed(rows) if row["time"] < rise), rows[0]
    )  # the base load may have wanted more than the least already
    first_up = first(rows, rise, lambda row: row["desired"] > calm["desired"])
    first_ready = first(rows, rise, lambda row: row["ready"] > calm["ready"])
    all_ready = first(rows, rise, lambda row: row["ready"] >= peak) if peak > least else None
    starts = [
        share.ready_after
        for share in pod_shares(run)
        if share.seen > 0 and share.ready_after is not None
    ]
    needed = replicas_needed(run)
    return [
        Figure(
            key="replicas_peak",
            label="Most replicas",
            value=peak,
            unit="",
            meaning=f"wanted at once; the run began with {least}",
        ),
        Figure(
            key="first_scale_up_s",
            label="Time to first scale-up",
            value=since(first_up, rise),
            unit="s",
            meaning="from the load's rise until the autoscaler wants more replicas",
        ),
        Figure(
            key="first_ready_s",
            label="Time to first new pod ready",
            value=since(first_ready, rise),
            unit="s",
            meaning="from the load's rise",
        ),
        Figure(
            key="all_ready_s",
            label="Time until all were ready",
            value=since(all_ready, rise),
            unit="s",
            meaning="from the load's rise until the most replicas are ready",
        ),
        Figure(
            key="pod_start_s",
            label="Start of a pod, median",
            value=statistics.median(starts) if starts else None,
            unit="s",
            meaning="from its appearance to ready",
        ),
        Figure(
            key="replicas_needed",
            label="Replicas needed",
            value=needed,
            unit="",
            meaning="by the CPU used in the second half of the peak, at the target",
        ),
        Figure(
            key="overshoot",
            label="Overshoot",
            value=max(0, peak - needed) if needed else None,
            unit="",
            meaning="most replicas less those needed",
        ),
    ]


def scaling_down(run):
    marks, rows, least = profiles.landmarks(run.stages), replicas(run), run.manifest["hpa"]["min"]
    peak = most(run, "desired")
    first_down = (
        first(rows, marks["fall"], lambda row: row["desired"] < peak) if peak > least else None
    )
    back = (
        first(rows, marks["base"], lambda row: row["desired"] <= least and row["existing"] <= least)
        if peak > least
        else None
    )
    counts = pod_counts(run)
    gone = (
        first(rows, back, lambda row: counts.get(row["time"], 0) <= least)
        if back is not None
        else None
    )
    return [
        Figure(
            key="first_scale_down_s",
            label="Time to first scale-down",
            value=since(first_down, marks["fall"]),
            unit="s",
            meaning="from the load's fall until fewer replicas are wanted",
        ),
        Figure(
            key="scale_down_lag_s",
            label="Scale-down lag",
            value=since(back, marks["base"]),
            unit="s",
            meaning=(
                "from the load being back at its base until the replicas are back at their minimum"
            ),
        ),
        Figure(
            key="last_pod_gone_s",
            label="Last pod gone",
            value=since(gone, marks["base"]),
            unit="s",
            meaning="the same until the last pod that ended has drained and gone",
        ),
    ]


def requests(run):
    summary, slo_ms = run.manifest["k6"]["all"], run.manifest["slo_ms"]
    violations = out_of_slo(run)
    peak = most(run, "desired")
    all_ready = first(
        replicas(run), profiles.landmarks(run.stages)["rise"], lambda row: row["ready"] >= peak
    )
    late = [
        second for second in violations if all_ready is not None and second > all_ready + SETTLED_S
    ]
    served = [row["requests"] - row["failed"] for row in run.load]
    return [
        Figure(
            key="requests",
            label="Requests",
            value=summary["requests"],
            unit="",
            meaning="that k6 has made",
        ),
        Figure(
            key="failed",
            label="Failed requests",
            value=summary["failed"],
            unit="",
            meaning="any status but 200, a timeout or a connection error",
        ),
        Figure(
            key="wrong",
            label="Wrong answers",
            value=summary["wrong_answers"],
            unit="",
            meaning="the failed ones are among them",
        ),
        Figure(
            key="dropped",
            label="Dropped arrivals",
            value=run.manifest["k6"]["dropped_arrivals"],
            unit="",
            meaning="not sent, as too many requests were waiting for an answer",
        ),
        Figure(
            key="out_of_slo_s",
            label="Seconds out of SLO",
            value=len(violations),
            unit="s",
            meaning=f"p95 above {slo_ms:g} ms, or a request failed or dropped",
        ),
        Figure(
            key="out_of_slo_late_s",
            label="of these with all replicas ready",
            value=len(late),
            unit="s",
            meaning=f"later than {SETTLED_S} s after the most replicas were ready",
        ),
        Figure(
            key="served_peak_rps",
            label="Most served",
            value=max(served),
            unit="/s",
            meaning="in one second",
        ),
        Figure(
            key="p50_ms",
            label="p50",
            value=summary["p50_ms"],
            unit="ms",
            meaning="of the whole run",
        ),
        Figure(
            key="p95_ms",
            label="p95",
            value=summary["p95_ms"],
            unit="ms",
            meaning="of the whole run",
        ),
        Figure(
            key="p99_ms",
            label="p99",
            value=summary["p99_ms"],
            unit="ms",
            meaning="of the whole run",
        ),
    ]


def cost(run):
    pod_seconds = replica_seconds(run)
    served = run.manifest["k6"]["all"]["requests"] - run.manifest["k6"]["all"]["failed"]
    cpu_seconds = sum(counters.used(rows, "cpu_seconds") for rows in pods_of(run).values())
    return [
        Figure(
            key="replica_seconds",
            label="Replica-seconds",
            value=pod_seconds,
            unit="s",
            meaning="pods, starting and ending ones too, times their lives during the load",
        ),
        Figure(
            key="cpu_seconds",
            label="CPU used",
            value=cpu_seconds,
            unit="s",
            meaning="by the service's processes",
        ),
        Figure(
            key="requests_per_replica_second",
            label="Served per replica-second",
            value=served / pod_seconds if pod_seconds else None,
            unit="",
            meaning="during the load",
        ),
    ]


def fairness(run):
    shares = [share.share for share in pod_shares(run) if share.share is not None]
    return [
        Figure(
            key="share_min",
            label="Smallest share of a pod",
            value=percent(min(shares, default=None)),
            unit="%",
            meaning="of an equal share; 100 % is fair",
        ),
        Figure(
            key="share_max",
            label="Largest share of a pod",
            value=percent(max(shares, default=None)),
            unit="%",
            meaning="the same",
        ),
    ]


def out_of_slo(run):
    """The seconds (their ends) that were out of the SLO for a client."""
    slo_ms = run.manifest["slo_ms"]
    return [
        row["time"]
        for row in run.load
        if row["failed"] or row["dropped"] or (row["p95_ms"] or 0) > slo_ms
    ]


def replicas_needed(run):
    marks, hpa = profiles.landmarks(run.stages), run.manifest["hpa"]
    used_cores = own_cpu(run, (marks["peak"] + marks["fall"]) / 2, marks["fall"])
    if used_cores is None or not hpa["cpu_request"] or not hpa["cpu_target"]:
        return None
    return min(
        hpa["max"],
        max(hpa["min"], math.ceil(used_cores / (hpa["cpu_request"] * hpa["cpu_target"] / 100))),
    )


def own_cpu(run, begin, end):
    """Cores that all pods together used from begin to end, by their own counters."""
    total = 0
    for rows in pods_of(run).values():
        total += counters.used([row for row in rows if begin <= row["time"] <= end], "cpu_seconds")
    return total / (end - begin) if end > begin and total else None


def replica_seconds(run):
    """Pods times seconds, from the load's begin to its planned end."""
    rows = [row for row in replicas(run) if row["time"] <= profiles.length(run.stages)]
    times = [max(0, row["time"]) for row in rows] + [profiles.length(run.stages)]
    counts = pod_counts(run)
    return sum(
        counts.get(row["time"], 0) * (after - before)
        for row, before, after in zip(rows, times, times[1:])
    )


def pod_shares(run):
    """The share of each pod of the service, in the order of their appearance."""
    together = ready_together(run)
    return sorted(
        (pod_share(run, pod, rows, together) for pod, rows in pods_of(run).items()),
        key=lambda share: (share.seen, share.pod),
    )


def ready_together(run):
    """{time: {pod: requests a second}} of the samples in which several pods had been ready for
    SETTLED_S."""
    found = {}
    for pod, rows in pods_of(run).items():
        ready_since = None
        for row, rate in zip(rows, counters.rates(rows, "requests")):
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
    return {
        time: rates
        for time, rates in found.items()
        if len(rates) >= 2 and len(rates) == ready[time]
    }


def pod_share(run, pod, rows, together):
    ready = [row for row in rows if takes_load(row)]
    rates = [
        (found[pod], statistics.mean(found.values())) for found in together.values() if pod in found
    ]
    last_sample = max(row["time"] for row in replicas(run))
    seconds = ready[-1]["time"] - ready[0]["time"] if ready else 0
    return PodShare(
        pod=pod,
        seen=rows[0]["time"],
        ready_after=ready[0]["time"] - rows[0]["time"] if ready else None,
        gone=rows[-1]["time"] if rows[-1]["time"] < last_sample - 1 else None,
        requests=counters.used(rows, "requests"),
        rps=statistics.mean(rate for rate, _ in rates) if rates else None,
        fair=statistics.mean(fair for _, fair in rates) if rates else None,
        own_cpu=counters.used(ready, "cpu_seconds") / seconds if seconds > 0 else None,
    )


def takes_load(row):
    return bool(row["ready"] and not row["ending"])


def replicas(run):
    return run.services[run.service]


def pods_of(run):
    return {pod: rows for pod, rows in run.pods.items() if rows[0]["service"] == run.service}


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
