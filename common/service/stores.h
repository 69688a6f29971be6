/* The settings of the stores that both services have. */
#ifndef FASTSTOCK_COMMON_SERVICE_STORES_H
#define FASTSTOCK_COMMON_SERVICE_STORES_H

#include "common/base/config.h"
#include "common/products/cache.h"
#include "common/service/ops.h"
#include "common/stores/breaker.h"
#include "common/stores/options.h"
#include "common/stores/pg.h"
#include "common/stores/url.h"

#include <stdint.h>

/* The rows below fill in url, size, timeout_ms and connect_timeout_ms of a store. Its name,
 * retry_ms and probation_ms are the service's. */
struct store_settings {
    struct store_options database;
    int64_t database_prepared;  /* 0 or 1 */
    struct store_options redis; /* url "": none */
    struct redis_tls_options redis_tls;
    struct redis_sentinel_login redis_sentinel;
    const char *redis_key_prefix;
    int64_t cache_ttl_ms;
};

/* For ops.h: a product_cache, a pg_store. */
enum breaker_state stores_cache_state(void *cache);
enum breaker_state stores_database_state(void *database);
void stores_database_note(void *database, char ret_note[OPS_NOTE_SIZE]);
void stores_cache_note(void *cache, char ret_note[OPS_NOTE_SIZE]);

/* Rows for a service's table of options, `base` as in service.h. */
#define STORE_AT(base, member) ((base) + offsetof(struct store_settings, member))
/* clang-format off */
#define DATABASE_OPTIONS(base, size_default, timeout_default)                                      \
    {"database", "url", CONFIG_URL, STORE_AT(base, database.url), "",                              \
     .url = &pg_url_kind, .required = true, .secret = true, .alias = "DATABASE_URL",               \
     .help = "PostgreSQL, through PgBouncer in transaction mode if there is one."},                \
    {"database", "pool_size", CONFIG_INT, STORE_AT(base, database.size), size_default,             \
     1, 256,                                                                                       \
     .help = "Connections kept open."},                                                            \
    {"database", "timeout_ms", CONFIG_INT, STORE_AT(base, database.timeout_ms), timeout_default,   \
     1, 600000,                                                                                    \
     .help = "Deadline of one statement."},                                                        \
    {"database", "connect_timeout_ms", CONFIG_INT, STORE_AT(base, database.connect_timeout_ms),    \
     "1000", 1, 600000,                                                                            \
     .help = "Deadline for connecting to an address and a first answer."},                         \
    {"database", "prepared", CONFIG_SWITCH, STORE_AT(base, database_prepared), "off",              \
     .help = "Prepare statements by name; through PgBouncer this needs version 1.21 and its "      \
             "max_prepared_statements."}

#define REDIS_OPTIONS(base, size_default)                                                          \
    {"redis", "url", CONFIG_URL, STORE_AT(base, redis.url), "",                                    \
     .url = &redis_url_kind, .secret = true, .alias = "REDIS_URL",                                 \
     .help = "Redis, the cache that all instances share, or Sentinels that know where it is; "     \
             "empty: do without."},                     \
    {"redis", "pool_size", CONFIG_INT, STORE_AT(base, redis.size), size_default,                   \
     1, 256,                                                                                       \
     .help = "Connections kept open."},                                                            \
    {"redis", "timeout_ms", CONFIG_INT, STORE_AT(base, redis.timeout_ms), "250",                   \
     1, 60000,                                                                                     \
     .help = "Deadline of one command."},                                                          \
    {"redis", "connect_timeout_ms", CONFIG_INT, STORE_AT(base, redis.connect_timeout_ms), "250",   \
     1, 60000,                                                                                     \
     .help = "Deadline for connecting and a first answer."},                                       \
    {"redis", "key_prefix", CONFIG_STRING, STORE_AT(base, redis_key_prefix), "fs",                 \
     .max = PRODUCT_CACHE_PREFIX_MAX,                                                              \
     .help = "First part of all keys; the same for all services of one system."},              \
    {"redis", "tls_ca_file", CONFIG_STRING, STORE_AT(base, redis_tls.ca_file), "",                 \
     .help = "CAs (PEM) that a rediss:// server may be signed by; empty: those of the system."},   \
    {"redis", "tls_cert_file", CONFIG_STRING, STORE_AT(base, redis_tls.cert_file), "",             \
     .help = "Certificate (PEM) that is shown to a rediss:// server; empty: none."},               \
    {"redis", "tls_key_file", CONFIG_STRING, STORE_AT(base, redis_tls.key_file), "",               \
     .help = "Key (PEM) of redis.tls_cert_file; empty: it is in that file."},                      \
    {"redis", "tls_server_name", CONFIG_STRING, STORE_AT(base, redis_tls.server_name), "",         \
     .help = "Name that a rediss:// server's certificate must have; empty: the URL's host."},      \
    {"redis", "sentinel_user", CONFIG_STRING, STORE_AT(base, redis_sentinel.user), "",             \
     .help = "User for the Sentinels of a redis+sentinel:// URL; empty: the default user."},       \
    {"redis", "sentinel_password", CONFIG_STRING, STORE_AT(base, redis_sentinel.password), "",     \
     .secret = true,                                                                               \
     .help = "Password for the Sentinels of a redis+sentinel:// URL; empty: none."}

#define CACHE_OPTIONS(base)                                                                        \
    {"cache", "ttl_ms", CONFIG_INT, STORE_AT(base, cache_ttl_ms), "60000",                         \
     1, 86400000,                                                                                  \
     .help = "Lifetime of a product in Redis, a tenth more or less."}
/* clang-format on */

#endif
