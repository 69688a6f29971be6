/* A lane: commands that wait for the batch before theirs. writes.h tells what lanes are for and
 * what they promise; this is one of them. Thread-safe. */
#ifndef FASTSTOCK_WRITE_SVC_LANE_H
#define FASTSTOCK_WRITE_SVC_LANE_H

#include "write-svc/command.h"
#include "write-svc/publisher.h"
#include "write-svc/transaction.h"

#include <stddef.h>
#include <stdint.h>

struct lane;

struct lane_options {
    struct transactions *transactions; /* borrowed */
    struct publisher *publisher;       /* borrowed */
    size_t batch_max;                  /* commands */
    size_t waiting_max;                /* commands */
};

/* Starts the lane's thread. */
struct lane *lane_create(const struct lane_options *options);
void lane_destroy(struct lane *lane); /* NULL is fine; no request may be under way */

/* As writes_run (writes.h). */
void lane_run(struct lane *lane, const struct write_command *command, int64_t deadline_us,
              struct write_result *ret_result);

#endif
