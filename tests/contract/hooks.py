"""What Schemathesis must know of the API beside docs/openapi.yaml, because OpenAPI has no words for
it. A failure is dropped by its reason alone."""

import json
import uuid

import schemathesis

# Details of a 400: rules between parameters, or between the items of a list, and a cursor that only
# an answer can give.
RULES = {
    "expected without page, after and limit",
    "expected either page or after, not both",
    "expected either ids or skus, not both",
    "expected 1 to 100 product ids with commas between them, or skus",
    "expected each product once",
    "expected meta.next of an earlier answer, or now; or nothing, to begin at the beginning",
}

EXAMPLE_KEY = "7d0c2f6e-6a1e-4c55-9f0a-d1a5b8f2c001"


@schemathesis.serializer("application/x-ndjson")
def one_line(_, value):
    return json.dumps(value).encode() + b"\n"


@schemathesis.deserializer("application/x-ndjson")
def first_line(_, response):
    return json.loads(response.content.splitlines()[0])


@schemathesis.hook
def map_path_parameters(_, parameters):
    """JSON Schema takes 1.0 for an integer; in a path it is written without a point."""
    return {
        name: int(value) if isinstance(value, float) and value.is_integer() else value
        for name, value in (parameters or {}).items()
    }


@schemathesis.hook
def before_call(_, case, kwargs):
    """The key of the document's example is one of its own in each request, else all but the first
    were answered with 422 or with the first answer."""
    for name, value in (case.headers or {}).items():
        if name == "Idempotency-Key" and value == EXAMPLE_KEY:
            case.headers[name] = str(uuid.uuid4())


@schemathesis.hook
def filter_case(_, case):
    """Header fields that are not known are ignored (RFC 9110 section 5.1)."""
    return "x-schemathesis-unknown-property" not in (case.headers or {})


@schemathesis.hook
def filter_failure(_, failure, case, response):
    if failure.code == "ST202":
        return not breaks_a_rule(response)
    if failure.code == "ST201":
        return not is_refused_line(response)
    return True


def breaks_a_rule(response):
    """A valid request was refused, as OpenAPI sees it."""
    if response.status_code != 400:
        return False
    return all(error["detail"] in RULES for error in response.json()["errors"])


def is_refused_line(response):
    """A bad line of an import was taken, as the status says; the answer's first line says no."""
    if response.headers["content-type"] != ["application/x-ndjson"]:
        return False
    return first_line(None, response)["status"] == "refused"
