#include "write-svc/settings.h"

/* A request that waits in a lane costs a thread and little else, and a flash sale has hundreds. */
#define THREADS "512"

/* What 1,000 stock changes take, each with the longest SKU and a reason of 200 characters of four
 * bytes, is 1,006,029 bytes. */
#define BODY_BYTES_MAX "1048576"

const struct config_option settings_options[] = {
    SERVICE_OPTIONS(offsetof(struct settings, service), THREADS, BODY_BYTES_MAX),
    DATABASE_OPTIONS(offsetof(struct settings, stores), "8", "2000"),
    {"database", "direct_url", CONFIG_URL, offsetof(struct settings, database_direct_url), "",
     .url = &pg_url_kind, .secret = true, .alias = "DIRECT_URL",
     .help =
         "PostgreSQL without PgBouncer, for the relay's session lock; empty: this process has no "
         "relay."},
    REDIS_OPTIONS(offsetof(struct settings, stores), "4"),
    CACHE_OPTIONS(offsetof(struct settings, stores)),
    {"writes", "lanes", CONFIG_INT, offsetof(struct settings, writes_lanes), "4", 1, 64,
     .help = "Batches under way at a time; the changes of one product share a lane. Each uses a "
             "connection of database.pool_size."},
    {"writes", "batch_max", CONFIG_INT, offsetof(struct settings, writes_batch_max), "256", 1, 1000,
     .help = "Writes of one transaction."},
    {"writes", "waiting_max", CONFIG_INT, offsetof(struct settings, writes_waiting_max), "2000", 1,
     1000000, .help = "Writes that may wait in a lane; more are refused (503)."},
    {"writes", "key_ttl_hours", CONFIG_INT, offsetof(struct settings, writes_key_ttl_hours), "24",
     1, 8760, .help = "How long the answer to a request with an Idempotency-Key is kept."},
    {"ledger", "retention_days", CONFIG_INT, offsetof(struct settings, ledger_retention_days), "0",
     0, 36500,
     .help =
         "Movements that are older are removed, but for the last one of each product; 0: never. "
         "Clients of /api/changes that had not read them have to begin anew."},
    {"auth", "tokens_file", CONFIG_STRING, offsetof(struct settings, auth_tokens_file), "",
     .help =
         "File of tokens, one a line, of which a write must bear one; empty: none is needed. It is "
         "read again when it changes; while it is away or holds no token, those read before stay "
         "valid, with a warning in the log."},
    {.section = NULL},
};
