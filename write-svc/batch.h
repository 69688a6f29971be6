/* A batch: commands as the parameters of write_batch, and its rows as their results and the
 * products that changed. For one thread. */
#ifndef FASTSTOCK_WRITE_SVC_BATCH_H
#define FASTSTOCK_WRITE_SVC_BATCH_H

#include "write-svc/command.h"
#include "write-svc/publisher.h"

#include "common/products/generation.h"
#include "common/stores/pg.h"
#include "common/stores/pg_params.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

extern const struct pg_statement batch_statement;

/* The parameters of batch_statement. `waits`: for rows that another transaction holds, see
 * sql/migrations/0011. The caller calls pg_params_finish. */
void batch_params(struct pg_params *params, int64_t lane, int64_t number, bool waits,
                  const struct write_command *const *commands, size_t count);

/* A batch of one command that adds to the stock of one product, and has no key: it has a statement
 * of its own (sql/migrations/0018). When that gives no row, nothing was changed, and
 * batch_statement says why. */
extern const struct pg_statement batch_change_statement;
bool batch_is_lone_change(const struct write_command *const *commands, size_t count);
void batch_change_params(struct pg_params *params, int64_t lane, int64_t number,
                         const struct write_command *command);

/* How a batch of a lane ended (write_batch_end); its parameters are the lane and the number. */
extern const struct pg_statement batch_end_statement;

enum batch_end {
    BATCH_MADE,
    BATCH_NOT_MADE,
    BATCH_LOST /* the lane is not there, or ahead: nobody knows */
};
enum batch_end batch_read_end(const struct pg_result *rows);

/* Ends reservations whose time is over (expire_reservations, sql/migrations/0014); its parameters
 * are how many at most, and `waits`. Its rows are those of a batch. */
extern const struct pg_statement batch_expire_statement;

/* The results of the commands, in their order. One of which the rows do not tell, or tell something
 * that this version does not know, is WRITE_UNKNOWN, because the batch is committed. */
void batch_read_results(const struct pg_result *rows, struct write_result *results, size_t count);

/* Publishes the products of the rows. */
void batch_publish(const struct pg_result *rows, struct publisher *publisher,
                   const struct generation *generation);

#endif
