/* Entity tags: a product's is its version, in quotes (RFC 9110 section 8.8.3), and the
 * preconditions that name them (sections 13.1.1 and 13.1.2). */
#ifndef FASTSTOCK_COMMON_HTTP_ETAG_H
#define FASTSTOCK_COMMON_HTTP_ETAG_H

#include "common/http/message.h"

#include <stdbool.h>
#include <stdint.h>

/* What a precondition says of one version. */
enum etag_match {
    ETAG_INVALID, /* it is no list of entity tags */
    ETAG_NONE,    /* no tag in the list is that version */
    ETAG_FOUND,   /* one is */
    ETAG_ANY,     /* it is "*", or there is no such header */
};

/* Looks for `version` in the value of one header. A weak tag (W/"5") counts only when `weak`. Sets
 * *first, when it was 0, to the first version that could match. */
enum etag_match etag_match_list(const char *list, int64_t version, bool weak, int64_t *first);

/* What all If-Match lines together say of `version`; a weak tag never matches. `ret_first` (may be
 * NULL) gets the first version that they name, 0 when they name none: set with ETAG_NONE and
 * ETAG_FOUND. */
enum etag_match http_if_match(const struct http_request *request, int64_t version,
                              int64_t *ret_first);

/* Does the client have this version already? A condition that cannot be read is no condition. */
bool http_if_none_match(const struct http_request *request, int64_t version);

/* Adds the ETag of this version. */
void http_add_etag(struct http_response *response, int64_t version);

#endif
