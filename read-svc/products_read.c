#include "read-svc/products_read.h"

#include "read-svc/tier_database.h"
#include "read-svc/tier_redis.h"
#include "read-svc/wal_mark.h"

#include "common/base/alloc.h"

#include <stdlib.h>

struct products_read {
    struct tier *tiers[FLIGHTS_TIERS_MAX];
    size_t tier_count;
    struct flights *flights;
    struct wal_mark *mark; /* NULL: no replica */
};

struct products_read *products_read_create(const struct products_read_options *options)
{
    struct products_read *read = fs_calloc(1, sizeof(*read));

    if (options->replica != NULL) {
        read->mark = wal_mark_create(options->database);
    }
    if (options->cache != NULL) {
        read->tiers[read->tier_count++] = tier_redis_create(options->cache, options->cache_workers);
    }
    read->tiers[read->tier_count++] = tier_database_create(
        &(struct tier_database_options){.cache = options->cache,
                                        .primary = options->database,
                                        .replica = options->replica,
                                        .mark = read->mark,
                                        .timeout_ms = options->database_timeout_ms,
                                        .workers = options->database_workers});
    read->flights = flights_create(read->tiers, read->tier_count);
    return read;
}

void products_read_destroy(struct products_read *read)
{
    if (read == NULL) {
        return;
    }
    flights_destroy(read->flights);
    for (size_t i = 0; i < read->tier_count; i++) {
        tier_destroy(read->tiers[i]);
    }
    wal_mark_destroy(read->mark);
    free(read);
}

void products_read_load(struct products_read *read, struct flights_item *items, size_t count,
                        int64_t deadline_us)
{
    /* An L1 answers here, for the items that it may; the flights load those without a product. */
    flights_load(read->flights, items, count, deadline_us);
    flights_load_newer(read->flights, items, count, deadline_us);
}
