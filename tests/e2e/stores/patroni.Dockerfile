# PostgreSQL under Patroni, of Debian's packages: for tests/e2e/failover.
FROM debian:trixie-slim
RUN apt-get update && \
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      postgresql-common && \
    echo 'create_main_cluster = false' >>/etc/postgresql-common/createcluster.conf && \
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      patroni postgresql-17 python3-kubernetes && \
    rm -rf /var/lib/apt/lists/* && \
    usermod --uid 999 postgres && install -d -o postgres /data && \
    chown -R postgres /var/run/postgresql /var/lib/postgresql
USER 999
ENTRYPOINT ["patroni", "/etc/db/patroni.yaml"]
