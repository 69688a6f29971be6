"""The invariants of the ledger, for the end of every test that races or breaks something."""


def assert_ledger_holds(stack):
    """The project's own check over the whole database."""
    stack.dev("check-ledger")


def assert_product_ledger(database, id, initial_stock, applied_deltas):
    """The movements of one product are exactly the changes that were acknowledged, gapless, and end at its stock."""
    movements = database.movements(id)
    product = database.product(id)
    assert [movement["version"] for movement in movements] == list(range(1, len(movements) + 1))
    stock = 0
    for movement in movements:
        stock += movement["delta"]
        assert movement["stock_after"] == stock >= 0, movement
    assert stock == product["stock"]
    assert product["version"] == len(movements)
    assert len(movements) == 1 + len(applied_deltas), "a change was lost, or one came in unasked"
    assert stock == initial_stock + sum(applied_deltas)
