#include "write-svc/writes.h"

#include "write-svc/lane.h"
#include "write-svc/transaction.h"

#include "common/base/alloc.h"

#include <assert.h>
#include <stdlib.h>

struct writes {
    struct transactions *transactions;
    struct lane **lanes;
    int lane_count;
};

struct writes *writes_create(const struct writes_options *options)
{
    struct writes *writes = fs_calloc(1, sizeof(*writes));
    struct lane_options lane = {.publisher = options->publisher,
                                .batch_max = options->batch_max,
                                .waiting_max = options->waiting_max};

    assert(options->lanes > 0);
    writes->transactions = transactions_create(options->database);
    lane.transactions = writes->transactions;
    writes->lane_count = options->lanes;
    writes->lanes = fs_calloc((size_t)options->lanes, sizeof(struct lane *));
    for (int i = 0; i < options->lanes; i++) {
        writes->lanes[i] = lane_create(&lane);
    }
    return writes;
}

void writes_destroy(struct writes *writes)
{
    if (writes == NULL) {
        return;
    }
    for (int i = 0; i < writes->lane_count; i++) {
        lane_destroy(writes->lanes[i]);
    }
    transactions_destroy(writes->transactions);
    free(writes->lanes);
    free(writes);
}

/* Neighbouring ids are spread too, whatever the number of lanes (Fibonacci hashing). */
static struct lane *lane_of(struct writes *writes, const struct write_command *command)
{
    int64_t id = command->item_count > 0 ? command->items[0].product_id : command->subject;
    uint64_t hash = (uint64_t)id * UINT64_C(0x9E3779B97F4A7C15);

    return writes->lanes[(hash >> 32) % (uint64_t)writes->lane_count];
}

void writes_run(struct writes *writes, const struct write_command *command, int64_t deadline_us,
                struct write_result *ret_result)
{
    lane_run(lane_of(writes, command), command, deadline_us, ret_result);
}
