"""The form of every error of the services: RFC 9457 problem details."""

SLUGS = {
    400: {"bad-request"},
    401: {"unauthorized"},
    404: {"not-found"},
    405: {"method-not-allowed"},
    408: {"request-timeout"},
    409: {"insufficient-stock", "out-of-range"},
    410: {"feed-gone"},
    411: {"length-required"},
    412: {"precondition-failed"},
    413: {"payload-too-large"},
    415: {"unsupported-media-type"},
    414: {"uri-too-long"},
    429: {"too-many-requests"},
    431: {"headers-too-large"},
    505: {"version-not-supported"},
    503: {"unavailable", "overloaded"},
    504: {"not-cached"},
}


def assert_problem(reply, status, slug=None, field=None):
    """The reply is a problem of this status, whole and true to itself; `field` is named by a 400.
    Returns the body."""
    assert reply.status == status, reply
    assert reply.header("Content-Type") == "application/problem+json", reply
    body = reply.json()
    slugs = {slug} if slug else SLUGS.get(status)
    assert body["type"].startswith("/problems/"), body
    assert slugs is None or body["type"].removeprefix("/problems/") in slugs, body
    assert body["status"] == status, body
    assert isinstance(body["title"], str) and body["title"], body
    assert isinstance(body["detail"], str) and body["detail"], body
    assert reply.header("X-Request-Id"), reply
    assert body["instance"] == "urn:request:" + reply.header("X-Request-Id"), body
    if status == 400:
        assert body.get("errors"), f"a 400 that names no field: {body}"
        for error in body["errors"]:
            assert set(error) == {"field", "detail"}, body
            assert isinstance(error["field"], str), body
            assert isinstance(error["detail"], str) and error["detail"], body
    if field is not None:
        assert field in [error["field"] for error in body["errors"]], body
    if status == 405:
        assert reply.header("Allow"), reply
    if status in (429, 503):
        assert int(reply.header("Retry-After")) >= 1, reply
    return body
