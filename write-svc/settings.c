#include "write-svc/settings.h"

/* What 1,000 stock changes take, each with the longest SKU and a reason of 200 characters of four
 * bytes, is 1,006,029 bytes. */
#define BODY_BYTES_MAX "1048576"

const struct config_option settings_options[] = {
    SERVICE_OPTIONS(offsetof(struct settings, service), BODY_BYTES_MAX),
    DATABASE_OPTIONS(offsetof(struct settings, stores), "8", "2000"),
    {"database", "direct_url", CONFIG_URL, offsetof(struct settings, database_direct_url), "",
     .url = &pg_url_kind, .secret = true, .alias = "DIRECT_URL",
     .help =
         "PostgreSQL without PgBouncer, for the relay's session lock; empty: this process has no "
         "relay."},
    REDIS_OPTIONS(offsetof(struct settings, stores), "4"),
    CACHE_OPTIONS(offsetof(struct settings, stores)),
    {"auth", "tokens_file", CONFIG_STRING, offsetof(struct settings, auth_tokens_file), "",
     .help =
         "File of tokens, one a line, of which a write must bear one; empty: none is needed. It is "
         "read again when it changes; while it is away or holds no token, those read before stay "
         "valid, with a warning in the log."},
    {.section = NULL},
};
