"""Fixtures of the integration tests: the running stack and each of its services."""

import itertools
import random

import pytest

from support.cache import Cache
from support.stack import Stack


@pytest.fixture(scope="session")
def stack():
    stack = Stack()
    stack.wait_until_whole()
    yield stack
    stack.database.close()


@pytest.fixture(scope="session")
def database(stack):
    return stack.database


@pytest.fixture(params=["read-1", "read-2", "edge"])
def read(request, stack):
    """Each way to read: both instances, and through the edge."""
    return {"read-1": stack.reads[0], "read-2": stack.reads[1], "edge": stack.edge}[request.param]


@pytest.fixture(params=["write-1", "write-2", "edge"])
def write(request, stack):
    """Each way to write: both instances, and through the edge."""
    return {"write-1": stack.writes[0], "write-2": stack.writes[1], "edge": stack.edge}[
        request.param
    ]


@pytest.fixture(scope="session")
def unknown_id():
    """An id that no product has nor will get; another one with each use."""
    taken = itertools.count(random.randrange(8 * 10**18, 9 * 10**18))
    return lambda: next(taken)


@pytest.fixture(scope="session")
def cache(stack):
    """Redis, looked at from behind the services."""
    return Cache(stack)


@pytest.fixture
def known_redis(database, cache):
    """Tests that say "from Redis, right after the write" need it."""
    cache.wait_for_writers(database)


@pytest.fixture
def cold_product(database, cache):
    """A new product that only PostgreSQL has; stock 3."""
    id = database.create_product(stock=3)
    cache.make_cold(id)
    return id
