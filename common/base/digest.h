/* SHA-256 of texts. Thread-safe. */
#ifndef FASTSTOCK_COMMON_BASE_DIGEST_H
#define FASTSTOCK_COMMON_BASE_DIGEST_H

#include "common/base/strbuf.h"

#define DIGEST_SIZE 65        /* in hex, and NUL */
#define DIGEST_BASE64_SIZE 45 /* in Base64 (RFC 4648 section 4), and NUL */

/* The digest of all of `text`. */
void digest_sha256(const struct strbuf *text, char ret_hex[DIGEST_SIZE]);

/* The digest of `len` bytes, in Base64. */
void digest_sha256_base64(const char *bytes, size_t len, char ret_text[DIGEST_BASE64_SIZE]);

#endif
