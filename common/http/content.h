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

/* The same for a body that is streamed, of any length: it may also come in chunks
 * (Transfer-Encoding: chunked, in HTTP/1.1), and then its length is not known. A request without a
 * body is refused, 411. */
bool http_stream_length(const struct http_request *request, struct http_response *response,
                        bool *ret_is_chunked, int64_t *ret_len);

/* Must "100 Continue" be sent before the body comes? (RFC 9110 section 10.1.1) */
bool http_wants_continue(const struct http_request *request);

/* Is there a body, and is it application/json? Its charset may be said if it is UTF-8, the only one
 * that JSON has (RFC 8259 section 8.1). Else the response is a 411 or 415. */
bool http_check_json(const struct http_request *request, struct http_response *response);

/* The same for a streamed body of lines of JSON, application/x-ndjson. */
bool http_check_ndjson(const struct http_request *request, struct http_response *response);

#endif
