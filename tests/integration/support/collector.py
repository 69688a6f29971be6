"""Receivers of OTLP/HTTP: one of a few lines, which does as it is told, and the real OpenTelemetry
Collector."""

import http.server
import json
import os
import re
import subprocess
import threading

import pytest

from support.service_process import free_port
from support.stack import ROOT
from support.timing import eventually


class Receiver:
    """Keeps the spans that it gets. `answers` are given first, as (status, headers, body); then
    200. Use as `with Receiver() as receiver:`."""

    def __init__(self, port=None):
        self.spans = []
        self.bodies = []
        self.requests = []  # (path, headers)
        self.answers = []
        self.port = port or free_port()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                receiver.take(self)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def take(self, handler):
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        status, headers, text = self.answers.pop(0) if self.answers else (200, {}, "{}")
        self.requests.append((handler.path, dict(handler.headers)))
        self.bodies.append(body)
        if status == 200:
            self.spans += spans_of(body)
        handler.send_response(status)
        for name, value in {"Content-Length": len(text), **headers}.items():
            handler.send_header(name, str(value))
        handler.end_headers()
        handler.wfile.write(text.encode())

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def trace(self, trace_id, wanted=None):
        """The spans of a trace, once its request is among them, and one called `wanted`."""

        def come():
            spans = [span for span in self.spans if span["traceId"] == trace_id]
            is_whole = any(span["kind"] == 2 for span in spans) and (
                wanted is None or any(span["name"] == wanted for span in spans)
            )
            return Trace(spans) if is_whole else None

        return eventually(come, f"the trace {trace_id} has come")


class Trace:
    def __init__(self, spans):
        self.spans = spans

    @property
    def request(self):
        (request,) = [span for span in self.spans if span["kind"] == 2]
        return request

    @property
    def names(self):
        return {span["name"] for span in self.spans}

    def named(self, name):
        found = [span for span in self.spans if span["name"] == name]
        assert found, f"no {name} among {sorted(self.names)}"
        return found[0]

    def path_of(self, name):
        """The names from the request down to a span."""
        by_id = {span["spanId"]: span for span in self.spans}
        span, names = self.named(name), []
        while span is not None:
            names.insert(0, span["name"])
            span = by_id.get(span["parentSpanId"])
        return names

    def check_times(self):
        """No span begins before its parent or ends after it."""
        by_id = {span["spanId"]: span for span in self.spans}
        assert len(by_id) == len(self.spans), "an id is used twice"
        for span in self.spans:
            parent = by_id.get(span["parentSpanId"])
            assert parent or span is self.request, f"{span} has no parent"
            if parent:
                assert int(parent["startTimeUnixNano"]) <= int(span["startTimeUnixNano"]), span
                assert int(span["endTimeUnixNano"]) <= int(parent["endTimeUnixNano"]), span


def spans_of(body):
    return [
        span
        for resource in body["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]


def attributes(owner):
    """{name: text or number} of a span or a resource."""
    return {
        one["key"]: one["value"].get("stringValue") or int(one["value"].get("intValue", 0))
        for one in owner["attributes"]
    }


class RealCollector:
    """The collector of `./dev collector`. Skips the test when it is not built and cannot be. Use
    as `with RealCollector(folder) as collector:`."""

    def __init__(self, folder):
        self.log = folder / "collector.log"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = None

    def __enter__(self):
        with open(self.log, "wb") as out:
            self.process = subprocess.Popen(
                [ROOT / "dev", "collector"],
                env={**os.environ, "FASTSTOCK_PORT_COLLECTOR": str(self.port)},
                stdout=out,
                stderr=out,
            )
        try:
            eventually(self._is_up, "the collector is ready", timeout=600, every=0.2)
        except BaseException:
            self.kill()
            raise
        return self

    def _is_up(self):
        text = self.log.read_text()
        if self.process.poll() is not None:
            pytest.skip(f"no OpenTelemetry Collector: {text.strip()}")
        return "Everything is ready" in text

    def kill(self):
        self.process.kill()
        self.process.wait()

    def __exit__(self, *_):
        self.kill()

    def spans(self, trace_id):
        """{name: {"id", "parent", "kind"}} of a trace, from what it has printed."""
        pattern = (
            r"Trace ID +: (\S+)\n +Parent ID +: (\S*)\n +ID +: (\S+)\n"
            r" +Name +: (.+)\n +Kind +: (\S+)"
        )
        return {
            name: {"id": id, "parent": parent, "kind": kind}
            for trace, parent, id, name, kind in re.findall(pattern, self.log.read_text())
            if trace == trace_id
        }
