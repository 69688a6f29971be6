#include "read-svc/settings.h"

const struct config_option settings_options[] = {
    SERVICE_OPTIONS(offsetof(struct settings, service), "128", "65536"),
    {"http", "console", CONFIG_SWITCH, offsetof(struct settings, http_console), "off",
     .help = "Pages for people: / has the products live, with buttons that change them; "
             "/problems/ tells what each type of error means; /docs is the API."},
    DATABASE_OPTIONS(offsetof(struct settings, stores), "4", "1000"),
    {"database", "replica_url", CONFIG_URL, offsetof(struct settings, database_replica_url), "",
     .url = &pg_url_kind, .secret = true, .alias = "DATABASE_REPLICA_URL",
     .help = "A PostgreSQL replica that takes the reads while it keeps up; empty: none."},
    REDIS_OPTIONS(offsetof(struct settings, stores), "2"),
    {"redis", "replica_url", CONFIG_URL, offsetof(struct settings, redis_replica_url), "",
     .url = &redis_replica_url_kind, .secret = true, .alias = "REDIS_REPLICA_URL",
     .help = "A Redis replica that takes the reads while it is up; empty: none."},
    CACHE_OPTIONS(offsetof(struct settings, stores)),
    {"cache", "missing_ttl_ms", CONFIG_INT, offsetof(struct settings, cache_missing_ttl_ms), "5000",
     1, 86400000, .help = "How long Redis remembers that there is no such product."},
    {"freshness", "max_staleness_ms", CONFIG_INT,
     offsetof(struct settings, freshness_max_staleness_ms), "2000", 0, 3600000,
     .help = "How old an answer from a cache may be, whatever fails; 0: every read asks "
             "PostgreSQL."},
    {"freshness", "stale_if_error_ms", CONFIG_INT,
     offsetof(struct settings, freshness_stale_if_error_ms), "300000", 0, 86400000,
     .help = "How old an answer may be, marked as stale, while PostgreSQL does not answer."},
    {"freshness", "follow_ms", CONFIG_INT, offsetof(struct settings, freshness_follow_ms), "100",
     10, 60000, .help = "Pause between two reads of the ledger, by which caches are judged."},
    {"l1", "bytes_max", CONFIG_INT, offsetof(struct settings, l1_bytes_max), "67108864", 0,
     INT64_C(1099511627776),
     .help = "Memory for products in the process itself; 0: none are kept."},
    {"catalog", "refresh_ms", CONFIG_INT, offsetof(struct settings, catalog_refresh_ms), "250", 10,
     60000, .help = "How often the catalogue (which products there are) is brought up to date."},
    {"catalog", "products_max", CONFIG_INT, offsetof(struct settings, catalog_products_max),
     "10000000", 0, 1000000000,
     .help =
         "Largest catalogue whose ids are kept in memory (8 bytes each); a larger one is paged in "
         "PostgreSQL."},
    {.section = NULL},
};
