"""Waiting. Nothing here asserts a speed: limits are generous and grow under the sanitizers."""

import os
import time

# How much slower than a release build things may be.
SLOWNESS = {"release": 1, "asan": 3, "tsan": 6}.get(
    os.environ.get("FASTSTOCK_PRESET", "release"), 3
)


def scaled(seconds):
    return seconds * SLOWNESS


def eventually(probe, what, timeout=10, every=0.05):
    """Calls `probe` until it gives something true, and returns that. An AssertionError counts as
    "not yet".

    The last call begins after the deadline: a machine that stood still meanwhile is no verdict.
    """
    deadline = time.monotonic() + scaled(timeout)
    last = None
    while True:
        is_last = time.monotonic() > deadline
        try:
            result = probe()
            if result:
                return result
            last = f"last result: {result!r}"
        except (AssertionError, OSError) as error:
            last = f"last error: {type(error).__name__}: {error}"
        if is_last:
            raise AssertionError(f"not within {scaled(timeout):g} s: {what} ({last})")
        time.sleep(every)
