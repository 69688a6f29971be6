"""PostgreSQL as the tests see it: they make their own products and look at the truth behind the
services."""

import contextlib
import json

import psycopg2
import psycopg2.extras


class Database:
    def __init__(self, url):
        self.url = url
        self.connection = None

    def _connected(self):
        if self.connection is None or self.connection.closed:
            self.connection = psycopg2.connect(self.url, connect_timeout=10)
            self.connection.autocommit = True
        return self.connection

    def rows(self, sql, *args):
        """Runs one statement on its own; a connection that an outage broke is replaced once."""
        for attempt in (1, 2):
            try:
                with self._connected().cursor(
                    cursor_factory=psycopg2.extras.RealDictCursor
                ) as cursor:
                    cursor.execute(sql, args or None)
                    return cursor.fetchall() if cursor.description else []
            except (psycopg2.OperationalError, psycopg2.InterfaceError):
                with contextlib.suppress(psycopg2.Error):
                    self.connection and self.connection.close()
                self.connection = None
                if attempt == 2:
                    raise

    def row(self, sql, *args):
        (row,) = self.rows(sql, *args)
        return row

    def create_product(self, name="A thing", price="9.99", stock=0, sku=None):
        """A new product's id. No service has heard of it: it is in no cache."""
        return self.row(
            "WITH made AS (INSERT INTO products (name, price, stock, sku)"
            " VALUES (%s, %s, %s, %s) RETURNING *), moved AS (INSERT INTO stock_movements"
            " (product_id, version, delta, stock_after, kind, created_at)"
            " SELECT id, version, stock, stock, 'created', updated_at FROM made)"
            " SELECT id FROM made",
            name,
            price,
            stock,
            sku,
        )["id"]

    def reserve(self, id, units):
        """Takes units of a product into reserve, as a reservation does, for a day."""
        self.rows(
            "SELECT FROM write_batch(NULL, NULL, true, '{reserve}', '{86400}', '{NULL}', '{NULL}',"
            " '{NULL}', '{1}', ARRAY[%s]::bigint[], ARRAY[%s]::bigint[], '{f}', '{NULL}',"
            " '{NULL}')",
            id,
            units,
        )

    def create_products(self, count, stock=0):
        """New products with ids in rising order."""
        rows = self.rows(
            "SELECT (SELECT id FROM create_product('Thing ' || n, 1 + n / 100.0, %s::bigint)) AS "
            "id FROM generate_series(1, %s) AS n",
            stock,
            count,
        )
        return sorted(row["id"] for row in rows)

    def write_batch(self, commands):
        """Judges commands in one batch: (kind, subject, [(product, amount)...]); all must be
        applied. Returns what they answer, as text."""
        items = [item for _, _, items in commands for item in items]
        rows = self.rows(
            "SELECT outcome, result FROM write_batch(NULL, NULL, true, %s, %s::bigint[], %s, %s,"
            " %s, %s::int[], %s::bigint[], %s::bigint[], %s::boolean[], %s::bigint[], %s::text[])"
            " WHERE ord IS NOT NULL ORDER BY ord",
            [kind for kind, _, _ in commands],
            [subject for _, subject, _ in commands],
            *([[None] * len(commands)] * 3),
            [len(items) for _, _, items in commands],
            [product for product, _ in items],
            [amount for _, amount in items],
            [False] * len(items),
            [None] * len(items),
            [None] * len(items),
        )
        assert [row["outcome"] for row in rows] == ["applied"] * len(commands)
        return [row["result"] for row in rows]

    def create_order(self, items):
        """A new order of {product: quantity}; its id."""
        return json.loads(self.write_batch([("order", None, list(items.items()))])[0])["id"]

    def create_reservation(self, items, seconds=3600):
        """A new reservation of {product: quantity}; its id."""
        return json.loads(self.write_batch([("reserve", seconds, list(items.items()))])[0])["id"]

    def product(self, id):
        return self.row("SELECT * FROM products WHERE id = %s", id)

    @contextlib.contextmanager
    def constraint(self, rule):
        """While the block runs, products has one more constraint; rows that are there may break
        it."""
        self.rows(f"ALTER TABLE products ADD CONSTRAINT of_a_test CHECK ({rule}) NOT VALID")
        try:
            yield
        finally:
            self.rows("ALTER TABLE products DROP CONSTRAINT of_a_test")

    def movements(self, id):
        return self.rows("SELECT * FROM stock_movements WHERE product_id = %s ORDER BY version", id)

    def close(self):
        if self.connection is not None:
            self.connection.close()
