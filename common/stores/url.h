/* Store URLs. */
#ifndef FASTSTOCK_COMMON_STORES_URL_H
#define FASTSTOCK_COMMON_STORES_URL_H

#include "common/base/config.h"

#include <stdbool.h>
#include <stddef.h>

struct redis_url {
    char host[256];
    int port;
    char user[128]; /* "" when there is none */
    char password[256];
    int database;
};

/* redis://[[user]:password@]host[:port][/database]. On failure `error` tells why. */
bool url_parse_redis(const char *url, struct redis_url *ret_url, char *error, size_t error_size);

extern const struct config_url_kind redis_url_kind;

/* The URL with its password replaced by "***", for logs and messages; out is always terminated. */
void url_redact(const char *url, char *out, size_t out_size);

#endif
