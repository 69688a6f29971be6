"""The autoscaling experiment: `./dev experiment` (docs/experiments.md).

run        conducts it: settings, calm, load, samples, tidying up
cluster    kubectl, helm, and the API server for the sampler
sampler    a row per service and pod each second
profiles   how the load changes with time
recording  the folder of a run, as it is written and read again
measures   the figures of a run, from a recording alone
report     the page of one run, or of two

What it shares with the report of `./dev load` is the package scripts/lib/reporting.
"""
