"""The invariants of the ledger, for the end of every test that races or breaks something."""

from collections import Counter


def assert_ledger_holds(stack):
    """The project's own check over the whole database."""
    stack.dev("check-ledger")


def assert_product_ledger(database, id, initial_stock, applied_deltas, unsure_deltas=()):
    """The movements of one product are the changes that were acknowledged, gapless, and end at its
    stock.

    `unsure_deltas` are those whose answer never came (a crash, a cut connection): each may be there
    or not.
    """
    movements = database.movements(id)
    product = database.product(id)
    assert [movement["version"] for movement in movements] == list(range(1, len(movements) + 1))
    stock = 0
    for movement in movements:
        stock += movement["delta"]
        assert movement["stock_after"] == stock >= 0, movement
    assert movements[0]["delta"] == initial_stock
    assert stock == product["stock"]
    assert product["version"] == len(movements)
    made = Counter(movement["delta"] for movement in movements[1:])
    applied, unsure = Counter(applied_deltas), Counter(unsure_deltas)
    assert not applied - made, f"acknowledged, but not there: {applied - made}"
    assert not made - applied - unsure, f"there, but never acknowledged: {made - applied - unsure}"
