#include "common/base/digest.h"

#include <assert.h>
#include <openssl/evp.h>
#include <stdio.h>

void digest_sha256(const struct strbuf *text, char ret_hex[DIGEST_SIZE])
{
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned int len = 0;
    int is_done = EVP_Digest(text->text, text->len, bytes, &len, EVP_sha256(), NULL);

    assert(is_done == 1 && 2 * len + 1 == DIGEST_SIZE); /* it fails for want of memory only */
    (void)is_done;
    for (unsigned int i = 0; i < len; i++) {
        snprintf(ret_hex + (size_t)2 * i, 3, "%02x", bytes[i]);
    }
}
