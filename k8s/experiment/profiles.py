"""How the load changes with time: stages of (seconds, rate at their end), as the scenario `ramp` of
k6/ takes them."""

# The shapes of k6/ramp.js: (share of the duration, rate as a share of the peak). A share of 0 is a
# jump.
PROFILES = {
    "step": [(0.2, 0.1), (0, 1), (0.5, 1), (0, 0.1), (0.3, 0.1)],
    "ramp": [(0.1, 0.1), (0.4, 1), (0.2, 1), (0.2, 0.1), (0.1, 0.1)],
    "spike": [(0.3, 0.1), (0, 1), (0.1, 1), (0, 0.1), (0.6, 0.1)],
}


def make_stages(profile, rate, duration_s, tail_s):
    """The profile's stages in whole seconds; its last one is longer by `tail_s`, so that the way
    down is under load too."""
    stages = [
        (round(share * duration_s), max(1, round(part * rate))) for share, part in PROFILES[profile]
    ]
    stages[-1] = (stages[-1][0] + tail_s, stages[-1][1])
    return stages


def stages_text(stages):
    return ",".join(f"{seconds}s:{rate}" for seconds, rate in stages)


def length(stages):
    return sum(seconds for seconds, _ in stages)


def segments(stages):
    """(begin, end, rate at begin, rate at end) of each stage. The first begins at its own rate."""
    begin, rate = 0, stages[0][1]
    for seconds, target in stages:
        yield begin, begin + seconds, rate, target
        begin, rate = begin + seconds, target


def rate_at(stages, time):
    """The planned rate; 0 before the load and after it."""
    for begin, end, first, last in segments(stages):
        if begin <= time < end:
            return first + (last - first) * (time - begin) / (end - begin)
    return 0


def landmarks(stages):
    """When the load begins to rise, is at its peak, begins to fall, and is back at its base."""
    parts = list(segments(stages))
    rises = [part for part in parts if part[3] > part[2]]
    falls = [part for part in parts if part[3] < part[2]]
    return {"rise": rises[0][0], "peak": rises[-1][1], "fall": falls[0][0], "base": falls[-1][1]}
