"""HTTP for the tests: whole replies over http.client."""

import http.client
import json
import threading
import time
from decimal import Decimal
from urllib.parse import urlsplit

from support.timing import scaled

TIMEOUT = scaled(10)

# A test compares what it reads with what it has written, so each read asks for what is published.
# A test of another freshness gives a Cache-Control of its own, or PLAIN for none.
SEES_WRITES = {"Cache-Control": "no-cache"}
PLAIN = {"Cache-Control": None}

# Of a product, in the order of its JSON.
PRODUCT_FIELDS = [
    "id",
    "sku",
    "name",
    "price",
    "stock",
    "reserved",
    "version",
    "createdAt",
    "updatedAt",
]


class Reply:
    """One reply, read to its end. `json()` keeps decimals exact."""

    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers  # [(name, value)] in the order sent
        self.body = body

    def header(self, name):
        """The value of a header that may be there once; None when it is not there."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(values) <= 1, f"{name} is there {len(values)} times: {values}"
        return values[0] if values else None

    def json(self):
        return json.loads(self.body, parse_float=Decimal)

    def __repr__(self):
        return f"<{self.status} {self.headers} {self.body[:400]!r}>"


def with_freshness(method, headers):
    """The headers of a request, with SEES_WRITES unless they say something themselves."""
    headers = dict(headers or {})
    if method in ("GET", "HEAD") and "cache-control" not in {name.lower() for name in headers}:
        headers.update(SEES_WRITES)
    return {name: value for name, value in headers.items() if value is not None}


class Connection:
    """One connection, kept alive as long as the server wants it, like a well-behaved client's. One
    thread only."""

    def __init__(self, base_url, timeout=TIMEOUT):
        url = urlsplit(base_url)
        self.http = http.client.HTTPConnection(url.hostname, url.port, timeout=timeout)

    def request(self, method, path, body=None, headers=None):
        """Sends a request (a `body` that is no bytes or str goes as JSON); raises OSError or
        HTTPException on a broken connection."""
        headers = with_freshness(method, headers)
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
            headers.setdefault("Content-Type", "application/json")
        try:
            self.http.request(method, path, body=body, headers=headers)
            response = self.http.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException):
            self.http.close()
            raise
        if (response.getheader("Connection") or "").lower() == "close":
            self.http.close()
        return Reply(response.status, response.getheaders(), content)

    def close(self):
        self.http.close()


class Client:
    """A server seen from a client without state: each request is a connection of its own. Safe to
    share between threads."""

    def __init__(self, base_url, name=None, is_public=True):
        """`is_public`: the port of the API, not the one of operations."""
        self.base_url = base_url
        self.name = name or base_url
        self.is_public = is_public

    def request(self, method, path, body=None, headers=None, timeout=TIMEOUT):
        connection = Connection(self.base_url, timeout)
        try:
            return connection.request(method, path, body, headers)
        finally:
            connection.close()

    def get(self, path, headers=None, **options):
        return self.request("GET", path, None, headers, **options)

    def head(self, path, headers=None, **options):
        return self.request("HEAD", path, None, headers, **options)

    def post(self, path, body, headers=None, **options):
        return self.request("POST", path, body, headers, **options)

    # The calls nearly every test makes.

    def product(self, id, headers=None):
        return self.get(f"/api/products/{id}", headers)

    def stock(self, id, headers=None):
        return self.get(f"/api/products/{id}/stock", headers)

    def update_stock(self, id, body, headers=None, **options):
        return self.post(f"/api/products/{id}/update-stock", body, headers, **options)

    def __repr__(self):
        return self.name


def insist(change):
    """Asks again as long as the answer is a 503 by which nothing was changed, as clients do. (On a
    disk that stalls for a moment the queue for one product gets longer than a request may take.)"""
    deadline = time.monotonic() + scaled(30)
    while True:
        reply = change()
        if (
            reply.status != 503
            or b"nothing was changed" not in reply.body
            or time.monotonic() > deadline
        ):
            return reply


def in_parallel(count, call):
    """Runs call(i) for i < count, all released at one moment; returns the results in order, raises
    the first error."""
    barrier = threading.Barrier(count)
    results, errors = [None] * count, []

    def run(i):
        try:
            barrier.wait(scaled(30))
            results[i] = call(i)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(i,), daemon=True) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(scaled(60))
        assert not thread.is_alive(), "a parallel call did not come back"
    if errors:
        raise errors[0]
    return results
