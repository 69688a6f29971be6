#include "read-svc/settings.h"

const struct config_option settings_options[] = {
    SERVICE_OPTIONS(offsetof(struct settings, service), "128", "65536"),
    DATABASE_OPTIONS(offsetof(struct settings, stores), "4", "1000"),
    {"database", "replica_url", CONFIG_URL, offsetof(struct settings, database_replica_url), "",
     .url = &pg_url_kind, .secret = true, .alias = "DATABASE_REPLICA_URL",
     .help = "A PostgreSQL replica that takes the reads while it keeps up; empty: none."},
    REDIS_OPTIONS(offsetof(struct settings, stores), "2"),
    {"redis", "replica_url", CONFIG_URL, offsetof(struct settings, redis_replica_url), "",
     .url = &redis_url_kind, .secret = true, .alias = "REDIS_REPLICA_URL",
     .help = "A Redis replica that takes the reads while it is up; empty: none."},
    CACHE_OPTIONS(offsetof(struct settings, stores)),
    {"cache", "missing_ttl_ms", CONFIG_INT, offsetof(struct settings, cache_missing_ttl_ms), "5000",
     1, 86400000, .help = "How long Redis remembers that there is no such product."},
    {"catalog", "refresh_ms", CONFIG_INT, offsetof(struct settings, catalog_refresh_ms), "250", 10,
     60000, .help = "How often the catalogue (which products there are) is brought up to date."},
    {"catalog", "products_max", CONFIG_INT, offsetof(struct settings, catalog_products_max),
     "10000000", 0, 1000000000,
     .help =
         "Largest catalogue whose ids are kept in memory (8 bytes each); a larger one is paged in "
         "PostgreSQL."},
    {.section = NULL},
};
