"""The folder of a run. Raw: services.csv and pods.csv (sampler), load.csv (k6, a row a second),
events.csv (the autoscaler), manifest.json (what was run, where), k6/ (what k6 left). From these
alone: figures.json and report.html.

Times in the files are seconds since 1970; a Recording has them as seconds since the load began.
"""

import dataclasses
import json
import pathlib

from reporting.rows import RecordingError, grouped, read_rows

SERVICES = {"read-svc": "readSvc", "write-svc": "writeSvc"}  # and their key in the chart
MANIFEST = {
    "name",
    "profile",
    "rate",
    "to",
    "slo_ms",
    "stages",
    "hpa",
    "fullname",
    "cluster",
    "load_begin",
    "k6",
}  # the members that the report needs
EVENT_COLUMNS = ["time", "service", "reason", "message"]


@dataclasses.dataclass
class Recording:
    folder: pathlib.Path
    manifest: dict
    load: list  # of dicts with LOAD_COLUMNS, a second each, `time` being its end
    services: dict  # service -> list of dicts
    pods: dict  # pod -> list of dicts
    events: list

    @property
    def name(self):
        return self.manifest["name"]

    @property
    def service(self):
        """The one that the load scales; older recordings know no other."""
        return self.manifest.get("service", "read-svc")

    @property
    def stages(self):
        return [tuple(stage) for stage in self.manifest["stages"]]


def read(folder):
    folder = pathlib.Path(folder)
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
        if missing := MANIFEST - manifest.keys():
            raise ValueError(f"manifest.json lacks {', '.join(sorted(missing))}")
        begin = manifest["load_begin"]
        tables = {
            name: read_rows(folder / f"{name}.csv", begin)
            for name in ("load", "services", "pods", "events")
        }
    except (OSError, KeyError, ValueError, AttributeError) as error:
        raise RecordingError(f"{folder} holds no recording of an experiment: {error}") from error
    run = Recording(
        folder,
        manifest,
        tables["load"],
        grouped(tables["services"], "service"),
        grouped(tables["pods"], "pod"),
        tables["events"],
    )
    if not run.load or not any(row["time"] >= 0 for row in run.services.get(run.service, [])):
        raise RecordingError(
            f"{folder}: the recording is empty: no load, or no sample of {run.service} while it"
            " lasted"
        )
    return run
