"""A strict reader of the Prometheus text format 0.0.4: any scraper accepts a text that it
accepts."""

import math
import re

from support.timing import eventually

NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"')
TYPES = {"counter", "gauge", "histogram", "summary", "untyped"}


class BadMetrics(AssertionError):
    pass


def _unescape(value):
    return re.sub(r"\\(.)", lambda found: "\n" if found[1] == "n" else found[1], value)


def _number(text, line):
    if text in ("+Inf", "-Inf", "NaN"):
        return float(text.replace("Inf", "inf"))
    if not re.fullmatch(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", text):
        raise BadMetrics(f"not a number: {line!r}")
    return float(text)


def _labels(text, line):
    labels, position = {}, 0
    while position < len(text):
        found = LABEL.match(text, position)
        if not found:
            raise BadMetrics(f"bad labels: {line!r}")
        if found[1] in labels:
            raise BadMetrics(f"a label is there twice: {line!r}")
        labels[found[1]] = _unescape(found[2])
        position = found.end()
        if position < len(text):
            if text[position] != ",":
                raise BadMetrics(f"bad labels: {line!r}")
            position += 1
    return labels


class Metrics:
    """One scrape. Series are keyed by (name, frozenset of label pairs)."""

    def __init__(self, text):
        self.series, self.types, self.helps = {}, {}, {}
        self._parse(text)
        self._check_families()

    # -- questions

    def value(self, name, **labels):
        """The value of exactly this series, 0 when it is not there (a counter that did not count
        yet)."""
        return self.series.get((name, frozenset(labels.items())), 0.0)

    def total(self, name, **labels):
        """The sum over every series of that name which has at least these labels."""
        wanted = set(labels.items())
        return sum(
            value
            for (other, pairs), value in self.series.items()
            if other == name and wanted <= pairs
        )

    def label_values(self, name, label):
        return {
            dict(pairs)[label]
            for (other, pairs) in self.series
            if other == name and label in dict(pairs)
        }

    # -- reading

    def _parse(self, text):
        if not text.endswith("\n"):
            raise BadMetrics("the last line has no line feed")
        current = None
        finished = set()
        for line in text[:-1].split("\n"):
            if not line:
                continue
            if line.startswith("#"):
                current = self._parse_comment(line, current, finished)
            else:
                current = self._parse_sample(line, current, finished)

    def _parse_comment(self, line, current, finished):
        parts = line.split(" ", 3)
        if len(parts) < 3 or parts[1] not in ("HELP", "TYPE"):
            return current  # a plain comment
        _, keyword, name = parts[:3]
        rest = parts[3] if len(parts) > 3 else ""
        if not NAME.fullmatch(name):
            raise BadMetrics(f"bad name: {line!r}")
        if name != current:
            if name in finished:
                raise BadMetrics(f"the lines of {name} are not together: {line!r}")
            if current:
                finished.add(current)
        known = self.helps if keyword == "HELP" else self.types
        if name in known:
            raise BadMetrics(f"{keyword} of {name} is there twice")
        if keyword == "TYPE" and rest not in TYPES:
            raise BadMetrics(f"unknown type: {line!r}")
        if keyword == "HELP" and re.sub(r"\\\\|\\n", "", rest).count("\\"):
            raise BadMetrics(f"bad escape: {line!r}")
        known[name] = rest
        return name

    def _parse_sample(self, line, current, finished):
        found = re.fullmatch(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)( -?\d+)?", line)
        if not found:
            raise BadMetrics(f"not a sample: {line!r}")
        name = found[1]
        family = self._family(name)
        if family not in self.types or family not in self.helps:
            raise BadMetrics(f"a sample without TYPE and HELP before it: {line!r}")
        if family != current:
            raise BadMetrics(f"the lines of {family} are not together: {line!r}")
        key = (name, frozenset(_labels(found[2] or "", line).items()))
        if key in self.series:
            raise BadMetrics(f"the series is there twice: {line!r}")
        self.series[key] = _number(found[3], line)
        return family

    def _family(self, name):
        for suffix in ("_bucket", "_sum", "_count"):
            base = name.removesuffix(suffix)
            if base != name and self.types.get(base) == "histogram":
                return base
        return name

    def _check_families(self):
        for (name, pairs), value in self.series.items():
            kind = self.types[self._family(name)]
            if (
                kind in ("counter", "histogram")
                and not name.endswith("_sum")
                and not (value >= 0 and math.isfinite(value))
            ):
                raise BadMetrics(f"{name}{dict(pairs)} is {value}")
        for family, kind in self.types.items():
            if kind == "histogram":
                self._check_histogram(family)

    def _check_histogram(self, family):
        buckets = {}
        for (name, pairs), value in self.series.items():
            if name == family:
                raise BadMetrics(f"the histogram {family} has a plain sample")
            if name == family + "_bucket":
                labels = dict(pairs)
                bound = labels.pop("le", None)
                if bound is None:
                    raise BadMetrics(f"a bucket of {family} without le")
                buckets.setdefault(frozenset(labels.items()), {})[_number(bound, bound)] = value
        sums = {pairs for (name, pairs) in self.series if name == family + "_sum"}
        counts = {
            pairs: value
            for (name, pairs), value in self.series.items()
            if name == family + "_count"
        }
        if not set(buckets) == sums == set(counts):
            raise BadMetrics(f"{family}: not every series has its buckets, sum and count")
        for pairs, by_bound in buckets.items():
            values = [by_bound[bound] for bound in sorted(by_bound)]
            if math.inf not in by_bound:
                raise BadMetrics(f"{family}{dict(pairs)} has no bucket +Inf")
            if values != sorted(values):
                raise BadMetrics(f"the buckets of {family}{dict(pairs)} fall: {values}")
            if by_bound[math.inf] != counts[pairs]:
                raise BadMetrics(f"{family}{dict(pairs)}: bucket +Inf and count differ")


def scrape(client):
    """The metrics of a service, from its ops port or its public one."""
    reply = client.get("/metrics")
    assert reply.status == 200, reply
    content_type = reply.header("Content-Type")
    assert content_type.startswith("text/plain; version=0.0.4"), content_type
    return Metrics(reply.body.decode("utf-8"))


def scrape_at_rest(client):
    """The metrics once nothing is under way: a request is counted after its answer was sent."""
    own = 1 if client.is_public else 0  # asking the public port is a request itself

    def at_rest():
        metrics = scrape(client)
        return metrics if metrics.total("http_requests_in_flight") == own else None

    return eventually(at_rest, f"all requests to {client} are counted")


class Change:
    """How counters change between entering and leaving a `with`: `change("name", label="value")`,
    summed over `clients`.

    A test that sends them requests must have the answers at both moments.
    """

    def __init__(self, *clients):
        self.clients = clients

    def __enter__(self):
        self.before = [scrape_at_rest(client) for client in self.clients]
        return self

    def __exit__(self, *_):
        self.after = [scrape_at_rest(client) for client in self.clients]

    def __call__(self, name, **labels):
        return sum(
            after.total(name, **labels) - before.total(name, **labels)
            for before, after in zip(self.before, self.after)
        )
