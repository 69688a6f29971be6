"""The report of a load test: `./dev load` and `./dev cluster-load` (k6/README.md).

sampler    /metrics of all instances, CPU and memory of all processes, each second
cluster    /metrics of the pods of a release
recording  the folder of a run, as it is written and read again
measures   the figures of a run, from a recording alone
report     the page of one run, or of two
"""
