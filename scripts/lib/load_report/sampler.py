"""Each second a line per instance into metrics.ndjson and a row per process into processes.csv.

The numbers of an instance come from its /metrics, as they are there; CPU and memory of a process
from /proc, with those of its children, which PostgreSQL and nginx have. Both only ever read.
"""

import concurrent.futures
import csv
import json
import os
import threading
import time
import urllib.request

from reporting.counters import series

# Of /metrics only these are kept: what the report is drawn from.
FAMILIES = {
    "faststock_build_info",
    "faststock_cache_requests_total",
    "faststock_load_flights_shared_total",
    "faststock_pool_timeouts_total",
    "faststock_pool_wait_seconds_count",
    "faststock_pool_wait_seconds_sum",
    "faststock_store_errors_total",
    "faststock_watermark_age_seconds",
    "faststock_write_batch_commands_count",
    "faststock_write_batch_commands_sum",
    "faststock_write_wait_seconds_count",
    "faststock_write_wait_seconds_sum",
    "http_requests_in_flight",
    "http_requests_shed_total",
    "http_requests_total",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
}
PROCESS_COLUMNS = ["time", "process", "scraped", "cpu_seconds", "memory_bytes"]
MACHINE = "machine"  # the row of all that ran on it
TICKS, PAGE = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
MEMORY_PERIOD = 3  # samples: each one walks through the page tables of all processes


def kept(text):
    """The series of FAMILIES in a page of metrics, as {'name{labels}': value}."""
    return {
        f"{name}{{{labels}}}" if labels else name: value
        for name, labels, value in series(text)
        if name in FAMILIES
    }


def scrape(url):
    """/metrics of an operations address. Raises OSError when there is no answer in time."""
    begin = time.time()
    with urllib.request.urlopen(f"{url}/metrics", timeout=1) as answer:
        values = kept(answer.read().decode())
    return {"scraped": round((begin + time.time()) / 2, 3), "values": values}


class Processes:
    """CPU and memory of processes, each with all that descend from it.

    `find` tells {name: pid} anew for each sample, because a process may be started again.
    """

    def __init__(self, find, proc="/proc"):
        self._find, self._proc = find, proc
        self._memory = {}  # name -> bytes, as last measured
        self._samples = 0

    def rows(self, now):
        stats, wanted = self._stats(), self._find()
        children = {}
        for pid, (parent, _, _) in stats.items():
            children.setdefault(parent, []).append(pid)
        rows = [self._machine(now)]
        for name, pid in wanted.items():
            if pid in stats:
                rows.append(self._row(now, name, tree(pid, children), stats))
        self._samples += 1
        return rows

    def _stats(self):
        """{pid: (parent, CPU seconds, resident bytes)}; the seconds hold those of children that
        have ended."""
        found = {}
        for pid in filter(str.isdigit, os.listdir(self._proc)):
            try:
                with open(f"{self._proc}/{pid}/stat") as file:
                    fields = file.read().rpartition(")")[2].split()
            except OSError:
                continue  # it has ended
            seconds = sum(int(ticks) for ticks in fields[11:15]) / TICKS
            found[int(pid)] = (int(fields[1]), seconds, int(fields[21]) * PAGE)
        return found

    def _row(self, now, name, pids, stats):
        if name not in self._memory or self._samples % MEMORY_PERIOD == 0:
            self._memory[name] = sum(self._share(pid, stats[pid][2]) for pid in pids)
        return {
            "time": now,
            "process": name,
            "scraped": round(time.time(), 3),
            "cpu_seconds": round(sum(stats[pid][1] for pid in pids), 2),
            "memory_bytes": self._memory[name],
        }

    def _share(self, pid, resident):
        """Bytes of a process, shared pages by its share of them; all resident ones where that may
        not be known."""
        try:
            with open(f"{self._proc}/{pid}/smaps_rollup") as file:
                lines = [line.split() for line in file]
        except OSError:
            return resident
        return next((int(line[1]) * 1024 for line in lines if line[0] == "Pss:"), resident)

    def _machine(self, now):
        with open(f"{self._proc}/stat") as file:
            ticks = [int(field) for field in file.readline().split()[1:9]]
        with open(f"{self._proc}/meminfo") as file:
            memory = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in file}
        idle = ticks[3] + ticks[4]  # iowait is idle too
        return {
            "time": now,
            "process": MACHINE,
            "scraped": round(time.time(), 3),
            "cpu_seconds": round((sum(ticks) - idle) / TICKS, 2),
            "memory_bytes": memory["MemTotal"] - memory["MemAvailable"],
        }


def tree(root, children):
    found = [root]
    for pid in found:  # grows while it is walked
        found += children.get(pid, [])
    return found


class Sampler:
    """Samples in a thread of its own from start() to stop(), and then once more, so that what was
    counted last is in it.

    `instances` tells {name: function} for each sample; the function scrapes one. `processes` is
    None where the processes are not on this machine.
    """

    def __init__(self, instances, processes, folder):
        self._instances, self._processes = instances, processes
        self._metrics = open(folder / "metrics.ndjson", "w")
        self._table = open(folder / "processes.csv", "w", newline="")
        self._rows = csv.DictWriter(self._table, PROCESS_COLUMNS)
        self._scrapers = concurrent.futures.ThreadPoolExecutor(8)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.problems = {}  # what could not be had -> [how often, the last reason]
        self.samples = 0

    def start(self):
        self._rows.writeheader()
        self._thread.start()

    def stop(self):
        self._stop.set()
        self._thread.join()
        self._scrapers.shutdown()
        self._metrics.close()
        self._table.close()

    def _run(self):
        next_time = time.time()
        while True:
            ends = self._stop.is_set()
            self._sample(round(time.time(), 3))
            if ends:
                return
            next_time = max(next_time + 1, time.time() - 1)  # missed samples are not made up for
            self._stop.wait(max(0, next_time - time.time()))

    def _sample(self, now):
        try:
            instances = self._instances()
        except OSError as error:
            self._problem("the list of instances", error)
            instances = {}
        scrapes = {name: self._scrapers.submit(one) for name, one in instances.items()}
        if self._processes:
            try:
                self._rows.writerows(self._processes.rows(now))
            except OSError as error:
                self._problem("processes", error)
        for name, scrape_of_it in scrapes.items():
            try:
                sample = {"time": now, "instance": name, **scrape_of_it.result()}
            except (OSError, ValueError) as error:
                self._problem(f"/metrics of {name}", error)
                continue
            self._metrics.write(json.dumps(sample, separators=(",", ":")) + "\n")
        self._metrics.flush()
        self._table.flush()
        self.samples += 1

    def _problem(self, what, error):
        count, _ = self.problems.get(what, (0, ""))
        self.problems[what] = (count + 1, str(error))
