#include "common/stores/redis_tls.h"

#include <stdio.h>
#include <string.h>

#ifdef FASTSTOCK_REDIS_TLS

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

const char *redis_tls_lack(void)
{
    return NULL;
}

static bool is_given(const char *text)
{
    return text != NULL && text[0] != '\0';
}

/* The first error noted is the cause; those after it say in which function it came up. */
static bool fail_with_file(const char *what, const char *file, char *error, size_t error_size)
{
    unsigned long noted = ERR_peek_error();
    const char *reason =
        ERR_SYSTEM_ERROR(noted) ? strerror(ERR_GET_REASON(noted)) : ERR_reason_error_string(noted);

    snprintf(error, error_size, "TLS: cannot use %s %s: %s", what, file,
             reason == NULL ? "it holds none" : reason);
    return false;
}

/* Instead of asking the terminal for the passphrase of a key. */
static int have_no_passphrase(char *buffer, int size, int is_writing, void *arg)
{
    (void)buffer;
    (void)size;
    (void)is_writing;
    (void)arg;
    return 0;
}

static bool load_files(SSL_CTX *context, const struct redis_tls_options *options, char *error,
                       size_t error_size)
{
    const char *key_file = is_given(options->key_file) ? options->key_file : options->cert_file;

    SSL_CTX_set_default_passwd_cb(context, have_no_passphrase);
    if (!is_given(options->ca_file)) {
        SSL_CTX_set_default_verify_paths(context);
    } else if (SSL_CTX_load_verify_locations(context, options->ca_file, NULL) != 1) {
        return fail_with_file("redis.tls_ca_file", options->ca_file, error, error_size);
    }
    if (!is_given(options->cert_file)) {
        return true;
    }
    if (SSL_CTX_use_certificate_chain_file(context, options->cert_file) != 1) {
        return fail_with_file("redis.tls_cert_file", options->cert_file, error, error_size);
    }
    if (SSL_CTX_use_PrivateKey_file(context, key_file, SSL_FILETYPE_PEM) != 1) {
        return fail_with_file("redis.tls_key_file", key_file, error, error_size);
    }
    return true;
}

/* An address must stand in the certificate as one; a name is also sent to the server (SNI). */
static bool expect_name(SSL *ssl, const char *name)
{
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1 ||
           (SSL_set1_host(ssl, name) == 1 && SSL_set_tlsext_host_name(ssl, name) == 1);
}

bool redis_tls_start(const struct redis_tls_options *options, const char *host,
                     struct ssl_st **ret_ssl, char *error, size_t error_size)
{
    const char *name = is_given(options->server_name) ? options->server_name : host;
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *ssl = NULL;

    ERR_clear_error();
    snprintf(error, error_size, "TLS: out of memory");
    if (context != NULL) {
        SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
        if (load_files(context, options, error, error_size)) {
            ssl = SSL_new(context);
        }
    }
    SSL_CTX_free(context); /* `ssl` has its own reference */
    if (ssl == NULL || !expect_name(ssl, name)) {
        SSL_free(ssl);
        return false;
    }
    ERR_clear_error();
    *ret_ssl = ssl;
    return true;
}

void redis_tls_free(struct ssl_st *ssl)
{
    SSL_free(ssl);
}

/* What to do about an alert of the server's, or about what it sent. */
static const char *advice_for(int reason)
{
    switch (reason) {
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
        return "; does the server speak TLS on this port?";
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
    case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE:
        return "; the server wants a certificate of the client (redis.tls_cert_file)";
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
        return "; the server refuses the client's certificate (redis.tls_cert_file)";
    default: /* of OpenSSL's hundreds of reasons */
        return "";
    }
}

bool redis_tls_explain(const struct ssl_st *ssl, const char *host, char *out, size_t out_size)
{
    long verdict = ssl == NULL ? X509_V_OK : SSL_get_verify_result(ssl);
    unsigned long noted = ERR_peek_last_error();

    if (verdict != X509_V_OK) {
        snprintf(out, out_size, "TLS: the server's certificate is refused: %s (for %.256s)",
                 X509_verify_cert_error_string(verdict), host);
        return true;
    }
    if (noted == 0 || ERR_reason_error_string(noted) == NULL) {
        return false;
    }
    snprintf(out, out_size, "TLS: %s%s", ERR_reason_error_string(noted),
             advice_for(ERR_GET_REASON(noted)));
    ERR_clear_error();
    return true;
}

#else

const char *redis_tls_lack(void)
{
    return "TLS (rediss://) needs hiredis 1.0 or newer with its TLS part, and this program was "
           "built with hiredis " FASTSTOCK_HIREDIS_VERSION;
}

bool redis_tls_start(const struct redis_tls_options *options, const char *host,
                     struct ssl_st **ret_ssl, char *error, size_t error_size)
{
    (void)options;
    (void)host;
    (void)ret_ssl;
    snprintf(error, error_size, "%s", redis_tls_lack());
    return false;
}

void redis_tls_free(struct ssl_st *ssl)
{
    (void)ssl;
}

bool redis_tls_explain(const struct ssl_st *ssl, const char *host, char *out, size_t out_size)
{
    (void)ssl;
    (void)host;
    snprintf(out, out_size, "%s", "");
    return false;
}

#endif
