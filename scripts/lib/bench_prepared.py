"""What prepared statements save: services of the bench's own, without Redis and L1, so that each
read is a miss, with `database.prepared` off and on, beside pgbench -M extended and -M prepared."""

import statistics
import sys

from lib import bench_service

CONNECTIONS = 4  # of each side: as many statements are under way at once

MISS_LUA = """
request = function() return wrk.format(nil, "/api/products/" .. math.random(%d)) end
"""

# The statement of a miss, for one product.
MISS_SQL = """
\\set id random(1, %d)
SELECT id, version, stock, name, price::text, extract(epoch FROM created_at)::bigint,
  extract(epoch FROM updated_at)::bigint, (deleted_at IS NOT NULL)::int
FROM products WHERE id = ANY(ARRAY[:id]::bigint[]) ORDER BY id;
"""

CHANGE_SQL = """
\\set id random(1, %d)
SELECT * FROM change_stock(ARRAY[:id]::bigint[], '{1}', '{f}', '{NULL}', '{NULL}');
"""


def service(name, url, is_prepared):
    settings = {
        "DATABASE_URL": url,
        "FASTSTOCK_DATABASE_PREPARED": "on" if is_prepared else "off",
        "FASTSTOCK_DATABASE_POOL_SIZE": str(CONNECTIONS),
    }
    if name == "read-svc":
        settings["FASTSTOCK_L1_BYTES_MAX"] = "0"
    return bench_service.service(name, settings)


def miss_row(stack, products, clients):
    """The peer's name, what measures it, and what measures a read-svc: reads of random products by
    that many clients."""
    lua = stack.file("miss.lua", MISS_LUA % products)
    sql = stack.file("miss.sql", MISS_SQL % products)

    def own():
        with service("read-svc", stack.database_url, False) as address:
            return stack.wrk(address, clients, "-s", lua)

    return "pgbench", lambda: stack.pgbench(sql, stack.database_url, "simple", clients), own


def measures(stack, url, name, lua, sql):
    """Four functions: the service and pgbench, each without and with prepared statements."""

    def own(is_prepared):
        with service(name, url, is_prepared) as address:
            return stack.wrk(address, CONNECTIONS, "-s", lua)

    def peer(mode):
        return stack.pgbench(sql, url, mode, CONNECTIONS)

    return (
        lambda: own(False),
        lambda: own(True),
        lambda: peer("extended"),
        lambda: peer("prepared"),
    )


def keeps_statements(stack, url, sql):
    """Does a server or PgBouncer at this URL keep prepared statements?"""
    return stack.pgbench(sql, url, "prepared", 2, is_probe=True) is not None


def print_rows(stack, rounds, products, write_lua):
    miss_lua = stack.file("miss.lua", MISS_LUA % products)
    miss_sql = stack.file("miss.sql", MISS_SQL % products)
    change_sql = stack.file("change.sql", CHANGE_SQL % products)
    kinds = (
        ("miss", "read-svc", miss_lua, miss_sql),
        ("write", "write-svc", stack.file("write.lua", write_lua), change_sql),
    )
    print("| | off | on | on / off | pgbench extended | pgbench prepared | prepared / extended |")
    print("|---|---|---|---|---|---|---|")
    for way, url in (("direct", stack.direct_url), ("PgBouncer", stack.database_url)):
        if not keeps_statements(stack, url, miss_sql):
            print(f"bench: {way} keeps no prepared statements: left out", file=sys.stderr)
            continue
        for kind, name, lua, sql in kinds:
            four = []
            for number in range(1, rounds + 1):
                print(f"bench: {kind}, {way}, round {number} of {rounds}", file=sys.stderr)
                four.append([measure() for measure in measures(stack, url, name, lua, sql)])
            off, on, extended, prepared = (statistics.median(side) for side in zip(*four))
            print(
                f"| {kind}, {way} | {off:,.0f} | {on:,.0f} | {on / off:.2f} | {extended:,.0f} |"
                f" {prepared:,.0f} | {prepared / extended:.2f} |",
                flush=True,
            )
