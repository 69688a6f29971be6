/* What every write checks before it looks at its own fields. On false the response is a problem
 * that says what was expected. */
#ifndef FASTSTOCK_WRITE_SVC_HANDLERS_CHECKS_H
#define FASTSTOCK_WRITE_SVC_HANDLERS_CHECKS_H

#include "write-svc/auth.h"

#include "common/base/json.h"
#include "common/http/message.h"

#include <stdbool.h>

/* May this client write? */
bool checks_token(const struct http_request *request, struct http_response *response,
                  struct auth *auth);

/* Reads the body, a JSON object, into `fields`, which json_fields_finish frees in either case. */
bool checks_read_json(const struct http_request *request, struct http_response *response,
                      struct json_field *fields);

#endif
