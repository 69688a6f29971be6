/* A generation of Redis' data: is this still the Redis that a process knew a moment ago?
 *
 * It has two halves. The *epoch* (redis.h) changes when Redis is restarted, or a replica promoted.
 * The *nonce*, a random text under a key of its own, goes when Redis is emptied; the first process
 * that misses it sets a new one.
 *
 * A changed generation means: everything published before is lost, and what was published during
 * the change may be under keys that nobody reads.
 *
 * A process takes the generation *before* it reads or commits the states that it wants to put. If
 * the generation is another one when they are put, a newer state may have been published and lost
 * in between. That is so, too, when much time has passed, because a newer state and its guard
 * (cache.h) may have been published and have expired; so a generation is good for
 * GENERATION_VALID_MS only. */
#ifndef FASTSTOCK_COMMON_PRODUCTS_GENERATION_H
#define FASTSTOCK_COMMON_PRODUCTS_GENERATION_H

#include "common/base/status.h"
#include "common/stores/redis.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define GENERATION_NONCE_SIZE 17 /* 16 hex digits, and NUL: 64 random bits */

/* Between taking a generation and putting what was read after it. A request has done with all of
 * its calls in a few seconds; a process that was stopped in between has not. */
#define GENERATION_VALID_MS INT64_C(30000)

struct generation {
    char epoch[REDIS_EPOCH_SIZE]; /* "": none is known */
    char nonce[GENERATION_NONCE_SIZE];
    int64_t known_us; /* when it was known to be this one; monotonic */
};

/* Whether both are of the same data, whenever they were known. */
bool generation_equals(const struct generation *a, const struct generation *b);

/* Whether a state that was read after this generation was known may be put into Redis through
 * `session`, as far as can be told without asking; the scripts compare the nonce. */
bool generation_is_current(const struct generation *generation,
                           const struct redis_session *session);

/* Fills in the epoch, and the time. Before asking for the nonce. */
void generation_begin(struct generation *generation, const struct redis_session *session);

/* Takes the answer to a question for the nonce's key; "" when there is none. */
void generation_take_nonce(struct generation *generation, struct redis_bytes value);

/* STATUS_UNAVAILABLE when generation->nonce is "", once a new nonce is set under the key: then what
 * was asked together with it is of no use. */
enum status generation_end(const struct generation *generation, struct redis_session *session,
                           struct redis_bytes nonce_key, int64_t deadline_us);

/* The generation that a process heard of last. Thread-safe. */
struct generation_memory {
    pthread_mutex_t lock; /* guards the rest */
    struct generation known;
};

void generation_memory_init(struct generation_memory *memory);
void generation_memory_finish(struct generation_memory *memory);
void generation_memory_set(struct generation_memory *memory, const struct generation *generation);
/* With known_us of now, because the caller knows it now. */
void generation_memory_get(struct generation_memory *memory, struct generation *ret_generation);

#endif
