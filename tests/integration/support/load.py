"""A bounded background load, as clients make it: kept-alive connections, reads of every kind,
single changes.

Each reader compares its answer with the changes that were acknowledged before it asked: an answer
that is older, or that goes back, is a fault with any status. Everything else is a record, and the
test says which ones it expects.
"""

import contextlib
import http.client
import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

from support.http_client import Client, Connection
from support.ledger import assert_product_ledger
from support.timing import eventually, scaled


@dataclass
class Record:
    """One request's end."""

    kind: str  # "read" or "write"
    started: float  # on the monotonic clock
    seconds: float
    outcome: object  # the status, or the name of an exception
    reply: object = None  # the reply, of anything but a 200
    tier: str = ""  # of a read: detail of Cache-Status


@dataclass
class Load:
    """Use as `with Load(...) as load:`; requests run until the end of the block."""

    base_url: str
    database: object
    products: int = 12
    readers: int = 5
    writers: int = 2
    pause: float = 0.004
    write_url: str = ""  # where the changes go; "": to base_url
    bound: float = 0  # an answer may lack changes that were acknowledged so many seconds ago
    records: list = field(default_factory=list)
    wrong: list = field(default_factory=list)

    def __enter__(self):
        self.stock = 1_000_000
        self.ids = self.database.create_products(self.products, stock=self.stock)
        client = Client(self.base_url)
        eventually(
            lambda: all(client.stock(id).status == 200 for id in self.ids),
            "the products of the load are known",
        )
        self.acknowledged = dict.fromkeys(self.ids, (1, self.stock))
        self.history = {id: [(time.monotonic(), 1, self.stock)] for id in self.ids}
        self.applied = {id: [] for id in self.ids}
        self.unsure = {id: [] for id in self.ids}
        self.lock = threading.Lock()
        self.end = threading.Event()
        self.threads = [
            threading.Thread(target=self._run, args=(self._read, n), daemon=True)
            for n in range(self.readers)
        ]
        self.threads += [
            threading.Thread(target=self._run, args=(self._write, n), daemon=True)
            for n in range(self.writers)
        ]
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.end.set()
        for thread in self.threads:
            thread.join(scaled(30))
            if thread.is_alive():
                raise AssertionError("a client of the load hangs")

    # -- the clients

    def _run(self, step, seed):
        chance = random.Random(seed)
        is_write = step == self._write
        connection = Connection(self.write_url if is_write and self.write_url else self.base_url)
        seen = {}
        while not self.end.is_set():
            step(connection, chance, seen)
            time.sleep(self.pause)
        connection.close()

    def _request(self, kind, connection, method, path, body=None):
        started = time.monotonic()
        reply, tier = None, ""
        try:
            reply = connection.request(method, path, body)
            outcome = reply.status
            tier = (reply.header("Cache-Status") or "").rpartition("detail=")[2]
        except (OSError, http.client.HTTPException) as error:
            outcome = type(error).__name__
        record = Record(
            kind,
            started,
            time.monotonic() - started,
            outcome,
            None if outcome == 200 else reply,
            tier,
        )
        with self.lock:
            self.records.append(record)
        return reply if outcome == 200 else None, outcome

    def _known(self):
        """The newest version and stock of each product that an answer must have."""
        until = time.monotonic() - self.bound
        with self.lock:
            if not self.bound:
                return dict(self.acknowledged)
            return {
                id: max(((version, stock) for at, version, stock in acks if at <= until),
                        default=(1, self.stock))
                for id, acks in self.history.items()
            }

    def _read(self, connection, chance, seen):
        some = chance.sample(self.ids, 3)
        path, many = chance.choice(
            [
                (f"/api/products/{some[0]}", False),
                (f"/api/products/{some[0]}/stock", False),
                (f"/api/stock?ids={some[0]},{some[1]},{some[2]}", True),
            ]
        )
        known = self._known()
        reply, _ = self._request("read", connection, "GET", path)
        if reply is None:
            return
        body = reply.json()
        views = body["data"] if many else [body]
        if many and len(views) != 3:
            self.wrong.append(f"{path}: {body}")
        for view in views:
            id, version = view["id"], view["version"]
            if version < known[id][0]:
                self.wrong.append(
                    f"{path}: version {version} when {known[id][0]} was acknowledged; "
                    f"{reply.header('Cache-Status')}"
                )
            if version == known[id][0] and view["stock"] != known[id][1]:
                self.wrong.append(
                    f"{path}: stock {view['stock']}, not {known[id][1]}, at version {version}"
                )
            if version < seen.get(id, 0) and not self.bound:
                self.wrong.append(
                    f"{path}: version {version} after {seen[id]} had been seen; "
                    f"{reply.header('Cache-Status')}"
                )
            seen[id] = max(version, seen.get(id, 0))

    def _write(self, connection, chance, seen):
        id, delta = chance.choice(self.ids), chance.choice([-2, -1, 1, 3])
        reply, outcome = self._request(
            "write", connection, "POST", f"/api/products/{id}/update-stock", {"delta": delta}
        )
        with self.lock:
            if reply is not None:
                body = reply.json()
                self.applied[id].append(delta)
                self.acknowledged[id] = max(self.acknowledged[id], (body["version"], body["stock"]))
                self.history[id].append((time.monotonic(), body["version"], body["stock"]))
            elif not isinstance(outcome, int) or outcome >= 500:
                self.unsure[id].append(delta)

    # -- the result

    def run_for(self, seconds, at_least=0):
        """Lets the load run, until it has done so many requests; returns the records of that time
        alone."""
        begin = time.monotonic()
        time.sleep(scaled(seconds))
        eventually(lambda: len(self.since(begin)) >= at_least, f"{at_least} requests are done")
        return self.since(begin)

    @contextlib.contextmanager
    def records_of_block(self):
        """Gives a list that holds, after the block, the records of requests that began in it."""
        begin, found = time.monotonic(), []
        yield found
        found += self.since(begin)

    def since(self, begin):
        with self.lock:
            return [record for record in self.records if record.started >= begin]

    def assert_right(self):
        """After the block: no answer was wrong, and the ledger has every acknowledged change."""
        assert self.wrong == [], f"{len(self.wrong)} wrong answers: {self.wrong[:5]}"
        for id in self.ids:
            assert_product_ledger(self.database, id, self.stock, self.applied[id], self.unsure[id])


def outcomes(records, kind=None):
    """How often each outcome is there, as a dict."""
    return dict(Counter(record.outcome for record in records if kind in (None, record.kind)))


def failures(records, kind=None):
    return [record for record in records if kind in (None, record.kind) and record.outcome != 200]


def tiers(records):
    return {record.tier for record in records if record.kind == "read" and record.outcome == 200}
