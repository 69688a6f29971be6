#include "common/products/generation.h"

#include "common/base/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#define NONCE_TTL_MS 86400000 /* so that those of former epochs go */

bool generation_equals(const struct generation *a, const struct generation *b)
{
    return strcmp(a->epoch, b->epoch) == 0 && strcmp(a->nonce, b->nonce) == 0;
}

bool generation_is_current(const struct generation *generation, const struct redis_session *session)
{
    return strcmp(generation->epoch, redis_epoch(session)) == 0 &&
           clock_mono_us() - generation->known_us < GENERATION_VALID_MS * CLOCK_US_PER_MS;
}

void generation_begin(struct generation *generation, const struct redis_session *session)
{
    *generation = (struct generation){.known_us = clock_mono_us()};
    memcpy(generation->epoch, redis_epoch(session), REDIS_EPOCH_SIZE);
}

void generation_take_nonce(struct generation *generation, struct redis_bytes value)
{
    snprintf(generation->nonce, sizeof(generation->nonce), "%.*s", (int)value.len,
             value.data == NULL ? "" : value.data);
}

static void make_nonce(char nonce[GENERATION_NONCE_SIZE])
{
    uint64_t random;

    if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random)) {
        random = (uint64_t)clock_wall_us();
    }
    snprintf(nonce, GENERATION_NONCE_SIZE, "%016" PRIx64, random);
}

enum status generation_end(const struct generation *generation, struct redis_session *session,
                           struct redis_bytes nonce_key, int64_t deadline_us)
{
    char nonce[GENERATION_NONCE_SIZE];
    enum status status;

    if (generation->nonce[0] != '\0') {
        return STATUS_OK;
    }
    make_nonce(nonce);
    status = redis_set_absent(session, nonce_key, (struct redis_bytes){nonce, strlen(nonce)},
                              NONCE_TTL_MS, deadline_us);
    return status == STATUS_OK ? STATUS_UNAVAILABLE : status;
}

void generation_memory_init(struct generation_memory *memory)
{
    pthread_mutex_init(&memory->lock, NULL);
    memory->known = (struct generation){.epoch = ""};
}

void generation_memory_finish(struct generation_memory *memory)
{
    pthread_mutex_destroy(&memory->lock);
}

void generation_memory_set(struct generation_memory *memory, const struct generation *generation)
{
    pthread_mutex_lock(&memory->lock);
    memory->known = *generation;
    pthread_mutex_unlock(&memory->lock);
}

void generation_memory_get(struct generation_memory *memory, struct generation *ret_generation)
{
    pthread_mutex_lock(&memory->lock);
    *ret_generation = memory->known;
    pthread_mutex_unlock(&memory->lock);
    ret_generation->known_us = clock_mono_us();
}
