"""HTTP byte by byte: for requests that no HTTP library would send, and for looking at the framing
of replies."""

import contextlib
import socket
import time
from urllib.parse import urlsplit

from support.http_client import TIMEOUT, Reply


class Hang(AssertionError):
    """The server neither answered nor closed the connection within the timeout."""


class RawConnection:
    """A TCP connection to a server. Reads are bounded by `timeout`, counted over one whole
    reply."""

    is_used_before = False  # see used_connections

    def __init__(self, base_url, timeout=TIMEOUT, source="", source_port=0):
        url = urlsplit(base_url)
        self.timeout = timeout
        self.socket = socket.create_connection(
            (url.hostname, url.port), timeout=timeout, source_address=(source, source_port)
        )
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        if self.is_used_before:
            for _ in range(3):
                self.send(request_bytes("GET", "/api/products/1/stock"))
                self.read_reply()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data, pieces_of=None, pause=0.0):
        """Sends data, whole or in pieces. A server that has closed meanwhile is no error here: the
        reply tells."""
        pieces = (
            [data]
            if not pieces_of
            else [data[i : i + pieces_of] for i in range(0, len(data), pieces_of)]
        )
        try:
            for piece in pieces:
                self.socket.sendall(piece)
                if pause:
                    time.sleep(pause)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def finish_sending(self):
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def _receive(self, deadline):
        """Adds the received bytes to the buffer; False at the end of the stream."""
        left = deadline - time.monotonic()
        if left <= 0:
            raise Hang(f"no whole reply within {self.timeout:g} s; so far: {self.buffer[:200]!r}")
        self.socket.settimeout(left)
        try:
            return bool(self.receive_some())
        except TimeoutError:
            raise Hang(
                f"no whole reply within {self.timeout:g} s; so far: {self.buffer[:200]!r}"
            ) from None

    def receive_some(self):
        """Adds the received bytes to the buffer and returns it, b"" at the end of the stream;
        socket.timeout when nothing comes."""
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            data = b""
        self.buffer += data
        return data

    def read_reply(self, head=False):
        """The next reply; None when the connection ends before one begins. Checks the framing of
        the reply."""
        deadline = time.monotonic() + self.timeout
        while b"\r\n\r\n" not in self.buffer:
            if not self._receive(deadline):
                assert not self.buffer, f"half a reply: {self.buffer[:400]!r}"
                return None
        block, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        lines = block.decode("latin-1").split("\r\n")
        version, status, _ = (lines[0] + "  ").split(" ", 2)
        assert (
            version in ("HTTP/1.1", "HTTP/1.0") and len(status) == 3 and status.isdigit()
        ), f"bad status line: {lines[0]!r}"
        headers = []
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            assert colon and name and name.strip() == name, f"bad header line: {line!r}"
            headers.append((name, value.strip()))
        reply = Reply(int(status), headers, b"")
        if head or reply.status in (204, 304) or reply.status < 200:
            return reply
        length = reply.header("Content-Length")
        assert length is not None and length.isdigit(), f"a reply without Content-Length: {reply}"
        while len(self.buffer) < int(length):
            assert self._receive(
                deadline
            ), f"the reply ends after {len(self.buffer)} of {length} bytes"
        reply.body, self.buffer = self.buffer[: int(length)], self.buffer[int(length) :]
        return reply

    def is_closed_by_server(self):
        """Waits for the end of the connection; False when something else arrives or the timeout
        runs out."""
        try:
            return not self.buffer and not self._receive(time.monotonic() + self.timeout)
        except Hang:
            return False


def request_bytes(method, target, headers=(), body=b"", host="faststock.test", version="HTTP/1.1"):
    """A request as bytes. A body brings its Content-Length; `headers` are (name, value) and go as
    they are."""
    as_bytes = lambda text: text if isinstance(text, bytes) else text.encode("latin-1")
    lines = [as_bytes(method) + b" " + as_bytes(target) + b" " + as_bytes(version)]
    if host is not None:
        lines.append(b"Host: " + as_bytes(host))
    lines += [as_bytes(name) + b": " + as_bytes(value) for name, value in headers]
    if body and not any(name.lower() == "content-length" for name, _ in headers):
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


@contextlib.contextmanager
def used_connections(are_used=True):
    """Each connection has had some requests before a test gets it. So it is parked at read-svc
    (common/http/parked.h)."""
    RawConnection.is_used_before = are_used
    yield
    RawConnection.is_used_before = False


def exchange(base_url, data, head=False, timeout=TIMEOUT):
    """Sends bytes on a new connection, returns the first reply (None: closed without one)."""
    with RawConnection(base_url, timeout) as connection:
        connection.send(data)
        return connection.read_reply(head)
