"""Bad input: each case has its answer, a problem, and the service goes on as the same process.

A case never ends in a 500 or in silence: every read is bounded by the timeout of the connection.
"""

import contextlib
import gzip
import socket
import time

import pytest

from support.http_client import Client
from support.metrics_text import Change
from support.problems import assert_problem
from support.raw_http import RawConnection, request_bytes, used_connections
from support.service_process import ServiceProcess
from support.timing import scaled

pytestmark = pytest.mark.quick

JSON = [("Content-Type", "application/json")]
BAD_IDS = [
    "0", "-1", "-0", "+1", "01", "00", "1.0", "1e3", "0x1", "abc", "1a", "a1",
    "9223372036854775808", "18446744073709551616",
    "18446744073709551617", "1%20", "%201", "%00", "1%00", "1%002", "%31%00", "1;2", "1,2",
    "%D9%A1", "%FF", "%C3%28", "%ED%A0%80", "null",
    "NaN", "*", "1'%20OR%20'1'='1", "1%0d%0aX-Evil:%20yes", "%2e", "%", "%3", "%zz", "${1}",
    "9" * 50, "9" * 2000,
]


@pytest.fixture(scope="module")
def product_id(database):
    return database.create_product(stock=5)


def short(text):
    text = text if isinstance(text, str) else repr(text)
    return text if len(text) <= 40 else f"{text[:30]}...({len(text)})"


def still_serves(client, pid):
    health = client.get("/health")
    assert (
        health.status == 200 and health.json()["pid"] == pid
    ), "the service has died and come back"


@pytest.fixture(autouse=True, params=[False, True], ids=["new", "used"])
def connections(request):
    """On a used connection read-svc may answer another way (common/http/parked.h)."""
    with used_connections(request.param):
        yield


@pytest.fixture
def reader(stack):
    client = stack.reads[0]
    pid = client.get("/health").json()["pid"]
    yield client
    still_serves(client, pid)


@pytest.fixture
def writer(stack, database, product_id):
    """A write-svc. Nothing that is sent to it may change the product."""
    client = stack.writes[0]
    pid = client.get("/health").json()["pid"]
    version = database.product(product_id)["version"]
    yield client
    still_serves(client, pid)
    assert (
        database.product(product_id)["version"] == version
    ), "a bad request has changed the product"


def answer(client: Client, data, head=False, finish=False):
    with RawConnection(client.base_url) as connection:
        connection.send(data)
        if finish:
            connection.finish_sending()
        return connection.read_reply(head)


def assert_refused(reply, statuses=(400,), field=None):
    """A problem of one of these statuses; None among them allows the connection to be closed
    without an answer."""
    if reply is None:
        assert None in statuses, "closed without an answer"
        return
    assert reply.status in statuses, reply
    assert_problem(reply, reply.status, field=field)


# -- ids


@pytest.mark.parametrize("id", BAD_IDS, ids=short)
@pytest.mark.parametrize("what", ["", "/stock"], ids=["product", "stock"])
def test_bad_id_of_a_read(reader, id, what):
    assert_refused(
        answer(reader, request_bytes("GET", f"/api/products/{id}{what}")),
        field=None if "%" in id else "id",
    )


@pytest.mark.parametrize("id", BAD_IDS, ids=short)
def test_bad_id_of_a_write(writer, id):
    data = request_bytes("POST", f"/api/products/{id}/update-stock", JSON, b'{"delta":1}')
    assert_refused(answer(writer, data), field=None if "%" in id else "id")


def test_percent_encoded_id(reader, product_id):
    """%31 is "1" for some: either it is refused, or it means that product."""
    encoded = "".join(f"%{ord(digit):02x}" for digit in str(product_id))
    reply = answer(reader, request_bytes("GET", f"/api/products/{encoded}"))
    if reply.status == 200:
        assert reply.json()["id"] == product_id
    else:
        assert_refused(reply, (400, 404))


# -- query parameters

BAD_QUERIES = [
    *[("/api/products", f"page={value}", "page") for value in
      ["", "0", "-1", "+1", "01", "abc", "1.5", "1e2", "0x1", "9223372036854775808", "9" * 60,
       "1%20", "%201", "%00", "1%00", "%FF", "1,2", "null"]],
    *[("/api/products", f"limit={value}", "limit") for value in
      ["", "0", "101", "-1", "abc", "1.5", "1e1", "4294967297", "18446744073709551617", "9" * 60,
       "%00", "10%00", "10;"]],
    *[("/api/products", f"after={value}", "after") for value in
      ["", "-1", "abc", "1.5", "9223372036854775808", "9" * 60, "%00", "1%00", "null"]],
    *[("/api/stock", f"ids={value}", "ids") for value in
      ["", ",", "1,", ",1", "1,,2", "0", "1,0", "-1", "a", "1,a", "1.0", "1;2", "1%202", "1,%202",
       "9223372036854775808", "%00", "1%00", "1%2C",
       "null", "[1,2]", ",".join(["1"] * 101), "1," * 3000]],
    ("/api/stock", "", "ids"),
    ("/api/stock", "id=1", "id"),
    ("/api/products", "page=1&page=2", "page"),
    ("/api/products", "page=1&page=1", "page"),
    ("/api/products", "limit=1&page=1&limit=2", "limit"),
    ("/api/products", "after=1&after=2", "after"),
    ("/api/stock", "ids=1&ids=2", "ids"),
    ("/api/products", "page=1&after=5", None),
]


@pytest.mark.parametrize(
    "path, query, field",
    BAD_QUERIES,
    ids=[short(f"{path}?{query}") for path, query, _ in BAD_QUERIES],
)
def test_bad_query(reader, path, query, field):
    assert_refused(answer(reader, request_bytes("GET", f"{path}?{query}")), field=field)


@pytest.mark.parametrize(
    "query",
    [
        "page=%",
        "page=%3",
        "page=%zz",
        "ids=%31",
        "p%61ge=2",
        "%",
        "a=%zz",
        "x=%FF",
        "=1",
        "&&&&",
        "?",
        "page=1?",
        "a" * 4000,
    ],
)
def test_odd_query(reader, query):
    """Read as some parameter or refused as unknown: any of these gets a page or a refusal."""
    reply = answer(reader, request_bytes("GET", f"/api/products?{query}"))
    if reply.status != 200:
        assert_refused(reply)


# -- headers


@pytest.mark.parametrize(
    "value",
    [
        "",
        "abc",
        "-1",
        "+1",
        "1.5",
        "1e3",
        "9223372036854775808",
        "9" * 60,
        "1,2",
        '"1"',
        "1 2",
        "0x1",
        "\xff",
    ],
    ids=short,
)
def test_bad_min_version(reader, product_id, value):
    for path in (f"/api/products/{product_id}", f"/api/products/{product_id}/stock"):
        assert_refused(
            answer(reader, request_bytes("GET", path, [("Min-Version", value)])),
            field="Min-Version",
        )


def test_min_version_twice(reader, product_id):
    data = request_bytes(
        "GET", f"/api/products/{product_id}", [("Min-Version", "1"), ("Min-Version", "2")]
    )
    reply = answer(reader, data)
    assert reply.status in (200, 400), reply


@pytest.mark.parametrize(
    "value", ["", '"', "W/", 'W/"', ",", '"1', "\xff", '"1"' * 1000, "W/" * 2000], ids=short
)
def test_odd_if_none_match(reader, product_id, value):
    """A condition that cannot be read is no condition."""
    reply = answer(
        reader, request_bytes("GET", f"/api/products/{product_id}", [("If-None-Match", value)])
    )
    assert reply.status in (200, 400), reply


@pytest.mark.parametrize(
    "value",
    ["", "00", "00-0-0-00", "ff-" + "0" * 32 + "-" + "0" * 16 + "-00", "x" * 2000, "\xff", '"}{'],
    ids=short,
)
def test_odd_traceparent(reader, product_id, value):
    assert (
        answer(
            reader, request_bytes("GET", f"/api/products/{product_id}", [("traceparent", value)])
        ).status
        == 200
    )


# -- bodies

BAD_BODIES = {
    "empty": b"",
    "white space": b" \r\n\t ",
    "no JSON": b"stock=1",
    "an array": b'[{"delta":1}]',
    "a number": b"1",
    "a string": b'"delta"',
    "null": b"null",
    "true": b"true",
    "no field": b"{}",
    "only a reason": b'{"reason":"x"}',
    "both": b'{"stock":1,"delta":1}',
    "cut off 1": b"{",
    "cut off 2": b'{"delta"',
    "cut off 3": b'{"delta":',
    "cut off 4": b'{"delta":1',
    "cut off 5": b'{"delta":1,',
    "cut off 6": b'{"delta":1,"reason":"x',
    "cut off 7": b'{"delta":1,"reason":"x\\',
    "cut off 8": b'{"delta":1,"reason":"\\u12',
    "trailing comma": b'{"delta":1,}',
    "leading comma": b'{,"delta":1}',
    "two commas": b'{"delta":1,,"reason":"x"}',
    "no colon": b'{"delta" 1}',
    "two colons": b'{"delta"::1}',
    "single quotes": b"{'delta':1}",
    "no quotes": b"{delta:1}",
    "a comment": b'{"delta":1/* one */}',
    "a line comment": b'{"delta":1}//',
    "two values": b'{"delta":1}{"delta":2}',
    "a bracket too much": b'{"delta":1}}',
    "the wrong bracket": b'{"delta":1]',
    "something after": b'{"delta":1}x',
    "NUL after": b'{"delta":1}\x00',
    "NUL before": b'\x00{"delta":1}',
    "NUL within": b'{"delta"\x00:1}',
    "NUL in the reason": b'{"delta":1,"reason":"a\x00b"}',
    "escaped NUL in the reason": b'{"delta":1,"reason":"a\\u0000b"}',
    "vertical tab": b'{"delta":\x0b1}',
    "no-break space": b'{"delta":\xc2\xa01}',
    "byte order mark": b'\xef\xbb\xbf{"delta":1}',
    "UTF-16": '{"delta":1}'.encode("utf-16"),
    "control character in a string": b'{"delta":1,"reason":"a\nb"}',
    "tab in a string": b'{"delta":1,"reason":"a\tb"}',
    "DEL is fine but the escape is not": b'{"delta":1,"reason":"\\x41"}',
    "bad escape": b'{"delta":1,"reason":"\\q"}',
    "bad unicode escape": b'{"delta":1,"reason":"\\u12G4"}',
    "lone high surrogate": b'{"delta":1,"reason":"\\ud800"}',
    "lone low surrogate": b'{"delta":1,"reason":"\\udc00"}',
    "high surrogate then a letter": b'{"delta":1,"reason":"\\ud800x"}',
    "two high surrogates": b'{"delta":1,"reason":"\\ud800\\ud800"}',
    "bad UTF-8: continuation": b'{"delta":1,"reason":"\x80"}',
    "bad UTF-8: cut off": b'{"delta":1,"reason":"\xe2\x82"}',
    "bad UTF-8: overlong": b'{"delta":1,"reason":"\xc0\xaf"}',
    "bad UTF-8: overlong NUL": b'{"delta":1,"reason":"\xc0\x80"}',
    "bad UTF-8: surrogate": b'{"delta":1,"reason":"\xed\xa0\x80"}',
    "bad UTF-8: too large": b'{"delta":1,"reason":"\xf4\x90\x80\x80"}',
    "bad UTF-8: FF": b'{"delta":1,"reason":"\xff"}',
    "bad UTF-8 in a name": b'{"delta":1,"\xff":1}',
    "unknown field": b'{"delta":1,"colour":"red"}',
    "field in capitals": b'{"Delta":1}',
    "field with a NUL": b'{"delta\\u0000":1}',
    "empty field": b'{"":1,"delta":1}',
    "the id": b'{"id":1,"delta":1}',
    "twice delta": b'{"delta":1,"delta":1}',
    "twice stock": b'{"stock":1,"stock":2}',
    "twice delta, escaped": b'{"delta":1,"d\\u0065lta":2}',
    "twice reason": b'{"delta":1,"reason":"a","reason":"b"}',
    "twice an unknown one": b'{"delta":1,"x":1,"x":2}',
    "delta null": b'{"delta":null}',
    "delta true": b'{"delta":true}',
    "delta string": b'{"delta":"1"}',
    "delta array": b'{"delta":[1]}',
    "delta object": b'{"delta":{"by":1}}',
    "stock null": b'{"stock":null}',
    "stock false": b'{"stock":false}',
    "stock string": b'{"stock":"1"}',
    "stock array": b'{"stock":[]}',
    "stock object": b'{"stock":{}}',
    "stock null beside delta": b'{"stock":null,"delta":1}',
    "reason number": b'{"delta":1,"reason":1}',
    "reason array": b'{"delta":1,"reason":["x"]}',
    "reason object": b'{"delta":1,"reason":{}}',
    "reason true": b'{"delta":1,"reason":true}',
    "stock negative": b'{"stock":-1}',
    "stock fraction": b'{"stock":1.5}',
    "delta fraction": b'{"delta":0.1}',
    "delta with exponent down": b'{"delta":1e-3}',
    "leading zero": b'{"delta":01}',
    "leading zeros": b'{"delta":-007}',
    "plus sign": b'{"delta":+1}',
    "bare minus": b'{"delta":-}',
    "two minuses": b'{"delta":--1}',
    "no digit before the point": b'{"delta":.5}',
    "no digit after the point": b'{"delta":1.}',
    "no exponent": b'{"delta":1e}',
    "hexadecimal": b'{"delta":0x10}',
    "underscore": b'{"delta":1_0}',
    "NaN": b'{"delta":NaN}',
    "Infinity": b'{"delta":-Infinity}',
    "beyond 64 bit": b'{"delta":9223372036854775808}',
    "beyond 64 bit, negative": b'{"delta":-9223372036854775809}',
    "2^64 + 1": b'{"delta":18446744073709551617}',
    "a thousand digits": b'{"delta":' + b"9" * 1000 + b"}",
    "a huge exponent": b'{"delta":1e400}',
    "a very huge exponent": b'{"delta":1e99999999999999999999}',
    "deep arrays": b'{"delta":' + b"[" * 20_000 + b"]" * 20_000 + b"}",
    "deep arrays, open": b"[" * 60_000,
    "deep objects": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "deep in an unknown field": b'{"delta":1,"x":' + b"[" * 100 + b"]" * 100 + b"}",
    "a long field name": b'{"' + b"a" * 50_000 + b'":1}',
    "a very long reason": b'{"delta":1,"reason":"' + b"a" * 60_000 + b'"}',
    "many fields": b"{" + b",".join(b'"f%d":1' % n for n in range(5000)) + b"}",
    "all bytes": bytes(range(256)),
}


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES.keys())
def test_bad_body(writer, product_id, body):
    data = request_bytes(
        "POST",
        f"/api/products/{product_id}/update-stock",
        JSON + [("Content-Length", str(len(body)))],
        body,
    )
    assert_refused(answer(writer, data))


@pytest.mark.parametrize(
    "body, field",
    [
        (b'{"delta":1,"colour":1}', "colour"),
        (b'{"delta":"1"}', "delta"),
        (b'{"stock":-1}', "stock"),
        (b'{"stock":1.5}', "stock"),
        (b'{"delta":1,"reason":5}', "reason"),
        (b'{"delta":1e400}', "delta"),
        (b'{"delta":9223372036854775808}', "delta"),
        (b'{"stock":5.0000000000000000001}', "stock"),
        (b'{"stock":9007199254740991.5}', "stock"),
    ],
)
def test_a_bad_field_is_named(writer, product_id, body, field):
    data = request_bytes("POST", f"/api/products/{product_id}/update-stock", JSON, body)
    assert_refused(answer(writer, data), field=field)


@pytest.mark.parametrize(
    "text, value",
    [
        ("1.0", 1),
        ("1e3", 1000),
        ("10E-1", 1),
        ("-0", 0),
        ("-0.0", 0),
        ("100000000000000000000e-20", 1),
    ],
)
def test_whole_numbers_written_oddly(stack, database, text, value):
    """JSON Schema: an integer is a number without a fraction, however it is written."""
    id = database.create_product(stock=5)
    reply = answer(
        stack.writes[0],
        request_bytes(
            "POST", f"/api/products/{id}/update-stock", JSON, b'{"stock":%s}' % text.encode()
        ),
    )
    assert reply.status == 200, reply
    assert reply.json()["stock"] == value == database.product(id)["stock"]


@pytest.mark.parametrize("stock", [2**53, 2**63 - 1])
def test_a_stock_beyond_the_largest(writer, product_id, stock):
    data = request_bytes(
        "POST", f"/api/products/{product_id}/update-stock", JSON, b'{"stock":%d}' % stock
    )
    reply = answer(writer, data)
    assert_refused(reply, (400, 409))


@pytest.mark.parametrize("delta", [2**53, 2**63 - 1, -(2**53), -(2**63)])
def test_a_delta_beyond_the_largest(writer, product_id, delta):
    data = request_bytes(
        "POST", f"/api/products/{product_id}/update-stock", JSON, b'{"delta":%d}' % delta
    )
    assert_refused(answer(writer, data), (400, 409))


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
     "application/xml", "application/jsonp", "json",
     "application", "/", "", "application/json/x", "text/json"],
)
def test_wrong_content_type(writer, product_id, content_type):
    data = request_bytes(
        "POST",
        f"/api/products/{product_id}/update-stock",
        [("Content-Type", content_type)],
        b'{"delta":1}',
    )
    assert_refused(answer(writer, data), (415,))


@pytest.mark.parametrize("charset", ["iso-8859-1", "utf-16", "x", '"UTF-16"'])
def test_another_charset(writer, product_id, charset):
    """JSON is UTF-8 (RFC 8259 section 8.1)."""
    headers = [("Content-Type", f"application/json; charset={charset}")]
    path = f"/api/products/{product_id}/update-stock"
    assert_refused(answer(writer, request_bytes("POST", path, headers, b'{"delta":1}')), (415,))


@pytest.mark.parametrize("coding", ["gzip", "br", "identity, gzip"])
def test_a_coded_body(writer, product_id, coding):
    """RFC 9110 section 15.5.16: the 415 names the codings that are taken."""
    body = gzip.compress(b'{"delta":1}')
    headers = JSON + [("Content-Encoding", coding)]
    path = f"/api/products/{product_id}/update-stock"
    reply = answer(writer, request_bytes("POST", path, headers, body))
    assert_refused(reply, (415,))
    assert reply.header("Accept-Encoding") == "identity"


def test_no_content_type(stack, database):
    """Taken as JSON or refused; nothing else."""
    id = database.create_product()
    reply = answer(
        stack.writes[0],
        request_bytes("POST", f"/api/products/{id}/update-stock", body=b'{"delta":1}'),
    )
    if reply.status != 200:
        assert_refused(reply, (415,))


def test_content_type_twice(writer, product_id):
    headers = [("Content-Type", "text/plain"), ("Content-Type", "application/json")]
    data = request_bytes("POST", f"/api/products/{product_id}/update-stock", headers, b"delta=1")
    assert_refused(answer(writer, data), (400, 415))


# -- paths

ODD_PATHS = [
    "//", "//api/products", "/api//products", "/api/products//", "/api/products//stock",
    "/api/products/../products", "/api/../api/products",
    "/../../../../etc/passwd", "/api/products/1/../../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd",
    "/api/%2e%2e/api/products", "/api/products/%2e%2e",
    "/api/./products", "/.", "/..", "/%00", "/api%00/products", "/api/products%00",
    "/api/products%00.html", "/api%2fproducts", "/api/products%2f1",
    "/%", "/%zz", "/api/%c0%ae%c0%ae/", "/api/%ff", "/api\\products", "/api/products;x=1",
    "/api/products/1;x=1/stock", "/*", "/api/products#1",
    "/" + "a" * 4000, "/api/products/" + "1/" * 1000, "/~root", "/cgi-bin/x", "/.htpasswd",
    "/api/products/1/stock.ssi", "/index.lua",
]


@pytest.mark.parametrize("path", ODD_PATHS, ids=short)
@pytest.mark.parametrize("service", ["reader", "writer"])
def test_odd_path(request, service, path):
    client = request.getfixturevalue(service)
    reply = answer(client, request_bytes("GET", path))
    assert_refused(reply, (400, 404, 414))
    assert b"root:" not in reply.body


@pytest.mark.parametrize(
    "target",
    [
        b"/api/products/\xff",
        b"/api/products/\xc3\xa4",
        b"/api/prod\x01ucts",
        b"/api/products/1\x7f",
        b"api/products",
        b"?page=1",
    ],
)
def test_odd_bytes_in_the_target(reader, target):
    assert_refused(answer(reader, request_bytes("GET", target)), (400, 404, None))


@pytest.mark.parametrize(
    "target",
    ["http://faststock.test/api/products?limit=1", "http://other.test:1/api/products?limit=1"],
)
def test_absolute_form(reader, target):
    """RFC 9112 section 3.2.2: a server takes it, whatever the authority in it is."""
    reply = answer(reader, request_bytes("GET", target))
    assert reply.status == 200 and len(reply.json()["data"]) == 1


def test_absolute_form_without_path_or_with_a_body(reader, writer, product_id):
    # the library cannot read it; read-svc tells a path without a route, and / may be its page
    assert_refused(answer(reader, request_bytes("GET", "http://faststock.test")), (400, 404))
    data = request_bytes(
        "POST",
        f"http://faststock.test/api/products/{product_id}/update-stock",
        JSON,
        b'{"delta":1}',
    )
    assert_refused(answer(writer, data), field="request")


def test_dropped_requests_are_counted(reader):
    """Those that the HTTP library does not hand over: each is counted like any other."""
    with Change(reader) as change:
        answer(reader, request_bytes("GET", "http://faststock.test/api/products"))
        answer(reader, request_bytes("OPTIONS", "*"))
        answer(reader, request_bytes("PURGE", "/api/products"))
    assert change("http_requests_total", route="/api/products", status="200") == 1
    assert change("http_requests_total", method="OPTIONS", status="405") == 1
    assert change("http_requests_total", method="OTHER", status="405") == 1


# -- methods


@pytest.mark.parametrize(
    "method",
    [
        "FOO",
        "get",
        "Get",
        "G",
        "GETX",
        "PROPFIND",
        "BREW",
        "PURGE",
        "TRACE",
        "LOCK",
        "X" * 300,
        "REPORT",
    ],
    ids=short,
)
def test_odd_method(reader, product_id, method):
    reply = answer(reader, request_bytes(method, f"/api/products/{product_id}"))
    assert_refused(reply, (405,))
    assert reply.header("Allow") == "GET, HEAD"
    assert_refused(answer(reader, request_bytes(method, "/api/nothing")), (404,))


@pytest.mark.parametrize("method", ["CONNECT", "G@T", "G\xc4T"])
def test_no_method(reader, method):
    assert_refused(answer(reader, request_bytes(method, "api:80")))


@pytest.mark.parametrize("version", ["HTTP/2.0", "HTTP/9.1"])
@pytest.mark.parametrize("method", ["GET", "PRI"])
def test_another_version(reader, method, version):
    data = request_bytes(method, "/api/products", version=version)
    assert_refused(answer(reader, data), (505,))


@pytest.mark.parametrize("empty", [b"\r\n", b"\n"])
def test_an_empty_line_before_a_request(reader, empty):
    """RFC 9112 section 2.2: a server should ignore it."""
    assert answer(reader, empty + request_bytes("GET", "/api/products")).status == 200


EMPTY_LINES = [b"\r\n\r\n", b"\n\n", b"\r\n\r\n\r\n", b"\r\n\n\r\n\n"]


@pytest.mark.parametrize("empty", EMPTY_LINES)
def test_empty_lines_before_a_request_are_refused(reader, empty):
    """The HTTP library takes two for the end of a head, and would read the head a second time."""
    with RawConnection(reader.base_url) as connection:
        for _ in range(2):
            connection.send(request_bytes("GET", "/api/products"))
            assert connection.read_reply().status == 200
        connection.send(empty + request_bytes("GET", "/api/products"))
        reply = connection.read_reply()
        assert_problem(reply, 400, "bad-request")
        assert "empty line" in reply.json()["detail"]
        assert connection.is_closed_by_server()


@pytest.mark.parametrize("empty", EMPTY_LINES)
def test_a_body_behind_empty_lines_is_no_request(reader, empty):
    inner = request_bytes("GET", "/api/products", [("X-Request-Id", "inner")])
    outer = request_bytes("GET", "/api/products", [("X-Request-Id", "outer")])
    for length in range(len(outer) - 4, len(outer) + 40):
        head = outer[:-2] + b"Content-Length: %d\r\n\r\n" % length
        with RawConnection(reader.base_url) as connection:
            connection.send(empty + head + inner + b" " * max(0, length - len(inner)))
            assert connection.read_reply().header("X-Request-Id") == "outer"
            assert connection.is_closed_by_server()


def test_a_tab_in_a_header(reader):
    """The HTTP library takes none: refused, though RFC 9110 section 5.5 has it among blanks."""
    assert_refused(answer(reader, request_bytes("GET", "/api/products", [("X", "a\tb")])))


@pytest.mark.parametrize("expect", ["100-continues", "x", ""])
def test_another_expectation(writer, product_id, expect):
    path = f"/api/products/{product_id}/update-stock"
    data = request_bytes("POST", path, JSON + [("Expect", expect)], b'{"delta":1}')
    assert_refused(answer(writer, data), (417,))


def test_two_expectations(writer, product_id):
    path = f"/api/products/{product_id}/update-stock"
    headers = JSON + [("Expect", "100-continue"), ("Expect", "x")]
    data = request_bytes("POST", path, headers, b'{"delta":1}')
    assert_refused(answer(writer, data), (417,))


def test_options(reader, writer, product_id):
    for client, path in (
        (reader, f"/api/products/{product_id}"),
        (writer, f"/api/products/{product_id}/update-stock"),
    ):
        reply = answer(client, request_bytes("OPTIONS", path))
        assert reply.status in (200, 204, 405), reply
        assert reply.header("Allow")
    reply = answer(reader, request_bytes("OPTIONS", "*"))
    assert_refused(reply, (405,))
    assert reply.header("Allow") == "GET, HEAD, POST, PATCH, DELETE"


# -- request lines, header blocks

GARBAGE = {
    "nothing but line ends": b"\r\n\r\n\r\n\r\n",
    "a word": b"hello\r\n\r\n",
    "HTTP/0.9": b"GET /api/products\r\n\r\n",
    "no version": b"GET /api/products \r\n\r\n",
    "bad version": b"GET / HTTP/x.y\r\n\r\n",
    "HTTP/3.0": b"GET / HTTP/3.0\r\nHost: x\r\n\r\n",
    "another protocol": b"GET / FTP/1.1\r\nHost: x\r\n\r\n",
    "an overlong version": b"GET / HTTP/1.1111111111111\r\nHost: x\r\n\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
    "TLS hello": bytes.fromhex("16030100a5010000a10303") + b"\x00" * 160,
    "binary": bytes(range(256)) * 4,
    "NULs": b"\x00" * 512,
    "spaces": b"     \r\n\r\n",
    "a Redis command": b"*1\r\n$4\r\nPING\r\n\r\n",
    "an SMTP greeting": b"EHLO x\r\n\r\n",
    "white space in the target": b"GET /api/products /x HTTP/1.1\r\nHost: x\r\n\r\n",
    "a tab as separator": b"GET\t/api/products\tHTTP/1.1\r\nHost: x\r\n\r\n",
    "a header without colon": b"GET /api/products HTTP/1.1\r\nHost: x\r\nNonsense\r\n\r\n",
    "a header without name": b"GET /api/products HTTP/1.1\r\nHost: x\r\n: x\r\n\r\n",
    "a space before the colon": b"GET /api/products HTTP/1.1\r\nHost: x\r\nX-A : 1\r\n\r\n",
    "a folded header": b"GET /api/products HTTP/1.1\r\nHost: x\r\nX-A: 1\r\n 2\r\n\r\n",
    "a NUL in a header": b"GET /api/products HTTP/1.1\r\nHost: x\r\nX-A: 1\x002\r\n\r\n",
    "a NUL in a header name": b"GET /api/products HTTP/1.1\r\nHost: x\r\nX\x00A: 1\r\n\r\n",
    "a bare CR in a header": b"GET /api/products HTTP/1.1\r\nHost: x\r\nX-A: 1\rX-B: 2\r\n\r\n",
    "bytes above 127 in a header name": b"GET /api/products HTTP/1.1\r\nHost: x\r\n\xe4: 1\r\n\r\n",
    "bare line feeds": b"GET /api/products HTTP/1.1\nHost: x\n\n",
    "no Host": b"GET /api/products HTTP/1.1\r\n\r\n",
    "an empty Host": b"GET /api/products HTTP/1.1\r\nHost:\r\n\r\n",
    "two Hosts": b"GET /api/products HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "a bad Host": b"GET /api/products HTTP/1.1\r\nHost: a b/\\\r\n\r\n",
    "100 headers": b"GET /api/products HTTP/1.1\r\nHost: x\r\n"
    + b"".join(b"X-%d: 1\r\n" % n for n in range(100))
    + b"\r\n",
    "a bad Connection": b"GET /api/products HTTP/1.1\r\nHost: x\r\nConnection: \xff,,;\r\n\r\n",
    "an upgrade": b"GET /api/products HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
    b"Upgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n",
    "an upgrade to HTTP/2": b"GET /api/products HTTP/1.1\r\nHost: x\r\n"
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n",
    "a bad Range": b"GET /api/products HTTP/1.1\r\nHost: x\r\nRange: bytes=5-2,-,x\r\n\r\n",
    "a bad Accept-Encoding": b"GET /api/products HTTP/1.1\r\nHost: x\r\nAccept-Encoding: ;;q=x,\r\n"
    b"\r\n",
}

# Mistakes that HTTP lets a server tolerate (RFC 9112, 2.2, 5.2, 3.2): an ordinary page is fine
# there.
TOLERABLE = {
    "nothing but line ends", "a bad Host", "an empty Host", "100 headers", "a bad Connection",
    "an upgrade", "an upgrade to HTTP/2", "a bad Range",
    "a bad Accept-Encoding", "an overlong version", "a tab as separator", "HTTP/3.0",
}


@pytest.mark.parametrize("name", GARBAGE)
@pytest.mark.parametrize("service", ["reader", "writer"])
def test_garbage(request, service, name):
    client = request.getfixturevalue(service)
    reply = answer(client, GARBAGE[name], finish=True)
    if name in TOLERABLE and reply is not None and reply.status in (200, 404):
        return  # a writer has no such page
    assert_refused(reply, (400, 404, 405, 431, 501, 505, None))


# A header line that begins with one of these is the end of the head to the library, which then
# hides the lines behind it.
@pytest.mark.parametrize(
    "blind",
    [
        b" x: y\r\n",
        b"\tx: y\r\n",
        b": y\r\n",
        b"\xe4: y\r\n",
        b"\rx: y\r\n",
        b"x: y\n",
        b"x: y\n\r\n",
    ],
    ids=repr,
)
@pytest.mark.parametrize("where", ["first", "last"])
@pytest.mark.parametrize("hidden", ["Transfer-Encoding: chunked", "Content-Length: 44", "Host: y"])
def test_no_header_is_hidden(writer, product_id, blind, where, hidden):
    lines = [b"Host: x\r\nContent-Type: application/json\r\nContent-Length: 11\r\n", blind]
    head = b"".join(lines if where == "last" else reversed(lines)) + hidden.encode() + b"\r\n\r\n"
    reply = answer(
        writer,
        b"POST /api/products/%d/update-stock HTTP/1.1\r\n" % product_id + head + b'{"delta":1}' * 5,
    )
    assert_refused(reply, (400, None))


# -- sizes


@pytest.mark.parametrize("size", [20_000, 70_000, 1_000_000])
@pytest.mark.parametrize("where", ["value", "name", "many", "target"])
def test_headers_too_large(reader, size, where):
    if where == "target":
        data = request_bytes("GET", "/api/products?x=" + "a" * size)
        statuses = (414, 431)
    elif where == "many":
        data = request_bytes(
            "GET", "/api/products", [(f"X-{n}", "a" * 90) for n in range(size // 100)]
        )
        statuses = (431,)
    else:
        header = ("X-Big", "a" * size) if where == "value" else ("X" * size, "a")
        data = request_bytes("GET", "/api/products", [header])
        statuses = (431,)
    reply = answer(reader, data)
    assert reply is not None, "closed without an answer"
    assert reply.status in statuses, reply
    assert_problem(reply, reply.status)


def test_a_head_that_just_fills_the_room_for_it(reader):
    """The client may pause when the library has read all that it has room for."""
    with RawConnection(reader.base_url) as connection:
        line = b"GET /api/products HTTP/1.1\r\nX-Big: "
        connection.send(line + b"a" * (65536 - len(line)))
        reply = connection.read_reply()
        assert_refused(reply, (431,))


def test_what_comes_behind_garbage_does_not_make_it_large(reader):
    """It may come between the library's reading and the search for the fault."""
    for _ in range(1000):
        with RawConnection(reader.base_url) as connection:
            connection.send(b"\x16\x03\x01\x02\x00\r\n\r\n")
            connection.send(request_bytes("GET", "/api/products"))
            assert connection.read_reply().status == 400


def test_a_request_line_without_end(reader):
    reply = answer(reader, b"GET /" + b"a" * 200_000)
    assert_refused(reply, (400, 414, 431))


def test_the_largest_body_and_one_more(stack, database):
    """http.body_bytes_max of a writer is 1 MiB: white space up to there is fine."""
    id = database.create_product()
    writer = stack.writes[0]
    for size, status in ((1_048_576, 200), (1_048_577, 413)):
        body = b'{"delta":1}'.ljust(size)
        reply = answer(
            writer, request_bytes("POST", f"/api/products/{id}/update-stock", JSON, body)
        )
        assert reply.status == status, reply
        if status == 413:
            assert_problem(reply, 413)
    assert len(database.movements(id)) == 2


@pytest.mark.parametrize(
    "length", ["1048577", "2147483648", "4294967297", "9223372036854775807"]
)
def test_a_body_that_is_announced_too_large(writer, product_id, length):
    """Refused by its length alone, and the connection is closed: the body must not be taken for a
    request."""
    headers = JSON + [("Content-Length", length)]
    with RawConnection(writer.base_url) as connection:
        connection.send(request_bytes("POST", f"/api/products/{product_id}/update-stock", headers))
        assert_refused(connection.read_reply(), (413,))
        assert connection.is_closed_by_server()


def test_a_large_body_that_is_sent(writer, product_id):
    """The client sends all of it before it reads: it still gets to see why not."""
    body = b'{"delta":1,"reason":"' + b"a" * 3_000_000
    assert_refused(
        answer(
            writer, request_bytes("POST", f"/api/products/{product_id}/update-stock", JSON, body)
        ),
        (413, None),
    )


# -- how long a body is

SMUGGLED = request_bytes("GET", "/health")


@pytest.mark.parametrize(
    "coding",
    [
        "chunked",
        "gzip, chunked",
        "gzip",
        "identity",
        "Chunked",
        " chunked",
        "chunked, chunked",
        "x",
        "\x0bchunked",
    ],
    ids=repr,
)
@pytest.mark.parametrize("service", ["reader", "writer"])
def test_transfer_encoding(request, service, product_id, coding):
    """411, and the connection is closed: nothing of the body can be taken for another request."""
    client = request.getfixturevalue(service)
    headers = JSON + [("Transfer-Encoding", coding)]
    path = f"/api/products/{product_id}/update-stock"
    with RawConnection(client.base_url) as connection:
        connection.send(
            request_bytes("POST", path, headers) + b'b\r\n{"delta":1}\r\n0\r\n\r\n' + SMUGGLED
        )
        assert_refused(
            connection.read_reply(),
            (411,) if coding.strip(" \t").lower() == "chunked" else (400, 411, 501),
        )
        assert connection.is_closed_by_server(), "what came after the refused body was answered"


def test_transfer_encoding_of_a_read(reader):
    with RawConnection(reader.base_url) as connection:
        connection.send(
            request_bytes("GET", "/api/products", [("Transfer-Encoding", "chunked")])
            + b"0\r\n\r\n"
            + SMUGGLED
        )
        assert_refused(connection.read_reply(), (411,))
        assert connection.is_closed_by_server()


@pytest.mark.parametrize("order", [0, 1])
def test_transfer_encoding_beside_content_length(writer, product_id, order):
    pair = [("Transfer-Encoding", "chunked"), ("Content-Length", "5")]
    headers = JSON + (pair if order else pair[::-1])
    with RawConnection(writer.base_url) as connection:
        connection.send(
            request_bytes("POST", f"/api/products/{product_id}/update-stock", headers, b"0\r\n\r\n")
            + SMUGGLED
        )
        assert_refused(connection.read_reply(), (400, 411))
        assert connection.is_closed_by_server()


@pytest.mark.parametrize(
    "header",
    [
        "Transfer-Encoding : chunked",
        "Transfer-Encoding\t: chunked",
        "transfer-encoding: chunked",
        "X: y\r\n Transfer-Encoding: chunked",
    ],
    ids=repr,
)
def test_transfer_encoding_in_disguise(writer, product_id, header):
    """The bytes behind it are never answered as a second request on a connection that stays
    open."""
    head = (
        f"POST /api/products/{product_id}/update-stock HTTP/1.1\r\nHost: x\r\n"
        f"Content-Type: application/json\r\n{header}\r\n\r\n"
    )
    with RawConnection(writer.base_url) as connection:
        connection.send(head.encode() + b"0\r\n\r\n" + SMUGGLED)
        assert_refused(connection.read_reply(), (400, 411, None))


@pytest.mark.parametrize(
    "length", ["-1", "+11", "abc", "", " ", "1e1", "0x0b", "11.0", "11 11", "11,11",
    "99999999999999999999999", "18446744073709551627", "-0", "11\x00", "１１"], ids=repr
)
def test_bad_content_length(writer, product_id, length):
    headers = JSON + [("Content-Length", length.encode())]
    with RawConnection(writer.base_url) as connection:
        connection.send(
            request_bytes("POST", f"/api/products/{product_id}/update-stock", headers)
            + b'{"delta":"x"}'
            + SMUGGLED
        )
        assert_refused(connection.read_reply(), (400, 411, 413, None))
        assert connection.is_closed_by_server()


@pytest.mark.parametrize("second", ["13", "0", "5", "14"])
def test_content_length_twice(writer, product_id, second):
    """Two different lengths are an attack on somebody between (RFC 9112, 6.3); the same one twice
    may be read as one."""
    body = b'{"delta":"x"}'  # 13 bytes
    headers = JSON + [("Content-Length", "13"), ("Content-Length", second)]
    with RawConnection(writer.base_url) as connection:
        connection.send(
            request_bytes("POST", f"/api/products/{product_id}/update-stock", headers)
            + body
            + SMUGGLED
        )
        assert_refused(connection.read_reply(), (400, None))
        if second != "13":
            assert connection.is_closed_by_server()


def test_no_content_length(writer, product_id):
    data = request_bytes("POST", f"/api/products/{product_id}/update-stock", JSON)
    assert_refused(answer(writer, data), (400, 411))


def test_content_length_too_short(writer, product_id):
    """The rest is another request, and garbage."""
    headers = JSON + [("Content-Length", "5")]
    with RawConnection(writer.base_url) as connection:
        connection.send(
            request_bytes("POST", f"/api/products/{product_id}/update-stock", headers)
            + b'{"delta":1}'
            + b"\r\n\r\n"
        )
        assert_refused(connection.read_reply())
        assert_refused(connection.read_reply(), (400, 404, 405, 501, 505, None))


def test_content_length_too_long(writer, product_id):
    """The rest never comes: a closed connection, or a problem."""
    headers = JSON + [("Content-Length", "500")]
    data = (
        request_bytes("POST", f"/api/products/{product_id}/update-stock", headers) + b'{"delta":1}'
    )
    assert_refused(answer(writer, data, finish=True), (400, 408, None))


def test_a_read_with_a_body(reader, product_id):
    """A body of a read is either skipped or refused, but never taken for the next request."""
    with RawConnection(reader.base_url) as connection:
        connection.send(
            request_bytes(
                "GET",
                f"/api/products/{product_id}",
                body=b"GET /api/products/0 HTTP/1.1\r\nHost: x\r\n\r\n",
            )
        )
        reply = connection.read_reply()
        assert reply.status in (200, 400, 413), reply
        if reply.header("Connection") != "close":
            connection.send(SMUGGLED)
            assert connection.read_reply().json()["status"] == "ok"


def test_a_refused_method_with_a_body(reader, writer, product_id):
    for client, method, path in (
        (reader, "POST", "/api/products"),
        (writer, "PUT", f"/api/products/{product_id}/update-stock"),
        (writer, "POST", "/nothing"),
    ):
        with RawConnection(client.base_url) as connection:
            connection.send(
                request_bytes(
                    method, path, JSON, b"GET /api/products/0 HTTP/1.1\r\nHost: x\r\n\r\n"
                )
                + SMUGGLED
            )
            reply = connection.read_reply()
            assert_refused(reply, (404, 405))
            following = connection.read_reply()
            assert (
                following is None or following.json()["status"] == "ok"
            ), "the body was taken for a request"


# -- slow and broken ones


@pytest.fixture(scope="module")
def impatient(stack, tmp_path_factory):
    """A write-svc that gives a client 500 ms to send a request, and 3 s for another one."""
    settings = {
        "database": {"url": stack.env["DATABASE_URL"]},
        "redis": {"url": stack.env["REDIS_URL"]},
        "http": {"read_timeout_ms": 500, "keep_alive_timeout_ms": 3000},
    }
    with ServiceProcess("write-svc", tmp_path_factory.mktemp("impatient"), settings) as service:
        yield service.client


SLOW_STARTS = {
    "a body that stops": request_bytes(
        "POST", "/api/products/1/update-stock", JSON + [("Content-Length", "60")]
    )
    + b'{"delta":',
    "a head that stops": b"POST /api/products/1/update-stock HTTP/1.1\r\nHost: x\r\nX-A: ",
    "a request line that stops": b"POST /api/produ",
}


@pytest.mark.parametrize("name", SLOW_STARTS)
def test_what_stops_half_way(impatient, name):
    with RawConnection(impatient.base_url) as connection:
        connection.send(SLOW_STARTS[name])
        assert_refused(connection.read_reply(), (400, 408, None))
        assert connection.is_closed_by_server()


@pytest.mark.parametrize("name", SLOW_STARTS)
def test_drops_win_no_time(impatient, name):
    """A byte now and then does not hold a thread for long: the connection ends while the client
    still drips."""
    with RawConnection(impatient.base_url) as connection:
        connection.send(SLOW_STARTS[name])
        begin = time.monotonic()
        connection.socket.settimeout(0.1)
        ended = False
        while not ended and time.monotonic() - begin < scaled(6):
            connection.send(b"1")
            with contextlib.suppress(socket.timeout):
                ended = connection.receive_some() == b""
        assert ended, "the server waits for every drop"
        connection.buffer and assert_refused(connection.read_reply(), (400, 408))


def test_the_slow_one_is_cut_off_not_another_of_its_port(impatient):
    """Two clients may use the same port, each of its own address."""
    with RawConnection(impatient.base_url, source="127.0.0.1") as healthy:
        port = healthy.socket.getsockname()[1]
        healthy.send(request_bytes("GET", "/health"))
        assert healthy.read_reply().status == 200
        with RawConnection(impatient.base_url, source="127.0.0.2", source_port=port) as slow:
            slow.send(SLOW_STARTS["a body that stops"])
            assert_refused(slow.read_reply(), (408,))
        healthy.send(request_bytes("GET", "/health"))
        assert healthy.read_reply().status == 200


def test_pipelined_bad_and_good(stack, database):
    """The request behind a refused one, on the same connection, is answered right or not at all."""
    id = database.create_product(stock=5)
    path = f"/api/products/{id}/update-stock"
    with RawConnection(stack.writes[0].base_url) as connection:
        connection.send(
            request_bytes("POST", path, JSON, b'{"delta":"x"}')
            + request_bytes("POST", path, JSON, b'{"delta":1}')
        )
        assert_refused(connection.read_reply())
        second = connection.read_reply()
        assert second is None or second.json()["stock"] == 6
    assert database.product(id)["stock"] == (5 if second is None else 6)


def test_many_pipelined_bad_requests(reader):
    with RawConnection(reader.base_url) as connection:
        connection.send(request_bytes("GET", "/api/products/0") * 200)
        replies = 0
        while (reply := connection.read_reply()) is not None:
            assert_refused(reply)
            replies += 1
            if replies == 200:
                break
        assert replies >= 1


# -- the same through the edge: nginx or the service, each answers with a 4xx


@pytest.mark.parametrize("id", BAD_IDS[:12], ids=short)
def test_bad_id_through_the_edge(stack, id):
    assert_problem(stack.edge.get(f"/api/products/{id}"), 400, field="id")


@pytest.mark.parametrize(
    "name",
    ["no JSON", "twice delta", "deep arrays", "bad UTF-8: FF", "beyond 64 bit", "unknown field"],
)
def test_bad_body_through_the_edge(stack, database, product_id, name):
    data = request_bytes("POST", f"/api/products/{product_id}/update-stock", JSON, BAD_BODIES[name])
    assert_refused(answer(stack.edge, data))


def test_a_body_too_large_for_the_edge(stack, product_id):
    body = b'{"delta":1}'.ljust(1_100_000)
    assert (
        answer(
            stack.edge,
            request_bytes("POST", f"/api/products/{product_id}/update-stock", JSON, body),
        ).status
        == 413
    )


def test_a_chunked_body_through_the_edge(stack, database):
    """The edge may put it together for the service, or refuse it."""
    id = database.create_product()
    headers = JSON + [("Transfer-Encoding", "chunked")]
    data = (
        request_bytes("POST", f"/api/products/{id}/update-stock", headers)
        + b'b\r\n{"delta":1}\r\n0\r\n\r\n'
    )
    reply = answer(stack.edge, data)
    assert reply.status in (200, 411), reply
    assert database.product(id)["stock"] == (1 if reply.status == 200 else 0)
