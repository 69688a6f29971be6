"""docs/openapi.yaml, and whether a reply agrees with it."""

import json
import re
from decimal import Decimal

import jsonschema
import yaml

from support.stack import ROOT

METHODS = ("get", "head", "post", "put", "patch", "delete")
TEXT_TYPES = ("text/plain", "text/html", "application/yaml")


class ExactLoader(yaml.SafeLoader):
    """A price is compared with a limit as it stands in the document, not with the nearest float."""


ExactLoader.add_constructor(
    "tag:yaml.org,2002:float", lambda loader, node: Decimal(loader.construct_scalar(node))
)


class Document:
    def __init__(self, path=ROOT / "docs" / "openapi.yaml"):
        self.tree = yaml.load(path.read_text(encoding="utf-8"), ExactLoader)
        self.resolver = jsonschema.RefResolver("", self.tree)
        self.operations = {}  # operationId: (method, path template, operation)
        for template, item in self.tree["paths"].items():
            for method in METHODS:
                if method in item:
                    operation = dict(item[method])
                    operation["parameters"] = [
                        self.resolve(parameter)
                        for parameter in item.get("parameters", [])
                        + operation.get("parameters", [])
                    ]
                    self.operations[operation["operationId"]] = (
                        method.upper(),
                        template,
                        operation,
                    )

    def resolve(self, node):
        """The node itself, or the node that its $ref points to."""
        while isinstance(node, dict) and "$ref" in node:
            node = self.resolver.resolve(node["$ref"])[1]
        return node

    def schemas(self):
        """(where, schema) of every schema of the document, but not those within others."""

        def walk(node, where):
            if isinstance(node, dict):
                for key, value in node.items():
                    if key == "schema":
                        yield f"{where}/schema", value
                    elif key != "schemas":
                        yield from walk(value, f"{where}/{key}")
            elif isinstance(node, list):
                for number, value in enumerate(node):
                    yield from walk(value, f"{where}/{number}")

        yield from walk(self.tree, "")
        for name, schema in self.tree["components"]["schemas"].items():
            yield f"/components/schemas/{name}", schema

    def validate(self, value, schema):
        jsonschema.Draft202012Validator(schema, resolver=self.resolver).validate(value)

    def documented(self):
        """Every (operationId, status) there is."""
        return [
            (name, int(status))
            for name, (_, _, operation) in self.operations.items()
            for status in operation["responses"]
        ]

    def check(self, operation_id, reply, body=True):
        """Fails when the document does not have this reply. `body` False: the reply to a HEAD."""
        _, _, operation = self.operations[operation_id]
        assert (
            str(reply.status) in operation["responses"]
        ), f"{operation_id} does not document this: {reply}"
        response = self.resolve(operation["responses"][str(reply.status)])
        for name, header in response.get("headers", {}).items():
            self._check_header(name, self.resolve(header), reply)
        if "content" not in response:
            assert reply.body == b"" and reply.header("Content-Type") is None, reply
            return
        media_type = reply.header("Content-Type").partition(";")[0]
        assert media_type in response["content"], reply
        if not body or media_type in TEXT_TYPES:
            return
        schema = response["content"][media_type]["schema"]
        if media_type == "application/x-ndjson":
            assert reply.body.endswith(b"\n"), reply
            for line in reply.body.splitlines():
                self.validate(json.loads(line), schema)
        else:
            self.validate(reply.json(), schema)

    def _check_header(self, name, header, reply):
        text = reply.header(name)
        if text is None:
            assert not header.get("required"), f"the header {name} is missing: {reply}"
            return
        schema = self.resolve(header["schema"])
        is_number = schema.get("type") == "integer" and re.fullmatch(r"-?\d+", text)
        self.validate(int(text) if is_number else text, schema)
