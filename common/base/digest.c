#include "common/base/digest.h"

#include <assert.h>
#include <openssl/evp.h>
#include <stdio.h>

#define DIGEST_BYTES 32

static void digest(const char *text, size_t text_len, unsigned char ret_bytes[DIGEST_BYTES])
{
    unsigned int len = 0;
    int is_done = EVP_Digest(text, text_len, ret_bytes, &len, EVP_sha256(), NULL);

    assert(is_done == 1 && len == DIGEST_BYTES); /* it fails for want of memory only */
    (void)is_done;
}

void digest_sha256(const struct strbuf *text, char ret_hex[DIGEST_SIZE])
{
    unsigned char bytes[DIGEST_BYTES];

    digest(text->text, text->len, bytes);
    for (size_t i = 0; i < DIGEST_BYTES; i++) {
        snprintf(ret_hex + 2 * i, 3, "%02x", bytes[i]);
    }
}

void digest_sha256_base64(const char *bytes, size_t len, char ret_text[DIGEST_BASE64_SIZE])
{
    unsigned char found[DIGEST_BYTES];
    int text_len;

    digest(bytes, len, found);
    text_len = EVP_EncodeBlock((unsigned char *)ret_text, found, DIGEST_BYTES);
    assert(text_len + 1 == DIGEST_BASE64_SIZE);
    (void)text_len;
}
