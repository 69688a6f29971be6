/* Writes: what requests ask of the database, batched, and judged once.
 *
 * A *command* is what one request asks for: a stock change, an order, a reservation, its end, a
 * change of the catalogue. Commands are judged in PostgreSQL by one function, write_batch
 * (sql/migrations/0011), many at a time, each on its own. A command is acknowledged when the
 * transaction of its batch is committed and its products are published to Redis.
 *
 * **Lanes.** A command waits in the *lane* of its first product, so that the commands of a hot
 * product are in one lane. A lane is a gather with one worker: while a batch is in flight, the next
 * one gathers; no timer holds a command back. So one product costs one transaction and one flush of
 * the WAL a batch, however many requests want it. (Locks on rows alone would let each of them wait
 * for the commit of the one before.)
 *
 * **Deadlines.** A command whose deadline passes before its batch begins is certainly not made, and
 * its request hears so at once (WRITE_LATE). One whose batch has begun waits for the truth.
 *
 * **The truth.** A connection may break after COMMIT was sent. Each batch moves the row of its lane
 * on, in its own transaction; so the lane asks that row: write_batch_end either finds the batch
 * with its answers, or moves the lane on itself, after which the transaction cannot commit any
 * more, wherever it may still be running. Only when no PostgreSQL answers that question in time a
 * command ends as WRITE_UNKNOWN.
 *
 * **Held products.** A product that another transaction holds for long would make a whole lane wait
 * with each batch. Its commands are set aside, and refused (WRITE_LOCKED) without waiting until the
 * product is free again; the others of the lane go on.
 *
 * Thread-safe. */
#ifndef FASTSTOCK_WRITE_SVC_WRITES_H
#define FASTSTOCK_WRITE_SVC_WRITES_H

#include "write-svc/command.h"
#include "write-svc/publisher.h"

#include "common/stores/pg.h"

#include <stddef.h>
#include <stdint.h>

struct writes;

struct writes_options {
    struct pg_store *database;   /* borrowed */
    struct publisher *publisher; /* borrowed */
    int lanes;                   /* each uses one connection at a time, at most */
    size_t batch_max;            /* commands of a batch */
    size_t waiting_max;          /* commands that may wait in a lane */
};

/* Starts the lanes' threads. */
struct writes *writes_create(const struct writes_options *options);
void writes_destroy(struct writes *writes); /* NULL is fine; no request may be under way */

/* Runs one command, which is borrowed until the call returns. Applied is durable. It returns at the
 * deadline unless the command's batch has begun by then; then some seconds later at most. The
 * result is the caller's: write_result_finish. */
void writes_run(struct writes *writes, const struct write_command *command, int64_t deadline_us,
                struct write_result *ret_result);

#endif
