/* What every write checks before it looks at its own fields. On false the response is a problem
 * that says what was expected. */
#ifndef FASTSTOCK_WRITE_SVC_HANDLERS_CHECKS_H
#define FASTSTOCK_WRITE_SVC_HANDLERS_CHECKS_H

#include "write-svc/auth.h"

#include "common/base/json.h"
#include "common/http/message.h"

#include <stdbool.h>
#include <stdint.h>

/* May this client write? */
bool checks_token(const struct http_request *request, struct http_response *response,
                  struct auth *auth);

/* The id in the path. `what` names it, e.g. "an order id". */
bool checks_read_id(const struct http_request *request, struct http_response *response,
                    const char *what, int64_t *ret_id);

/* The version that If-Match asks for; 0: any. */
bool checks_read_if_match(const struct http_request *request, struct http_response *response,
                          int64_t *ret_version);

/* Reads the body, a JSON object, into `fields`, which json_fields_finish frees in either case. */
bool checks_read_json(const struct http_request *request, struct http_response *response,
                      struct json_field *fields);

/* For a request that says all by its path: there is no body, or an empty object. */
bool checks_read_nothing(const struct http_request *request, struct http_response *response);

/* Of the reason that a stock change may have, in characters. */
#define CHECKS_REASON_LENGTH_MAX 200

#endif
