#include "write-svc/settings.h"

const struct config_option settings_options[] = {
    SERVICE_OPTIONS(struct settings, service),
    DATABASE_OPTIONS(struct settings, stores, "8"),
    REDIS_OPTIONS(struct settings, stores, "4"),
    {"auth", "tokens_file", CONFIG_STRING, offsetof(struct settings, auth_tokens_file), "",
     .help = "File of tokens, one a line, of which a write must bear one; read again when it changes; empty: none is "
             "needed."},
    {.section = NULL},
};
