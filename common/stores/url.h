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

/* Has it a blank or a control character? Then it is no URL (RFC 3986 section 2). */
bool url_has_blank(const char *url);
#define URL_BLANK_COMPLAINT "it has a blank or a control character (a blank is %20)"

/* Has it an '@' beside the one before the host, or behind a '/', '?' or '#'? A password that is not
 * percent-encoded looks like that, and would be shown when the URL is. */
bool url_has_stray_at(const char *url);

/* redis[s]://[[user]:password@]host[:port][/database]; an IPv6 address stands in brackets. On
 * failure `error` tells why, without the password. */
bool url_parse_redis(const char *url, struct redis_url *ret_url, char *error, size_t error_size);

extern const struct config_url_kind redis_url_kind;

/* The URL with its password replaced by "***", for logs and messages; out is always terminated. */
void url_redact(const char *url, char *out, size_t out_size);

#endif
