/* The part that all writes have in common: Idempotency-Key, running the command, and the answer. */
#ifndef FASTSTOCK_WRITE_SVC_HANDLERS_ANSWERS_H
#define FASTSTOCK_WRITE_SVC_HANDLERS_ANSWERS_H

#include "write-svc/handlers/handlers.h"

#include "common/http/message.h"

/* Runs the command of a request, and answers. Applied: `status` with the body that the database
 * made, and an ETag when it is about one product; refused: the problem. A malformed Idempotency-Key
 * is a 400, and then the command is not run.
 *
 * Key and fingerprint of the command are set here. Returns what came of it; WRITE_OUTCOMES for the
 * 400. The caller may add headers. */
enum write_outcome answers_write(const struct http_request *request, struct http_response *response,
                                 struct handlers *handlers, struct write_command *command,
                                 int status);

/* The same for a command that makes something: 201, and its Location, which is its id below `path`.
 */
void answers_create(const struct http_request *request, struct http_response *response,
                    struct handlers *handlers, struct write_command *command, const char *path);

#endif
