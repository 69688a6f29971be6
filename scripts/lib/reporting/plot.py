"""Line charts as inline SVG, all with the same time axis, so that charts below each other can be
read together."""

import dataclasses
import html
import math

TOP, BOTTOM = 8, 24
# Distinct for the colour-blind too (Okabe and Ito)
BLUE, ORANGE, GREEN, RED, PURPLE, SKY, YELLOW, BLACK = (
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#d55e00",
    "#cc79a7",
    "#56b4e9",
    "#b8a500",
    "#222222",
)
GREY = "#8a8f98"
MANY = [
    BLUE,
    ORANGE,
    GREEN,
    PURPLE,
    SKY,
    RED,
    YELLOW,
    "#7f4f24",
    "#5e60ce",
    "#43aa8b",
    "#9d0208",
    "#577590",
]


@dataclasses.dataclass
class Frame:
    """The size of a drawing, and its margins."""

    css: str
    width: int
    left: int
    right: int
    ticks: int  # of time, at most


WIDE, NARROW = Frame("wide", 1100, 64, 16, 14), Frame("narrow", 400, 44, 10, 5)


@dataclasses.dataclass
class Series:
    label: str
    points: list  # (time, value or None), by time; None leaves a gap
    colour: str
    style: str = "line"  # line; step: a value holds until the next; bar: each stands alone
    width: float = 1.6
    dash: str = ""
    fill_opacity: float = 0  # of the area below
    values: list | None = None  # shown in the legend in place of `points`


@dataclasses.dataclass
class Panel:
    title: str
    unit: str
    series: list
    note: str = ""
    height: int = 190
    log: bool = False
    least_top: float = 1  # the axis reaches at least this far
    bands: list = dataclasses.field(default_factory=list)  # (begin, end) shaded red


def charts(panels, begin, end, marks):
    """HTML of the panels. `marks` are (time, text): lines through all, named in the first."""
    return "\n".join(
        chart(panel, begin, end, marks, named=i == 0) for i, panel in enumerate(panels)
    )


def stacked(parts, style="line"):
    """Series on top of each other, of [(label, {time: value}, colour)]; the last is on top, and
    first in the legend. A time that a part lacks counts as 0."""
    tops = dict.fromkeys(sorted({time for _, values, _ in parts for time in values}), 0)
    series = []
    for label, values, colour in parts:
        tops = {time: top + (values.get(time) or 0) for time, top in tops.items()}
        opacity = 1 if style == "line" else 0
        one = Series(label, list(tops.items()), colour, style, width=0.6, fill_opacity=opacity)
        one.values = sorted(values.items())
        series.insert(0, one)
    return series


def chart(panel, begin, end, marks, named):
    """One drawing for wide screens and one for phones, of which the page shows one."""
    note = f' <span class="note">· {html.escape(panel.note)}</span>' if panel.note else ""
    drawings = "\n".join(
        drawing(panel, Axes(panel, begin, end, TOP + (22 if named else 0), frame), marks, named)
        for frame in (WIDE, NARROW)
    )
    return (
        f"<figure><figcaption><b>{html.escape(panel.title)}</b> <span"
        f' class="unit">{html.escape(panel.unit)}</span>{note}</figcaption>\n{legend(panel)}\n'
        f'<div class="plot" role="img" aria-label="{html.escape(panel.title)}">\n{drawings}\n</div>'
        "</figure>"
    )


def drawing(panel, axes, marks, named):
    frame = axes.frame
    parts = [*bands_svg(panel, axes), *grid_svg(axes), *marks_svg(marks, axes, named)]
    parts += [series_svg(series, axes) for series in panel.series]
    return (
        f'<svg class="{frame.css}" viewBox="0 0 {frame.width} {axes.bottom + BOTTOM}"'
        f' data-begin="{axes.begin:g}" data-end="{axes.end:g}"'
        f' data-left="{frame.left}" data-right="{frame.width - frame.right}">\n'
        + "\n".join(parts)
        + "\n</svg>"
    )


def legend(panel):
    """The names of the series that have one. Each holds the points of its line, which the page's
    pointer reads."""
    entries = []
    for series in panel.series:
        if not series.label:
            continue
        dash = f' stroke-dasharray="{series.dash}"' if series.dash else ""
        line = (
            '<svg width="22" height="8"><line x1="0" y1="4" x2="22" y2="4"'
            f' stroke="{series.colour}" stroke-width="3"{dash}/></svg>'
        )
        points = " ".join(
            f"{x:.1f},{short(y)}" for x, y in series.values or series.points if y is not None
        )
        entries.append(
            f'<span class="entry" data-points="{points}">{line} {html.escape(series.label)}'
            " <output></output></span>"
        )
    return f'<div class="legend">{"".join(entries)}</div>'


class Axes:
    """Where a time and a value are on the drawing."""

    def __init__(self, panel, begin, end, top, frame):
        self.frame = frame
        self.begin, self.end, self.top, self.bottom, self.log = (
            begin,
            end,
            top,
            top + panel.height,
            panel.log,
        )
        values = [y for series in panel.series for _, y in series.points if y is not None]
        if self.log:
            positive = [y for y in values if y > 0] or [1]
            self.ticks = log_ticks(min(positive), max(*positive, panel.least_top))
        else:
            self.ticks = linear_ticks(max([*values, panel.least_top]), panel.height)
        self.low, self.high = self.ticks[0], self.ticks[-1]

    def x(self, time):
        frame = self.frame
        share = (time - self.begin) / (self.end - self.begin)
        return frame.left + share * (frame.width - frame.left - frame.right)

    def y(self, value):
        if self.log:
            value = max(value, self.low)
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.bottom - share * (self.bottom - self.top)


def linear_ticks(highest, height):
    """From 0 to at least `highest`, with steps of 1, 2 or 5 times a power of ten and room for their
    labels."""
    raw = highest * 1.02 / max(2, height / 38)
    power = 10 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    return [i * step for i in range(math.ceil(highest * 1.02 / step) + 1)]


def log_ticks(lowest, highest):
    """1, 2 and 5 times powers of ten around both; the ends and the powers alone where that would be
    many."""
    first, last = math.floor(math.log10(lowest)), math.ceil(math.log10(highest))
    ticks = [m * 10.0**e for e in range(first, last + 1) for m in (1, 2, 5)]
    below = max(tick for tick in ticks if tick <= lowest)
    above = min(tick for tick in ticks if tick >= highest)
    ticks = [tick for tick in ticks if below <= tick <= above]
    if len(ticks) > 8:
        ticks = [tick for tick in ticks if tick in (below, above) or f"{tick:e}".startswith("1.0")]
    return ticks if len(ticks) > 1 else [below, below * 10]


def grid_svg(axes):
    parts = []
    left, right = axes.frame.left, axes.frame.width - axes.frame.right
    for tick in axes.ticks:
        y = axes.y(tick)
        parts.append(f'<line x1="{left}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" class="grid"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{short(tick)}</text>')
    step = time_step(axes.end - axes.begin, axes.frame.ticks)
    tick = math.ceil(axes.begin / step) * step
    while tick <= axes.end:
        x = axes.x(tick)
        parts.append(
            f'<line x1="{x:.1f}" y1="{axes.top}" x2="{x:.1f}" y2="{axes.bottom}" class="grid"/>'
        )
        parts.append(
            f'<text x="{x:.1f}" y="{axes.bottom + 15}" text-anchor="middle">{clock(tick)}</text>'
        )
        tick += step
    return parts


def time_step(span, most):
    steps = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800)
    return next((step for step in steps if span / step <= most), 3600)


def clock(seconds):
    sign, seconds = ("-" if seconds < 0 else ""), abs(round(seconds))
    return f"{sign}{seconds // 60}:{seconds % 60:02}"


def short(value):
    """A number in few digits."""
    if abs(value) >= 100 or value == round(value):
        return f"{value:.0f}"
    return f"{value:.3g}"


def bands_svg(panel, axes):
    for begin, end in panel.bands:
        left, right = axes.x(max(begin, axes.begin)), axes.x(min(end, axes.end))
        yield (
            f'<rect x="{left:.1f}" y="{axes.top}" width="{max(1, right - left):.1f}"'
            f' height="{axes.bottom - axes.top}" class="band"/>'
        )


def marks_svg(marks, axes, named):
    """Of two names that would overlap, the first is shown."""
    free = 0
    for time, text in marks:
        x = axes.x(time)
        yield f'<line x1="{x:.1f}" y1="{axes.top}" x2="{x:.1f}" y2="{axes.bottom}" class="mark"/>'
        half = 3.6 * len(text)
        at = min(max(x, half), axes.frame.width - half)
        if named and at - half >= free:
            free = at + half
            yield (
                f'<text x="{at:.1f}" y="{axes.top - 12}" text-anchor="middle"'
                f' class="markname">{html.escape(text)}</text>'
            )


def series_svg(series, axes):
    points = [(x, y) for x, y in series.points if axes.begin <= x <= axes.end]
    if series.style == "bar":
        return "".join(bar_svg(x, y, series, axes) for x, y in points if y)
    drawn = []
    for part in unbroken(points):
        if len(part) == 1:  # no line goes through one point
            x, y = axes.x(part[0][0]), axes.y(part[0][1])
            drawn.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2" fill="{series.colour}"/>')
            continue
        steps = stepped(part) if series.style == "step" else part
        path = " ".join(
            f"{'L' if i else 'M'}{axes.x(x):.1f} {axes.y(y):.1f}" for i, (x, y) in enumerate(steps)
        )
        if series.fill_opacity:
            area = (
                f"{path} L{axes.x(steps[-1][0]):.1f} {axes.bottom} L{axes.x(steps[0][0]):.1f}"
                f" {axes.bottom} Z"
            )
            drawn.append(
                f'<path d="{area}" fill="{series.colour}" fill-opacity="{series.fill_opacity:g}"/>'
            )
        dash = f' stroke-dasharray="{series.dash}"' if series.dash else ""
        drawn.append(
            f'<path d="{path}" fill="none" stroke="{series.colour}" stroke-width="{series.width}"'
            f' stroke-linejoin="round"{dash}/>'
        )
    return "\n".join(drawn)


def bar_svg(x, y, series, axes):
    top, width = axes.y(y), max(2, axes.x(1) - axes.x(0))
    return (
        f'<rect x="{axes.x(x) - width:.1f}" y="{top:.1f}" width="{width:.1f}"'
        f' height="{axes.bottom - top:.1f}" fill="{series.colour}"/>'
    )


def unbroken(points):
    """The runs of points without a gap."""
    part = []
    for x, y in points:
        if y is not None:
            part.append((x, y))
        elif part:
            yield part
            part = []
    if part:
        yield part


def stepped(points):
    steps = [points[0]]
    for x, y in points[1:]:
        steps += [(x, steps[-1][1]), (x, y)]
    return steps
