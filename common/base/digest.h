/* SHA-256 of texts. Thread-safe. */
#ifndef FASTSTOCK_COMMON_BASE_DIGEST_H
#define FASTSTOCK_COMMON_BASE_DIGEST_H

#include "common/base/strbuf.h"

#define DIGEST_SIZE 65 /* in hex, and NUL */

/* The digest of all of `text`. */
void digest_sha256(const struct strbuf *text, char ret_hex[DIGEST_SIZE]);

#endif
