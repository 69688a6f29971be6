/* A stream of Redis (XADD), read as it grows, over a connection of its own.
 *
 * There is one of each epoch: `<prefix>:<epoch>:<name>`. The connection waits in XREAD, for a short
 * time each, and looks around once a second: it asks for the epoch, and for the last entry. So
 *
 * - nothing is missed once the stream is attached: it is read behind its last entry at first, and
 *   behind the last one that was read ever after, also when the connection broke in between;
 * - the stream of another epoch is read from its beginning;
 * - when entries may have been missed nevertheless, the caller is told (enum redis_stream_gap).
 *
 * The stream must keep more than REDIS_STREAM_BATCH entries when it is trimmed: a read that brought
 * fewer has then brought all that were added. After a read of that many it is looked for the entry
 * behind which it read, because entries are trimmed from the oldest on. Entries that go with the
 * whole stream (an eviction, FLUSHALL) within one second are missed unnoticed.
 *
 * For one thread at a time. */
#ifndef FASTSTOCK_COMMON_STORES_REDIS_STREAM_H
#define FASTSTOCK_COMMON_STORES_REDIS_STREAM_H

#include "common/stores/redis.h"

#include <stdbool.h>

/* Entries of one read. */
#define REDIS_STREAM_BATCH 100

/* How long a step waits for entries. */
#define REDIS_STREAM_WAIT_MS 200

struct redis_stream_options {
    /* Borrowed; the first that can be reached is read. NULL: none. */
    struct redis_store *stores[2];
    const char *key_prefix; /* borrowed */
    const char *name;       /* borrowed */
};

/* Why entries may have been missed. */
enum redis_stream_gap {
    REDIS_STREAM_BEGUN,    /* it is read for the first time */
    REDIS_STREAM_EPOCH,    /* it is another Redis, or a restarted one */
    REDIS_STREAM_TRIMMED,  /* more entries were added than the stream keeps */
    REDIS_STREAM_REPLACED, /* the stream is gone, or begins anew */
    REDIS_STREAM_GAPS
};

struct redis_stream_calls {
    void *context;
    void (*entry)(void *context); /* its fields follow */
    /* The bytes are lent for the call. */
    void (*field)(void *context, struct redis_bytes name, struct redis_bytes value);
    void (*gap)(void *context, enum redis_stream_gap gap);
};

struct redis_stream;

/* Does nothing before the first step. */
struct redis_stream *redis_stream_create(const struct redis_stream_options *options);
void redis_stream_destroy(struct redis_stream *stream); /* NULL is fine; before the stores */

/* Connects when there is no connection, and waits for entries, which it hands to `calls`. Returns
 * after REDIS_STREAM_WAIT_MS, unless Redis takes its time: the timeouts of a call, or of connecting
 * to each store. True while the stream is read. If not, ret_note says why (it is kept from one step
 * to the next), and the pauses between attempts grow to five seconds; a step still returns after
 * REDIS_STREAM_WAIT_MS. */
bool redis_stream_step(struct redis_stream *stream, const struct redis_stream_calls *calls,
                       char ret_note[REDIS_NOTE_SIZE]);

#endif
