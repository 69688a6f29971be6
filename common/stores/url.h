/* Store URLs. */
#ifndef FASTSTOCK_COMMON_STORES_URL_H
#define FASTSTOCK_COMMON_STORES_URL_H

#include "common/base/config.h"

#include <stdbool.h>
#include <stddef.h>

#define REDIS_URL_HOST_SIZE 256 /* a DNS name has up to 253 characters */
#define REDIS_URL_CREDENTIAL_SIZE 2049

/* The parts of a URL, percent-decoded. */
struct redis_url {
    bool is_tls;                    /* rediss:// */
    char host[REDIS_URL_HOST_SIZE]; /* a name or an address; of IPv6 without the brackets */
    int port;
    char user[REDIS_URL_CREDENTIAL_SIZE]; /* "" when there is none */
    char password[REDIS_URL_CREDENTIAL_SIZE];
    int database;
};

/* redis[s]://[[user]:password@]host[:port][/database]; an IPv6 address stands in brackets. On
 * failure `error` tells why, without the password. */
bool url_parse_redis(const char *url, struct redis_url *ret_url, char *error, size_t error_size);

extern const struct config_url_kind redis_url_kind;

/* The URL with its password replaced by "***", for logs and messages; out is always terminated. */
void url_redact(const char *url, char *out, size_t out_size);

#endif
