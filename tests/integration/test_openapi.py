"""docs/openapi.yaml against the running services: each status it has is provoked, each reply
validated."""

import functools
import json
import subprocess
import uuid
from decimal import Decimal

import jsonschema
import pytest

from support.http_client import insist
from support.openapi import Document
from support.orders import items_of
from support.raw_http import RawConnection, exchange, request_bytes
from support.service_process import ServiceProcess
from support.stack import binary

pytestmark = pytest.mark.quick

DOCUMENT = Document()
JSON = [("Content-Type", "application/json")]
READS = {
    "listProducts": "/api/products",
    "getProduct": "/api/products/{id}",
    "getStock": "/api/products/{id}/stock",
    "getStockOfMany": "/api/stock?ids={id}",
    "listMovements": "/api/products/{id}/movements",
    "listChanges": "/api/changes",
    "listOrders": "/api/orders",
    "getOrder": "/api/orders/{id}",
    "getReservation": "/api/reservations/{id}",
}
# The pages for people.
PAGES = {
    "getConsole": "/",
    "listProblems": "/problems/",
    "getProblem": "/problems/not-found",
    "getDocs": "/docs",
    "getDocument": "/docs/openapi.yaml",
}
# Method, path, and a body that is taken, for a product where it names one.
WRITES = {
    "updateStock": ("POST", "/api/products/{id}/update-stock", {"delta": 1}),
    "changeStock": (
        "POST",
        "/api/stock/changes",
        lambda product: {"changes": [{"id": product, "delta": 1}, {"sku": "-", "stock": 1}]},
    ),
    "createOrder": ("POST", "/api/orders", lambda product: {"items": items_of((product, 2))}),
    "cancelOrder": ("POST", "/api/orders/{id}/cancel", None),
    "createReservation": (
        "POST",
        "/api/reservations",
        lambda product: {"items": items_of((product, 2)), "ttlSeconds": 60},
    ),
    "confirmReservation": ("POST", "/api/reservations/{id}/confirm", None),
    "releaseReservation": ("POST", "/api/reservations/{id}/release", {}),
    "createProduct": ("POST", "/api/catalog/products", {"name": "A thing", "price": 1, "stock": 2}),
    "editProduct": ("PATCH", "/api/catalog/products/{id}", {"price": 9.5}),
    "deleteProduct": ("DELETE", "/api/catalog/products/{id}", None),
    "importProducts": (
        "POST",
        "/api/catalog/import",
        b'{"sku":"of the document","name":"A thing","price":1,"stock":2}\n',
    ),
}
# What an {id} is one of, where it is no product.
MADE_BY = {
    "getOrder": "create_order",
    "cancelOrder": "create_order",
    "getReservation": "create_reservation",
    "confirmReservation": "create_reservation",
    "releaseReservation": "create_reservation",
}


# -- the document itself


def test_schemas_are_schemas():
    for where, schema in DOCUMENT.schemas():
        try:
            jsonschema.Draft202012Validator.check_schema(schema)
        except jsonschema.SchemaError as error:
            raise AssertionError(f"{where}: {error.message}") from None


def test_references_resolve_and_components_are_used():
    used = set()

    def walk(node):
        if isinstance(node, dict):
            if "$ref" in node:
                used.add(node["$ref"])
                DOCUMENT.resolver.resolve(node["$ref"])
            node = list(node.values())
        if isinstance(node, list):
            for value in node:
                walk(value)

    walk(DOCUMENT.tree)
    components = DOCUMENT.tree["components"]
    there = {
        f"#/components/{kind}/{name}"
        for kind in components
        if kind != "securitySchemes"
        for name in components[kind]
    }
    assert there == used


def test_examples_are_valid():
    def walk(node):
        if isinstance(node, dict):
            if isinstance(node.get("schema"), dict):
                examples = [example["value"] for example in node.get("examples", {}).values()]
                for example in examples + ([node["example"]] if "example" in node else []):
                    DOCUMENT.validate(example, node["schema"])
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(DOCUMENT.tree)
    for schema in DOCUMENT.tree["components"]["schemas"].values():
        for example in schema.get("examples", []):
            DOCUMENT.validate(example, schema)


def test_operations_have_their_own_ids():
    count = sum(
        method in item
        for item in DOCUMENT.tree["paths"].values()
        for method in ("get", "head", "post", "put", "patch", "delete")
    )
    assert len(DOCUMENT.operations) == count


def routes_of(service):
    """The table of the API as a built service prints it: (method, path, service)."""
    text = subprocess.check_output([binary(service), "--print-routes"], text=True)
    return {tuple(line.split()) for line in text.splitlines()}


def test_the_document_has_the_routes_of_the_services():
    documented = {
        (method.upper(), path)
        for method, path, operation in DOCUMENT.operations.values()
        if operation["tags"] != ["operations"]
    }
    assert documented == {(method, path) for method, path, _ in routes_of("read-svc")}
    assert routes_of("read-svc") == routes_of("write-svc")


def test_each_route_is_answered_by_its_service_and_by_it_alone(stack):
    """Asked for a product that cannot be: the service of the route names the field, the other one
    has no such path. Through the edge it is the answer of the service of the route."""
    for method, path, service in routes_of("read-svc"):
        target = path.replace("{id}", "0") + ("?ids=0&limit=0" if "{id}" not in path else "")
        own, other = (stack.reads, stack.writes)[:: 1 if service == "read-svc" else -1]
        for client in (*own, stack.edge):
            # of a path without an id it is the body that is refused
            status = 400 if method == "GET" or "{id}" in path else 415
            assert client.request(method, target).status == status, (method, path)
        for client in other:
            reply = client.request(method, target)
            if (method, path) == ("GET", "/api/orders"):  # the exception, see test_orders_read.py
                assert reply.status == 307
                continue
            assert reply.status == 404 and service in reply.json()["detail"], (method, path)


# -- each documented status


@pytest.fixture(scope="module")
def bench(stack, database, unknown_id, tmp_path_factory):
    """Requests that provoke every status: the stack, and services of its own that have no stores
    or want a token."""
    folder = tmp_path_factory.mktemp("openapi")
    tokens = folder / "tokens"
    tokens.write_text("token\n")
    nowhere = {"database": {"url": "postgres://127.0.0.1:1/none"}, "redis": {"url": ""}}
    guarded = {
        "database": {"url": stack.env["DATABASE_URL"]},
        "redis": {"url": stack.env["REDIS_URL"]},
        "auth": {"tokens_file": str(tokens)},
    }
    with ServiceProcess("read-svc", folder, nowhere, wait="alive") as storeless_read:
        hasty = {**nowhere, "http": {"read_timeout_ms": 500}}
        with ServiceProcess("write-svc", folder, hasty, wait="alive") as storeless_write:
            with ServiceProcess("write-svc", folder, guarded) as guarded_write:
                services = (storeless_read, storeless_write, guarded_write)
                yield Bench(stack, database, unknown_id, services, folder)


class Bench:
    def __init__(self, stack, database, unknown_id, services, folder):
        self.stack, self.database, self.unknown_id = stack, database, unknown_id
        self.storeless_read, self.storeless_write, self.guarded_write = services
        self.reader, self.writer = stack.reads[0], stack.writes[0]
        self.folder = folder

    def reply(self, operation, status):
        """Provokes one status of one operation."""
        return getattr(self, f"status_{status}")(operation)

    def subject(self, operation):
        """Something new that the operation can be about: the {id} of its path, and a product."""
        product = self.database.create_product(stock=5)
        if operation not in MADE_BY:
            return product, product
        return getattr(self.database, MADE_BY[operation])({product: 2}), product

    def path(self, operation, id=None):
        template = READS.get(operation) or WRITES[operation][1]
        return template.format(id=id or self.subject(operation)[0])

    def write(self, operation, client=None, id=None, headers=None, product=None, **changed):
        """A write that is taken, but for what is `changed` of its body."""
        method, _, body = WRITES[operation]
        headers = dict(headers or {})
        if callable(body):
            body = body(product or self.database.create_product(stock=5))
        if isinstance(body, bytes):
            headers.setdefault("Content-Type", "application/x-ndjson")
        elif changed:
            body = {**(body or {}), **changed}
        return (client or self.writer).request(method, self.path(operation, id), body, headers)

    def raw(self, operation, headers, body=b""):
        client = self.writer if operation in WRITES else self.reader
        method = WRITES[operation][0] if operation in WRITES else "GET"
        return exchange(client.base_url, request_bytes(method, self.path(operation), headers, body))

    def status_200(self, operation):
        if operation in WRITES:
            return self.write(operation)
        if operation in READS:
            return self.reader.get(self.path(operation))
        _, path, _ = DOCUMENT.operations[operation]
        client = self.reader if operation in PAGES else self.stack.read_ops[0]
        return client.get(PAGES.get(operation, path))

    def status_201(self, operation):
        return self.write(operation)

    def status_204(self, operation):
        return self.write(operation)

    def status_304(self, operation):
        return self.reader.get(self.path(operation), {"If-None-Match": '"1"'})

    def status_400(self, operation):
        if operation == "importProducts":
            return self.write(operation, headers={"Idempotency-Key": "k"})
        if operation in WRITES:
            return self.write(operation, id="0x", nothing=1)
        bad = {
            "listProducts": "/api/products?limit=0",
            "getStockOfMany": "/api/stock?ids=0",
            "listChanges": "/api/changes?after=x",
            "listOrders": "/api/orders?limit=0",
        }
        return self.reader.get(bad.get(operation) or self.path(operation, id="0x"))

    def status_401(self, operation):
        return self.write(operation, self.guarded_write.client)

    def status_404(self, operation):
        if operation in PAGES:
            return self.storeless_read.client.get(PAGES[operation])
        if operation in WRITES:
            unknown = self.unknown_id()
            return self.write(operation, id=unknown, product=unknown)
        return self.reader.get(self.path(operation, id=self.unknown_id()))

    def status_408(self, operation):
        media_type = "application/" + ("x-ndjson" if operation == "importProducts" else "json")
        headers = [("Content-Type", media_type), ("Content-Length", "50")]
        # a body is read before any store is asked, but that of an import
        hasty = operation != "importProducts"
        writer = self.storeless_write.client if hasty else self.writer
        with RawConnection(writer.base_url) as connection:
            head = request_bytes(WRITES[operation][0], self.path(operation), headers)
            connection.send(head + b'{"delta')
            return connection.read_reply()

    def status_409(self, operation):
        if operation == "updateStock":
            return self.write(operation, delta=-6)
        if operation == "changeStock":
            return self.write(operation, atomic=True)
        if operation in ("createOrder", "createReservation"):
            return self.write(operation, product=self.database.create_product(stock=1))
        if operation in MADE_BY:
            id, _ = self.subject(operation)
            assert self.write(operation, id=id).status in (200, 201)
            return self.write(operation, id=id)
        if operation == "createProduct":
            sku = str(uuid.uuid4())
            assert self.write(operation, sku=sku).status == 201
            return self.write(operation, sku=sku)
        if operation == "deleteProduct":
            id = self.database.create_product(stock=5)
            self.database.rows("UPDATE products SET reserved = 1, stock = 4 WHERE id = %s", id)
            try:
                return self.write(operation, id=id)
            finally:
                self.database.rows("UPDATE products SET reserved = 0, stock = 5 WHERE id = %s", id)
        return self.with_busy_key(lambda key: self.write(operation, headers=key))

    def with_busy_key(self, write):
        """The answer to a request while the first one with its key is being worked on."""
        key, lock = str(uuid.uuid4()), "advisory_{}lock(hashtextextended(%s, 1))"
        self.database.rows("SELECT pg_" + lock.format(""), key)
        try:
            return write({"Idempotency-Key": key})
        finally:
            self.database.rows("SELECT pg_" + lock.format("un"), key)

    def status_410(self, operation):
        return self.reader.get(self.path(operation) + "?after=1.1.5-0")

    def status_411(self, operation):
        coding = "gzip" if operation == "importProducts" else "chunked"
        return self.raw(operation, JSON + [("Transfer-Encoding", coding)])

    def status_412(self, operation):
        if operation in READS:
            return self.reader.get(self.path(operation), {"Min-Version": "2"})
        return self.write(operation, headers={"If-Match": '"2"'})

    def status_413(self, operation):
        return self.raw(operation, JSON + [("Content-Length", "1048577")])

    def status_414(self, operation):
        """Of the edge: a service takes longer lines than that."""
        method = WRITES[operation][0] if operation in WRITES else "GET"
        target = f"{self.path(operation)}?{'a' * 9000}"
        return exchange(self.stack.edge.base_url, request_bytes(method, target, JSON, b"{}"))

    def status_415(self, operation):
        return self.raw(operation, [("Content-Type", "text/plain")], b'{"delta":1}')

    def status_422(self, operation):
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        id, product = self.subject(operation)
        self.write(operation, id=id, headers=headers, product=product)
        headers["If-Match"] = "*"
        return self.write(operation, id=id, headers=headers, product=product)

    def status_429(self, operation):
        return self.limited[operation]

    @functools.cached_property
    def limited(self):
        """The answer of each operation to a client that asked too often, by operationId."""
        with self.stack.limited_edge("1r/m") as edge:
            for _ in range(5):
                edge.get("/api/products")
            replies = {operation: edge.get(self.path(operation)) for operation in READS}
            replies.update({operation: self.write(operation, edge) for operation in WRITES})
            return replies

    def status_431(self, operation):
        return self.raw(operation, [("X-Big", "a" * 40_000)])

    def status_500(self, operation):
        """A database that lacks the functions."""
        if operation == "importProducts":
            url = self.stack.env["DIRECT_URL"].rpartition("/")[0] + "/postgres"
            settings = {"database": {"url": url}, "redis": {"url": ""}}
            with ServiceProcess("write-svc", self.folder, settings, wait="alive") as service:
                return insist(lambda: self.write(operation, service.client))
        # a rule of the database's owner forbids the change
        id, product = self.subject(operation)
        version = self.database.product(product)["version"]
        rule = f"(id <> {product} OR version <= {version}) AND name <> 'forbidden'"
        with self.database.constraint(rule):
            if operation == "createProduct":
                return self.write(operation, name="forbidden")
            return self.write(operation, id=id, product=product)

    def status_503(self, operation):
        if operation in WRITES:
            return self.write(operation, self.storeless_write.client)
        if operation in READS:
            return self.storeless_read.client.get(self.path(operation))
        return self.storeless_write.ops.get(DOCUMENT.operations[operation][1])

    def status_504(self, operation):
        """Of a product that no read-svc has loaded."""
        id = self.database.create_product(sku=uuid.uuid4().hex)
        path = self.path(operation, id)
        if operation == "listProducts":
            sku = self.database.product(id)["sku"]
            path = f"{path}?sku={sku}"
        return self.reader.get(path, {"Cache-Control": "only-if-cached"})


@pytest.mark.parametrize("operation, status", DOCUMENT.documented())
def test_each_documented_status(bench, operation, status):
    reply = bench.reply(operation, status)
    assert reply is not None, "the connection was closed without an answer"
    assert reply.status == status, reply
    DOCUMENT.check(operation, reply)


@pytest.mark.parametrize("operation", READS)
def test_head(bench, operation):
    DOCUMENT.check(operation, bench.reader.head(bench.path(operation)), body=False)


def test_both_kinds_of_pages(bench):
    for query in (
        "page=1",
        "page=1000000",
        "after=0",
        "after=9223372036854775807",
        "after=0&limit=100",
    ):
        DOCUMENT.check("listProducts", bench.reader.get(f"/api/products?{query}"))


def test_reads_by_sku(bench):
    sku = uuid.uuid4().hex
    bench.database.create_product(sku=sku)
    for query in (sku, "unknown", f"{sku},unknown"):
        DOCUMENT.check("listProducts", bench.reader.get(f"/api/products?sku={query}"))
        DOCUMENT.check("getStockOfMany", bench.reader.get(f"/api/stock?skus={query}"))


def test_each_operations_port_has_the_operations(stack):
    for client in stack.ops():
        for operation, (method, path, details) in DOCUMENT.operations.items():
            if details["tags"] == ["operations"]:
                DOCUMENT.check(operation, client.request(method, path))


def test_allow_is_what_the_document_has(stack, database):
    """Asked with a method that no path has: the answer names those of the document, GET bringing
    HEAD with it."""
    for _, template, operation in DOCUMENT.operations.values():
        if operation["tags"] == ["operations"]:
            continue
        documented = {
            method.upper()
            for method in DOCUMENT.tree["paths"][template]
            if method in ("get", "post", "put", "patch", "delete")
        }
        documented |= {"HEAD"} if "GET" in documented else set()
        for client in stack.services():
            reply = client.request("PUT", template.format(id=database.create_product()))
            assert reply.status == 405
            assert {method.strip() for method in reply.header("Allow").split(",")} == documented


# -- limits: the last value that a schema allows is taken, the next is not


def limits():
    for operation, (_, template, details) in DOCUMENT.operations.items():
        for parameter in details["parameters"]:
            schema = DOCUMENT.resolve(parameter["schema"])
            if schema.get("type") == "integer" and parameter["in"] in ("query", "header"):
                yield operation, template, parameter, schema


@pytest.mark.parametrize(
    "operation, template, parameter, schema",
    limits(),
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_limits_of_parameters(bench, operation, template, parameter, schema):
    path = template.format(id=bench.database.create_product())

    def status(value):
        if parameter["in"] == "query":
            return bench.reader.get(f"{path}?{parameter['name']}={value}").status
        return bench.reader.get(path, {parameter["name"]: str(value)}).status

    largest = schema.get("maximum", 2**63 - 1)
    assert status(schema["minimum"]) == 200
    assert status(schema["minimum"] - 1) == 400
    assert status(largest) == (412 if parameter["name"] == "Min-Version" else 200)
    assert status(largest + 1) == 400


def test_limits_of_the_change(bench):
    schema = DOCUMENT.tree["components"]["schemas"]["StockChange"]["properties"]
    id = bench.database.create_product(stock=0)
    change = lambda body: bench.writer.update_stock(id, body).status
    stock = DOCUMENT.resolve(schema["stock"])
    assert change({"stock": stock["maximum"]}) == 200
    assert change({"stock": stock["maximum"] + 1}) == 400
    assert change({"delta": schema["delta"]["minimum"]}) == 200
    assert change({"delta": schema["delta"]["minimum"] - 1}) == 400
    assert change({"delta": schema["delta"]["maximum"]}) == 200
    assert change({"delta": schema["delta"]["maximum"] + 1}) == 400
    longest = DOCUMENT.resolve(schema["reason"])["maxLength"]
    assert change({"stock": stock["minimum"], "reason": "Ж" * longest}) == 200
    assert change({"stock": stock["minimum"], "reason": "Ж" * (longest + 1)}) == 400


# -- what a schema refuses is refused, and what it takes is taken


def body_schema(operation):
    content = DOCUMENT.operations[operation][2]["requestBody"]["content"]
    return content["application/json"]["schema"]


def header_schema(operation, name):
    parameters = DOCUMENT.operations[operation][2]["parameters"]
    return next(parameter["schema"] for parameter in parameters if parameter["name"] == name)


def is_valid(value, schema):
    try:
        DOCUMENT.validate(value, schema)
    except jsonschema.ValidationError:
        return False
    return True


def new_product(**fields):
    return {"name": "A thing", "price": 1, "stock": 2, **fields}


BODIES = [
    ("createProduct", new_product(name="\x01\n\x7f"), True),
    ("createProduct", new_product(name="a\0b"), False),
    ("createProduct", new_product(price=Decimal("0.07")), True),
    ("createProduct", new_product(price=Decimal("9999999999.99")), True),
    ("createProduct", new_product(price=Decimal("1.001")), False),
    ("createProduct", new_product(price="0.5"), True),
    ("createProduct", new_product(price="00.5"), False),
    ("createProduct", new_product(price="01"), False),
    ("changeStock", {"changes": [{"id": 1, "delta": 0, "reason": "\0"}]}, False),
    ("changeStock", {"changes": [{"id": 1, "delta": 0, "ifVersion": 2**53 - 1}]}, True),
    ("changeStock", {"changes": [{"id": 1, "delta": 0, "ifVersion": 2**53}]}, False),
    ("updateStock", {"delta": 0, "reason": "\t"}, True),
    ("updateStock", {"delta": 0, "reason": "\0"}, False),
    ("createOrder", {"productId": 1}, False),
    ("createOrder", {"qty": 1}, False),
    ("createOrder", {"items": [{"productId": 1, "qty": 1}], "productId": 1}, False),
    ("createOrder", {"items": [{"productId": 1, "qty": 1}], "qty": 1}, False),
]


@pytest.mark.parametrize("operation, body, taken", BODIES)
def test_bodies(bench, operation, body, taken):
    text = json.dumps(body, default=float)
    assert is_valid(json.loads(text, parse_float=Decimal), body_schema(operation)) == taken
    reply = bench.raw(operation, JSON, text.encode())
    assert (reply.status != 400) == taken, reply


FIELDS = [
    ("Idempotency-Key", '"', True),
    ("Idempotency-Key", 'a "key" of 1', True),
    ("Idempotency-Key", '""', False),
    ("Idempotency-Key", "", False),
    ("Idempotency-Key", "a" * 256, False),
    ("Idempotency-Key", "\u00fc", False),
    ("If-Match", "*", True),
    ("If-Match", '""', True),
    ("If-Match", 'W/"1" , "x"', True),
    ("If-Match", "1", False),
    ("If-Match", '"1" "2"', False),
    ("If-Match", '*, "1"', False),
    ("If-None-Match", 'no tag, "', True),
    ("If-None-Match", "a\tb", False),
    ("Cache-Control", "a\x7fb", False),
]


@pytest.mark.parametrize("name, value, taken", FIELDS)
def test_header_fields(bench, name, value, taken):
    operation = "getProduct" if name in ("If-None-Match", "Cache-Control") else "editProduct"
    assert is_valid(value, header_schema(operation, name)) == taken
    body = b'{"price":9.5}' if operation in WRITES else b""
    reply = bench.raw(operation, [*JSON, (name, value)], body)
    assert (reply.status != 400) == taken, reply


def test_the_checker_can_fail(bench):
    reply = bench.status_200("getProduct")
    for spoil in (
        lambda: setattr(reply, "body", reply.body.replace(b'"stock"', b'"stick"')),
        lambda: setattr(
            reply, "headers", [pair for pair in reply.headers if pair[0].lower() != "etag"]
        ),
        lambda: setattr(reply, "status", 202),
    ):
        spoil()
        with pytest.raises((AssertionError, jsonschema.ValidationError)):
            DOCUMENT.check("getProduct", reply)
