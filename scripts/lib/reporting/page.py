"""What a page of a run is made of: tables, numbers for people, and the frame around them."""

import html
import json
import pathlib
import re
import string

PAGE = pathlib.Path(__file__).with_name("page.html")


def write_page(file, title, body):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(
        string.Template(PAGE.read_text()).substitute(title=text(title), body="\n".join(body))
    )
    return file


def text(value):
    return html.escape(str(value))


def shown(value, unit=""):
    """A figure for people."""
    if value is None:
        return "–"
    if abs(value) >= 100 or value == round(value) or unit == "%":
        digits = 0
    else:
        digits = 1 if abs(value) >= 10 else 2
    rounded = round(value, digits) + 0.0  # which makes 0 of -0
    return f"{rounded:,.{digits}f}".replace(",", " ") + (f" {unit}" if unit else "")


def signed(value, unit=""):
    """A difference for people; one that is too small to be seen has no sign."""
    figure = shown(value, unit)
    return f"+{figure}" if value and value > 0 and re.search("[1-9]", figure) else figure


def joined(spans):
    """Spans that follow each other as one."""
    result = []
    for begin, end in spans:
        if result and begin - result[-1][1] < 0.5:
            result[-1] = (result[-1][0], end)
        else:
            result.append((begin, end))
    return result


def table(rows, head="", style=""):
    style = f' class="{style}"' if style else ""
    return f'<div class="scroll"><table{style}>{head}{"".join(rows)}</table></div>'


def table_row(*cells, bad=False):
    opening = '<tr class="bad">' if bad else "<tr>"
    return f"{opening}{''.join(cells)}</tr>"


def heads(texts, numbers=(), more_texts=()):
    """A row of headings: those over numbers stand to the right, as the numbers do."""
    return table_row(
        *(f"<th>{text(name)}</th>" for name in texts),
        *(f'<th class="n">{text(name)}</th>' for name in numbers),
        *(f"<th>{text(name)}</th>" for name in more_texts),
    )


def cell(value):
    return f"<td>{text(value)}</td>"


def number(value):
    return f'<td class="n">{text(value)}</td>'


def labelled(label, meaning):
    return f"<td>{text(label)}<small>{text(meaning)}</small></td>"


def flattened(value, path=""):
    if isinstance(value, dict):
        return {
            key: leaf
            for name, part in value.items()
            for key, leaf in flattened(part, f"{path}.{name}" if path else name).items()
        }
    return {path: json.dumps(value) if isinstance(value, list) else value}
