/* The body of a request, as its head describes it: length, coding, media type. */
#ifndef FASTSTOCK_COMMON_HTTP_CONTENT_H
#define FASTSTOCK_COMMON_HTTP_CONTENT_H

#include "common/http/message.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How long the body is to be, at most `max`. False when that is not said plainly, and when the body
 * is not taken as it is (Transfer-Encoding, Content-Encoding, an Expect other than 100-continue):
 * the response then says why and ends the connection, because the end of the body is not known. */
bool http_content_length(const struct http_request *request, int64_t max,
                         struct http_response *response, size_t *ret_len);

/* Must "100 Continue" be sent before the body comes? (RFC 9110 section 10.1.1) */
bool http_wants_continue(const struct http_request *request);

/* Is there a body, and is it application/json? Its charset may be said if it is UTF-8, the only one
 * that JSON has (RFC 8259 section 8.1). Else the response is a 411 or 415. */
bool http_check_json(const struct http_request *request, struct http_response *response);

#endif
