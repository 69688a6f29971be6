/* Store URLs. */
#ifndef FASTSTOCK_COMMON_STORES_URL_H
#define FASTSTOCK_COMMON_STORES_URL_H

#include "common/base/config.h"

#include <stdbool.h>
#include <stddef.h>

#define REDIS_URL_HOST_SIZE 256 /* a DNS name has up to 253 characters */
#define REDIS_URL_CREDENTIAL_SIZE 2049
#define REDIS_URL_MASTER_SIZE 256
#define REDIS_URL_HOSTS_MAX 8

struct redis_host {
    char name[REDIS_URL_HOST_SIZE]; /* a name or an address; of IPv6 without the brackets */
    int port;
};

/* The parts of a URL, percent-decoded. */
struct redis_url {
    bool is_tls; /* rediss:// or rediss+sentinel:// */
    /* One Redis; or, when `master` is given, the Sentinels that know where the Redis is. */
    struct redis_host hosts[REDIS_URL_HOSTS_MAX];
    size_t host_count;
    char
        master[REDIS_URL_MASTER_SIZE]; /* by which name the Sentinels know it; "": there are none */
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

/* redis[s]://[[user]:password@]host[:port][/database], or
 * redis[s]+sentinel://[[user]:password@]host[:port][,host[:port]...]/master[/database], where the
 * hosts are Sentinels, and user and password those of the Redis. An IPv6 address stands in
 * brackets. On failure `error` tells why, without the password. */
bool url_parse_redis(const char *url, struct redis_url *ret_url, char *error, size_t error_size);

extern const struct config_url_kind redis_url_kind;
extern const struct config_url_kind redis_replica_url_kind; /* one Redis, without Sentinels */

/* The URL with its password replaced by "***", for logs and messages; out is always terminated. */
void url_redact(const char *url, char *out, size_t out_size);

#endif
