#!/usr/bin/python3
"""Writes the page /docs of docs/openapi.yaml to standard output; CMake runs it.

Usage: api.py OPENAPI TEMPLATE

The template is a page in which @NAV@, @INTRO@, @OPERATIONS@ and @SCHEMAS@ stand for what is made
here. Each operation is an <article> with its operationId as id, each schema one with "schema-NAME".
"""
import html
import json
import re
import shlex
import sys

import yaml

METHODS = ("get", "post", "put", "patch", "delete")
TITLES = {"reads": "Reads", "changes": "Changes", "operations": "For people and operators"}
LOCAL = "http://127.0.0.1:18080"  # where the script does not put the page's own address in


def text(value):
    return html.escape(str(value))


def code(value):
    return f"<code>{text(value)}</code>"


def inline(words):
    """Text with `code` in it."""
    parts = re.split(r"`([^`]*)`", " ".join(words.split()))
    return "".join(code(part) if i % 2 else text(part) for i, part in enumerate(parts))


def prose(words):
    """Paragraphs, and lists whose lines begin with "* "."""
    found = []
    for block in re.split(r"\n\s*\n", (words or "").strip()):
        if block.startswith("* "):
            items = re.split(r"(?:^|\n)\* ", block)[1:]
            found.append("<ul>" + "".join(f"<li>{inline(i)}</li>" for i in items) + "</ul>")
        elif block:
            found.append(f"<p>{inline(block)}</p>")
    return "\n".join(found)


def shown(value):
    return json.dumps(value, ensure_ascii=False)


def block(value):
    return f"<pre>{text(json.dumps(value, indent=2, ensure_ascii=False))}</pre>"


class Document:
    def __init__(self, file):
        with open(file, encoding="utf-8") as lines:
            self.tree = yaml.safe_load(lines)

    def resolve(self, node):
        """What a reference leads to; anything else as it is."""
        while isinstance(node, dict) and "$ref" in node:
            place = self.tree
            for step in node["$ref"].removeprefix("#/").split("/"):
                place = place[step]
            node = place
        return node

    def operations(self):
        """(path, method, operation) in the order of the document, with the path's parameters."""
        for path, item in self.tree["paths"].items():
            for method in METHODS:
                if method in item:
                    operation = dict(item[method])
                    operation["parameters"] = [
                        self.resolve(p)
                        for p in item.get("parameters", []) + operation.get("parameters", [])
                    ]
                    operation.setdefault("servers", item.get("servers"))
                    yield path, method, operation

    # -- schemas

    def kind(self, schema):
        """A schema in a few words, with links to those that have a name."""
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            return f'<a href="#schema-{name}">{name}</a>'
        for key, joint in (("oneOf", " or "), ("anyOf", " or "), ("allOf", " and ")):
            if key in schema:
                return joint.join(self.kind(part) for part in schema[key])
        if "const" in schema:
            return code(shown(schema["const"]))
        if "enum" in schema:
            return ", ".join(code(shown(value)) for value in schema["enum"])
        kinds = schema.get("type", "any")
        kinds = " or ".join([kinds] if isinstance(kinds, str) else kinds)
        if schema.get("type") == "array":
            kinds = f"array of {self.kind(schema.get('items', {}))}"
        return f"{kinds}{self.limits(schema)}"

    def limits(self, schema):
        low, high = schema.get("minimum"), schema.get("maximum")
        found = []
        if low is not None and high is not None:
            found.append(f"{low} to {high}")
        elif low is not None:
            found.append(f"from {low}")
        elif high is not None:
            found.append(f"up to {high}")
        for least, most, what in (
            ("minLength", "maxLength", "characters"),
            ("minItems", "maxItems", "items"),
        ):
            if least in schema and most in schema:
                found.append(f"{schema[least]} to {schema[most]} {what}")
            elif most in schema:
                found.append(f"up to {schema[most]} {what}")
            elif least in schema:
                found.append(f"at least {schema[least]} {what}")
        if "default" in schema:
            found.append(f"default {shown(schema['default'])}")
        return "".join(f", {text(limit)}" for limit in found)

    def properties(self, schema):
        """The members of an object as a table; of alternatives, one table each."""
        parts = schema.get("oneOf", []) + schema.get("anyOf", []) + schema.get("allOf", [])
        tables = [self.properties(p) for p in parts if "$ref" not in p and p.get("properties")]
        rows = []
        for name, member in schema.get("properties", {}).items():
            rows += self.rows(name, member, name in schema.get("required", []))
        if rows:
            tables.insert(0, table(("Member", "Value", ""), rows))
        return "\n".join(tables)

    def rows(self, name, member, is_required):
        need = "" if is_required else '<span class="soft">may be missing</span> '
        yield code(name), self.kind(member), need + inline(member.get("description", ""))
        inner, prefix = member, name
        if member.get("type") == "array":
            inner, prefix = member.get("items", {}), f"{name}[]"
        for key, value in inner.get("properties", {}).items() if "$ref" not in inner else []:
            yield from self.rows(f"{prefix}.{key}", value, key in inner.get("required", []))

    def example(self, schema):
        """An example that the document has for it, or None."""
        schema = self.resolve(schema)
        return schema["examples"][0] if schema.get("examples") else None


def table(head, rows):
    top = "".join(f"<th>{title}</th>" for title in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>\n" for row in rows
    )
    return f'<div class="wide"><table><tr>{top}</tr>\n{body}</table></div>'


# -- requests


def example_of(parameter):
    value = parameter.get("example", parameter.get("schema", {}).get("default"))
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def example_path(path, operation):
    """With an example for each parameter that must be there."""
    for parameter in operation["parameters"]:
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", example_of(parameter))
    query = [p for p in operation["parameters"] if p["in"] == "query"]
    query = [p for p in query if p["name"] == "limit"] or [p for p in query if "example" in p]
    return path + (f"?{query[0]['name']}={example_of(query[0])}" if query else "")


def body_examples(document, content):
    examples = [document.resolve(e)["value"] for e in content.get("examples", {}).values()]
    if not examples and document.example(content["schema"]) is not None:
        examples = [document.example(content["schema"])]
    return examples


def curl(document, path, method, operation):
    words = ["curl -si"]
    body = document.resolve(operation.get("requestBody"))
    if method not in ("get", "post") or (method == "post" and not body):
        words.append(f"-X {method.upper()}")
    base = operation["servers"][0]["url"] if operation["servers"] else LOCAL
    address = text(shlex.quote(f"@@{example_path(path, operation)}"))
    shown_base = text(base) if operation["servers"] else f'<span class="base">{text(base)}</span>'
    words.append(address.replace("@@", shown_base))
    if body:
        ((media, content),) = body["content"].items()
        examples = body_examples(document, content)
        words.append(f"-H 'Content-Type: {media}'")
        if examples:
            option = "--data-binary" if "ndjson" in media else "-d"
            words.append(f"{option} {text(shlex.quote(shown(examples[0])))}")
    return f'<pre class="curl">{" ".join(words)}</pre>'


def try_form(path, operation):
    """The script makes it work; without one it is hidden."""
    label = f"Path of {operation['operationId']}"
    return (
        f'<form class="try" hidden><input aria-label="{label}" spellcheck="false" '
        f'value="{text(example_path(path, operation))}"><button>Run</button>'
        '<pre class="answer" hidden tabindex="0" role="status"></pre></form>'
    )


# -- answers


def problems_of(document, answer):
    """The types that an answer may have: what its schema names, and what its text does."""
    found = []
    for media, content in answer.get("content", {}).items():
        if "problem" not in media:
            continue
        kind = document.resolve(content["schema"]).get("properties", {}).get("type", {})
        names = kind.get("enum", [kind["const"]] if "const" in kind else [])
        found += [name.removeprefix("/problems/") for name in names]
    return found


def answer_row(document, status, answer):
    answer = document.resolve(answer)
    shapes = []
    for media, content in answer.get("content", {}).items():
        if "problem" not in media and media != "text/html":
            shapes.append(document.kind(content["schema"]))
    types = [f'<a href="/problems/{name}">{name}</a>' for name in problems_of(document, answer)]
    if status[0] in "45" and not types:
        types = [f'<a href="/problems/">problem {status}</a>']
    headers = [
        name
        for name in answer.get("headers", {})
        if name not in ("X-Request-Id", "X-Instance", "Cache-Control")
    ]
    also = f' <span class="soft">{", ".join(map(code, headers))}</span>' if headers else ""
    return code(status), inline(answer.get("description", "")) + also, ", ".join(shapes or types)


def examples_of(document, operation):
    """Of the answer that is meant."""
    found = []
    for status, answer in operation["responses"].items():
        if not status.startswith("2"):
            continue
        for media, content in document.resolve(answer).get("content", {}).items():
            if media == "application/json":
                found += body_examples(document, content)
    return found


def operation_article(document, path, method, operation):
    parts = [
        f'<article id="{operation["operationId"]}">',
        f'<h3><span class="method {method}">{method.upper()}</span> {text(path)}</h3>',
        f"<p><strong>{inline(operation['summary'])}</strong></p>",
        prose(operation.get("description")),
        curl(document, path, method, operation),
    ]
    if method == "get" and not operation["servers"]:
        parts.append(try_form(path, operation))
    if operation["parameters"]:
        rows = [
            (
                f"{code(p['name'])} <span class='soft'>{p['in']}</span>",
                document.kind(p["schema"]) + ("" if "example" not in p else
                f" <span class='soft'>e.g. {code(example_of(p))}</span>"),
                prose(p.get("description")),
            )
            for p in operation["parameters"]
        ]  # fmt: skip
        parts += ["<h4>Parameters</h4>", table(("Name", "Value", ""), rows)]
    body = document.resolve(operation.get("requestBody"))
    if body:
        ((media, content),) = body["content"].items()
        parts.append(f"<h4>Body</h4><p>{code(media)}: {document.kind(content['schema'])}</p>")
        parts += [block(example) for example in body_examples(document, content)]
    rows = [answer_row(document, s, a) for s, a in operation["responses"].items()]
    parts += ["<h4>Answers</h4>", table(("Status", "Meaning", ""), rows)]
    examples = examples_of(document, operation)
    if examples:
        parts.append("<details><summary>Example answers</summary>")
        parts += [block(example) for example in examples]
        parts.append("</details>")
    return "\n".join(part for part in parts if part) + "\n</article>\n"


def schema_article(document, name, schema):
    parts = [
        f'<article id="schema-{name}">',
        f"<h3>{name}</h3>",
        prose(schema.get("description")),
        document.properties(schema) or f"<p>{document.kind(schema)}</p>",
    ]
    if document.example(schema) is not None:
        parts.append(block(document.example(schema)))
    return "\n".join(part for part in parts if part) + "\n</article>\n"


def page(document, template):
    groups = {tag["name"]: [] for tag in document.tree["tags"]}
    for path, method, operation in document.operations():
        groups[operation["tags"][0]].append((path, method, operation))
    nav, articles = [], []
    for tag, found in groups.items():
        links = "".join(
            f'<li><a href="#{o["operationId"]}">{inline(o["summary"])}</a></li>'
            for _, _, o in found
        )
        nav.append(f"<div><h2>{TITLES[tag]}</h2><ul>{links}</ul></div>")
        articles.append(f"<h2>{TITLES[tag]}</h2>\n")
        articles += [operation_article(document, *o) for o in found]
    schemas = document.tree["components"]["schemas"]
    parts = {
        "@NAV@": "\n".join(nav),
        "@INTRO@": prose(document.tree["info"]["description"]),
        "@OPERATIONS@": "".join(articles),
        "@SCHEMAS@": "".join(schema_article(document, *item) for item in schemas.items()),
    }
    for mark, made in parts.items():
        template = template.replace(mark, made)
    return template


if __name__ == "__main__":
    openapi, template_file = sys.argv[1:]
    with open(template_file, encoding="utf-8") as lines:
        sys.stdout.reconfigure(encoding="utf-8")
        sys.stdout.write(page(Document(openapi), lines.read()))
