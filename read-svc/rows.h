/* Answers that come from PostgreSQL alone: asking, and JSON from what the rows hold. All functions
 * are thread-safe. */
#ifndef FASTSTOCK_READ_SVC_ROWS_H
#define FASTSTOCK_READ_SVC_ROWS_H

#include "common/base/status.h"
#include "common/base/strbuf.h"
#include "common/stores/pg.h"
#include "common/stores/pg_params.h"

#include <stdbool.h>
#include <stdint.h>

/* Runs a statement, and finishes its parameters. When PostgreSQL refuses it, the log says so. On
 * success the result is the caller's (pg_result_free). */
enum status rows_ask(struct pg_store *database, const struct pg_statement *statement,
                     struct pg_params *params, int64_t deadline_us, struct pg_result **ret_result);

/* Each adds a member to a JSON object, its name with the comma in front: ,"createdAt": and so on.
 * A value that is SQL's NULL adds nothing. */

/* A number, as PostgreSQL writes it. */
void rows_add_number(struct strbuf *json, const char *name, const struct pg_result *result, int row,
                     int column);

/* A text. */
void rows_add_string(struct strbuf *json, const char *name, const struct pg_result *result, int row,
                     int column);

/* A time that comes as the seconds of an epoch; false, and the log says so, when it cannot be
 * shown. */
bool rows_add_time(struct strbuf *json, const char *name, const struct pg_result *result, int row,
                   int column);

#endif
