# The project's images, one target each: read-svc, write-svc, migrate (SQL and psql), pgbouncer (the
# sidecar).
# Builds with docker and with buildah; `./dev images` builds them all.
ARG BASE=docker.io/library/debian:trixie-slim

FROM ${BASE} AS build
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
      cmake gcc libc6-dev libcivetweb-dev libhiredis-dev libjansson-dev libpq-dev libssl-dev libyaml-dev \
      ninja-build pkg-config python3-yaml \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY CMakeLists.txt CMakePresets.json ./
COPY docs/openapi.yaml docs/
COPY common common
COPY read-svc read-svc
COPY write-svc write-svc
ARG COMMIT=unknown
RUN cmake --preset release -DFASTSTOCK_TESTS=OFF -DFASTSTOCK_COMMIT=${COMMIT} \
 && cmake --build --preset release \
 && cmake --install build/release --strip --prefix /out

# The packages that hold pgbouncer and psql bring Perl with them, so only the programs are taken.
FROM ${BASE} AS tools
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
      pgbouncer postgresql-client-17 \
 && mkdir /out \
 && cp /usr/sbin/pgbouncer /usr/lib/postgresql/17/bin/psql /usr/lib/postgresql/17/bin/pg_isready \
      /out/ \
 && rm -rf /var/lib/apt/lists/*

# What all images share: a user without a name elsewhere, and libpq's family.
FROM ${BASE} AS runtime
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends libpq5 \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/* /var/log/* \
 && useradd --system --uid 10001 --user-group --home-dir /nonexistent --no-create-home faststock
USER 10001:10001

# The certificates of the public CAs are here for a Redis that is reached with TLS.
FROM runtime AS service
USER root
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
      ca-certificates libcivetweb1 libhiredis1.1.0 libjansson4 libyaml-0-2 \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/* /var/log/*
USER 10001:10001
EXPOSE 8080 9090

FROM service AS read-svc
COPY --from=build /out/bin/read-svc /usr/local/bin/
ENTRYPOINT ["read-svc"]
ARG VERSION=0.1.0
ARG COMMIT=unknown
LABEL org.opencontainers.image.title="faststock-read-svc" \
      org.opencontainers.image.description="FastStock: answers reads of products and stock" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${COMMIT}"

FROM service AS write-svc
COPY --from=build /out/bin/write-svc /usr/local/bin/
ENTRYPOINT ["write-svc"]
ARG VERSION=0.1.0
ARG COMMIT=unknown
LABEL org.opencontainers.image.title="faststock-write-svc" \
      org.opencontainers.image.description="FastStock: takes changes of stock" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${COMMIT}"

# curl is here for the chart's test, which runs in this image.
FROM runtime AS migrate
USER root
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
      curl libreadline8t64 \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/* /var/log/*
USER 10001:10001
COPY --from=tools /out/psql /out/pg_isready /usr/local/bin/
WORKDIR /opt/faststock
COPY sql sql
CMD ["sql/migrate"]
ARG VERSION=0.1.0
ARG COMMIT=unknown
LABEL org.opencontainers.image.title="faststock-migrate" \
      org.opencontainers.image.description="FastStock: the schema, migrations, example products" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${COMMIT}"

FROM runtime AS pgbouncer
USER root
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
      libcares2 libevent-2.1-7t64 libpam0g libsystemd0 \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/* /var/log/*
COPY --from=tools /out/pgbouncer /usr/local/bin/
COPY k8s/images/pgbouncer-entrypoint k8s/images/pgbouncer-alive /usr/local/bin/
USER 10001:10001
# SIGINT lets queries end; SIGTERM would cut them off
STOPSIGNAL SIGINT
ENTRYPOINT ["pgbouncer-entrypoint"]
CMD ["/etc/faststock/config/pgbouncer.ini"]
ARG VERSION=0.1.0
ARG COMMIT=unknown
LABEL org.opencontainers.image.title="faststock-pgbouncer" \
      org.opencontainers.image.description="FastStock: PgBouncer as the sidecar of a service" \
      org.opencontainers.image.licenses="ISC" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${COMMIT}"
