#!/usr/bin/python3
"""Prints the links of Markdown files that lead nowhere in the tree; exit status 1 if there is one.
Links to other hosts are not followed, because a check must give the same answer without a network.

Usage: links.py FILE..."""

import pathlib
import re
import sys

LINK = re.compile(r"\]\(([^)\s]+)\)|^\[[^\]]+\]: *(\S+)", re.MULTILINE)


def text_of(path):
    """Without code, which may look like a link."""
    text = path.read_text()
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`\n]*`", lambda code: code.group().strip("`"), text)


def anchors_of(path):
    """As GitHub makes them from headings."""
    found = set()
    for heading in re.findall(r"^#+ +(.*?) *$", text_of(path), flags=re.MULTILINE):
        anchor = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        number = 0
        while (anchor if number == 0 else f"{anchor}-{number}") in found:
            number += 1
        found.add(anchor if number == 0 else f"{anchor}-{number}")
    return found


def leads_nowhere(file, link):
    if re.match(r"[a-z]+:", link):
        return False
    name, _, anchor = link.partition("#")
    target = file.parent / name if name else file
    if not target.exists():
        return True
    return bool(anchor) and target.suffix == ".md" and anchor not in anchors_of(target)


def main(files):
    broken = 0
    for file in map(pathlib.Path, files):
        for link in filter(None, sum(LINK.findall(text_of(file)), ())):
            if leads_nowhere(file, link):
                print(f"{file}: {link} leads nowhere")
                broken += 1
    return 1 if broken else 0


sys.exit(main(sys.argv[1:]))
