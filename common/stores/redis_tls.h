/* TLS for connections to Redis (rediss://). The server's certificate must be signed by a known CA
 * and name the host; hiredis' own helper checks the first only, so the session is made here.
 *
 * Needs hiredis 1.0 or newer with its TLS part, which Debian 12 does not have; CMake looks for it.
 */
#ifndef FASTSTOCK_COMMON_STORES_REDIS_TLS_H
#define FASTSTOCK_COMMON_STORES_REDIS_TLS_H

#include <stdbool.h>
#include <stddef.h>

struct ssl_st; /* OpenSSL's SSL */

/* Files in PEM. They are read for each new connection, so a renewed certificate needs no restart.
 */
struct redis_tls_options {
    const char *ca_file;     /* "": the CAs that the system trusts */
    const char *cert_file;   /* of the client, with its chain; "": none */
    const char *key_file;    /* of the client's certificate; "": it is in cert_file */
    const char *server_name; /* that the certificate must have; "": the host of the URL */
};

/* Why this program has no TLS, or NULL when it has. */
const char *redis_tls_lack(void);

/* A session that will accept no certificate but one of `options`, for a connection to `host`. NULL
 * members of `options` mean "". On failure `error` says why, and names the file. */
bool redis_tls_start(const struct redis_tls_options *options, const char *host,
                     struct ssl_st **ret_ssl, char *error, size_t error_size);

/* Only of a session whose handshake failed; else hiredis has taken it over. */
void redis_tls_free(struct ssl_st *ssl);

/* Why a handshake, or the first command after it, failed: what OpenSSL noted in this thread since
 * redis_tls_start. False when it noted nothing. `ssl` is NULL once it is hiredis'. */
bool redis_tls_explain(const struct ssl_st *ssl, const char *host, char *out, size_t out_size);

#endif
