"""python3 -m monitoring FOLDER PORT NAME=URL...: writes what Prometheus reads into FOLDER."""

import json
import pathlib
import sys

import monitoring


def main():
    folder, port, *targets = sys.argv[1:]
    targets = dict(target.split("=", 1) for target in targets)
    files = {
        "prometheus.yml": json.dumps(monitoring.configuration(folder, port, targets), indent=2),
        "prometheus.rules.yml": monitoring.rules(),
        "consoles/faststock.html": monitoring.graphs(),
    }
    for name, text in files.items():
        file = pathlib.Path(folder) / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)


main()
