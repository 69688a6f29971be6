/* The stores that both services have: their settings, and how they are opened by them. */
#ifndef FASTSTOCK_COMMON_SERVICE_STORES_H
#define FASTSTOCK_COMMON_SERVICE_STORES_H

#include "common/base/config.h"
#include "common/products/cache.h"
#include "common/stores/breaker.h"
#include "common/stores/pg.h"
#include "common/stores/url.h"

#include <stdint.h>

struct store_settings {
    const char *database_url;
    int64_t database_pool_size;
    int64_t database_timeout_ms;
    int64_t database_connect_timeout_ms;
    const char *redis_url; /* "": none */
    int64_t redis_pool_size;
    int64_t redis_timeout_ms;
    int64_t redis_connect_timeout_ms;
    const char *redis_key_prefix;
    int64_t cache_ttl_ms;
};

/* What a service decides of its cache. */
struct stores_cache_options {
    int64_t retry_ms;
    int64_t probation_ms;    /* see breaker.h */
    const char *replica_url; /* "" or NULL: none */
    int64_t missing_ttl_ms;
};

/* What a service decides of a connection to PostgreSQL. */
struct stores_database_options {
    const char *store; /* label of logs and metrics */
    const char *application;
    const char *url;
    int64_t retry_ms;
    int pool_size;      /* 0: as in the settings */
    int64_t timeout_ms; /* 0: as in the settings */
};

/* NULL when the URL is empty: there is none. */
struct product_cache *stores_open_cache(const struct store_settings *settings,
                                        const struct stores_cache_options *options);
struct pg_store *stores_open_database(const struct store_settings *settings,
                                      const struct stores_database_options *options);

/* For ops.h: the state of a product_cache, of a pg_store. */
enum breaker_state stores_cache_state(void *cache);
enum breaker_state stores_database_state(void *database);

/* Rows for a service's table of options, `base` as in service.h. */
#define STORE_AT(base, member) ((base) + offsetof(struct store_settings, member))
/* clang-format off */
#define DATABASE_OPTIONS(base, pool_size, timeout_ms)                                              \
    {"database", "url", CONFIG_URL, STORE_AT(base, database_url), "",                              \
     .url = &pg_url_kind, .required = true, .secret = true, .alias = "DATABASE_URL",               \
     .help = "PostgreSQL, through PgBouncer in transaction mode if there is one."},                \
    {"database", "pool_size", CONFIG_INT, STORE_AT(base, database_pool_size), pool_size,           \
     1, 256,                                                                                       \
     .help = "Connections kept open."},                                                            \
    {"database", "timeout_ms", CONFIG_INT, STORE_AT(base, database_timeout_ms), timeout_ms,        \
     1, 600000,                                                                                    \
     .help = "Deadline of one statement."},                                                        \
    {"database", "connect_timeout_ms", CONFIG_INT, STORE_AT(base, database_connect_timeout_ms),    \
     "1000", 1, 600000,                                                                            \
     .help = "Deadline for connecting and a first answer."}

#define REDIS_OPTIONS(base, pool_size)                                                             \
    {"redis", "url", CONFIG_URL, STORE_AT(base, redis_url), "",                                    \
     .url = &redis_url_kind, .secret = true, .alias = "REDIS_URL",                                 \
     .help = "Redis, the cache that all instances share; empty: do without."},                     \
    {"redis", "pool_size", CONFIG_INT, STORE_AT(base, redis_pool_size), pool_size,                 \
     1, 256,                                                                                       \
     .help = "Connections kept open."},                                                            \
    {"redis", "timeout_ms", CONFIG_INT, STORE_AT(base, redis_timeout_ms), "250",                   \
     1, 60000,                                                                                     \
     .help = "Deadline of one command."},                                                          \
    {"redis", "connect_timeout_ms", CONFIG_INT, STORE_AT(base, redis_connect_timeout_ms), "250",   \
     1, 60000,                                                                                     \
     .help = "Deadline for connecting and a first answer."},                                       \
    {"redis", "key_prefix", CONFIG_STRING, STORE_AT(base, redis_key_prefix), "fs",                 \
     .max = PRODUCT_CACHE_PREFIX_MAX,                                                              \
     .help = "First part of all keys; the same for all services of one system."}

#define CACHE_OPTIONS(base)                                                                        \
    {"cache", "ttl_ms", CONFIG_INT, STORE_AT(base, cache_ttl_ms), "60000",                         \
     1, 86400000,                                                                                  \
     .help = "Lifetime of a product in Redis, a tenth more or less."}
/* clang-format on */

#endif
