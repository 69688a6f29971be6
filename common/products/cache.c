#include "common/products/cache.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/strbuf.h"
#include "common/products/scripts.h"
#include "common/stores/redis.h"
#include "common/stores/redis_stream.h"

#include <assert.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define KEY_SIZE 128 /* prefix, epoch, kind, a number of up to 19 digits, three colons, NUL */

_Static_assert(PRODUCT_CACHE_PREFIX_MAX + REDIS_EPOCH_SIZE + 24 <= KEY_SIZE, "a key fits");
_Static_assert(PRODUCT_VERSION_DIGITS == 20, "put.lua compares 20 digits");

#define PUBLISH_PAUSE_MS                                                                           \
    10 /* before a publication is tried again on a Redis that is away                              \
        */

enum { TRIALS = 10 };

struct product_cache {
    struct redis_store *primary;
    struct redis_store *replica; /* NULL when there is none */
    const char *key_prefix;
    char probe_key[KEY_SIZE];
    struct redis_trial trials[TRIALS];
    int64_t ttl_ms;
    int64_t missing_ttl_ms;
    _Atomic uint32_t jitter;
    struct generation_memory memory;
};

/* What put.lua and this file use of Redis. The probe comes last, and leaves nothing for long. The
 * stream may be refused: then caches in memory hear of changes by the ledger, a moment later. */
static void list_trials(struct product_cache *cache)
{
    const char *key = cache->probe_key;
    static const char without_stream[] = "readers' memory hears of changes by the ledger alone";
    const struct redis_trial trials[TRIALS] = {
        {REDIS_TRIAL_READ, {"MGET", key}, NULL},
        {REDIS_TRIAL_WRITE, {"GET", key}, NULL},
        {REDIS_TRIAL_WRITE, {"GETRANGE", key, "0", "0"}, NULL},
        {REDIS_TRIAL_WRITE, {"DEL", key}, NULL},
        {REDIS_TRIAL_WRITE, {"EVAL", "return 1", "0"}, NULL},
        {REDIS_TRIAL_WRITE, {"EVALSHA", script_publish.sha, "1", key, "", "1"}, NULL},
        {REDIS_TRIAL_WRITE, {"XADD", key, "no id", "field", "value"}, without_stream},
        {REDIS_TRIAL_WRITE, {"PEXPIRE", key, "no time"}, without_stream},
        {REDIS_TRIAL_PROBE, {"SET", key, "1", "PX", "1000"}, NULL},
        {.words = {NULL}},
    };

    memcpy(cache->trials, trials, sizeof(trials));
}

struct product_cache *product_cache_create(const struct product_cache_options *options)
{
    struct redis_options redis = {
        .store = options->redis, .tls = options->redis_tls, .sentinel = options->redis_sentinel};
    struct product_cache *cache;

    if (options->redis.url[0] == '\0') {
        return NULL;
    }
    assert(strlen(options->key_prefix) <= PRODUCT_CACHE_PREFIX_MAX);
    cache = fs_calloc(1, sizeof(*cache));
    cache->key_prefix = options->key_prefix;
    cache->ttl_ms = options->ttl_ms;
    cache->missing_ttl_ms = options->missing_ttl_ms;
    atomic_init(&cache->jitter, (uint32_t)clock_wall_us());
    generation_memory_init(&cache->memory);
    snprintf(cache->probe_key, sizeof(cache->probe_key), "%s:probe", options->key_prefix);
    list_trials(cache);
    redis.trials = cache->trials;
    cache->primary = redis_store_create(&redis);
    if (options->replica_url != NULL && options->replica_url[0] != '\0') {
        redis.store.name = "redis-replica";
        redis.store.url = options->replica_url;
        redis.is_replica = true;
        cache->replica = redis_store_create(&redis);
    }
    return cache;
}

void product_cache_destroy(struct product_cache *cache)
{
    if (cache == NULL) {
        return;
    }
    redis_store_destroy(cache->replica);
    redis_store_destroy(cache->primary);
    generation_memory_finish(&cache->memory);
    free(cache);
}

enum breaker_state product_cache_state(struct product_cache *cache)
{
    return redis_store_state(cache->primary);
}

void product_cache_note(struct product_cache *cache, char ret_note[REDIS_NOTE_SIZE])
{
    redis_store_note(cache->primary, ret_note);
}

/* --- keys ------------------------------------------------------------------------------------- */

/* Which of a product's keys. */
enum { KEY_STATE = 'p', KEY_GUARD = 'g' };

#define NONCE_ID 0 /* which no product has: its guard is the nonce */
#define KEY_STREAM "changes"

/* One key after another, of one session; their common beginning is written once. */
struct key {
    char text[KEY_SIZE];
    size_t head_len;
};

static void key_init(struct key *key, const struct product_cache *cache,
                     const struct redis_session *session)
{
    key->head_len =
        (size_t)snprintf(key->text, KEY_SIZE, "%s:%s:", cache->key_prefix, redis_epoch(session));
}

static struct redis_bytes key_make(struct key *key, char kind, int64_t id)
{
    int tail_len =
        snprintf(key->text + key->head_len, KEY_SIZE - key->head_len, "%c:%" PRId64, kind, id);

    assert(key->head_len + (size_t)tail_len < KEY_SIZE);
    return (struct redis_bytes){key->text, key->head_len + (size_t)tail_len};
}

static void add_key(struct redis_session *session, struct key *key, char kind, int64_t id)
{
    struct redis_bytes made = key_make(key, kind, id);

    redis_add(session, made.data, made.len);
}

/* There is one of an epoch. */
static void add_stream_key(struct redis_session *session, struct key *key)
{
    int tail_len = snprintf(key->text + key->head_len, KEY_SIZE - key->head_len, "%s", KEY_STREAM);

    redis_add(session, key->text, key->head_len + (size_t)tail_len);
}

/* --- reading ---------------------------------------------------------------------------------- */

/* A session of the replica while it is up, else of the primary. */
static enum status acquire_for_reading(struct product_cache *cache, int64_t deadline_us,
                                       struct redis_store **ret_store,
                                       struct redis_session **ret_session)
{
    if (cache->replica != NULL &&
        redis_acquire(cache->replica, deadline_us, ret_session) == STATUS_OK) {
        *ret_store = cache->replica;
        return STATUS_OK;
    }
    *ret_store = cache->primary;
    return redis_acquire(cache->primary, deadline_us, ret_session);
}

struct lookup {
    const int64_t *ids;
    struct product **products;
};

static void take_state(void *arg, size_t i, struct redis_bytes value)
{
    const struct lookup *lookup = arg;

    lookup->products[i] =
        value.data == NULL ? NULL : product_decode(lookup->ids[i], value.data, value.len);
}

enum status product_cache_get(struct product_cache *cache, const int64_t *ids, size_t count,
                              int64_t deadline_us, struct product **ret_products)
{
    struct lookup lookup = {.ids = ids, .products = ret_products};
    struct redis_store *store = NULL;
    struct redis_session *session = NULL;
    struct key key;
    enum status status;

    assert(count <= PRODUCT_CACHE_BATCH_MAX);
    memset(ret_products, 0, count * sizeof(*ret_products));
    status = acquire_for_reading(cache, deadline_us, &store, &session);
    if (status != STATUS_OK) {
        return status;
    }
    key_init(&key, cache, session);
    redis_begin(session, "MGET", count);
    for (size_t i = 0; i < count; i++) {
        add_key(session, &key, KEY_STATE, ids[i]);
    }
    status = redis_mget(session, count, deadline_us, take_state, &lookup);
    redis_release(store, session, status);
    return status;
}

/* --- putting ---------------------------------------------------------------------------------- */

/* One run of a script: a session, and what is written into it. */
struct put {
    struct product_cache *cache;
    struct redis_session *session;
    const struct redis_script *script;
    struct strbuf state; /* of one product after the other */
};

/* The lifetime of a state, up to a tenth more or less, so that what was put together does not
 * expire together. */
static int64_t jittered_ttl_ms(struct product_cache *cache, bool brief)
{
    int64_t ttl_ms =
        brief && cache->missing_ttl_ms < cache->ttl_ms ? cache->missing_ttl_ms : cache->ttl_ms;
    uint64_t random =
        atomic_fetch_add_explicit(&cache->jitter, UINT32_C(2654435761), memory_order_relaxed);

    return ttl_ms - ttl_ms / 10 + (int64_t)(random * (uint64_t)(ttl_ms / 5 + 1) >> 32);
}

/* The words that all scripts have behind their keys: the nonce, and the lifetime of a guard. */
static void put_add_common(struct put *put, const struct generation *generation)
{
    int64_t ttl_ms = put->cache->ttl_ms;
    const char *nonce = generation_is_current(generation, put->session) ? generation->nonce : "";

    redis_add(put->session, nonce, strlen(nonce));
    redis_add_int(put->session, ttl_ms > PRODUCT_CACHE_GUARD_MS ? ttl_ms : PRODUCT_CACHE_GUARD_MS);
}

/* Acquires a session, and writes the beginning of publish.lua or fill.lua. `put_count` of the
 * products are not NULL; `words` more follow for each. */
static enum status put_begin(struct put *put, struct product *const *products, size_t count,
                             size_t put_count, size_t words, const struct generation *generation,
                             int64_t deadline_us)
{
    enum status status = redis_acquire(put->cache->primary, deadline_us, &put->session);
    bool has_stream = put->script == &script_publish;
    size_t keys = 1 + 2 * put_count + has_stream;
    struct key key;

    assert(count <= PRODUCT_CACHE_BATCH_MAX);
    if (status != STATUS_OK) {
        return status;
    }
    key_init(&key, put->cache, put->session);
    redis_begin_script(put->session, put->script, keys, keys + 2 + words * put_count);
    add_key(put->session, &key, KEY_GUARD, NONCE_ID);
    for (size_t i = 0; i < count; i++) {
        if (products[i] != NULL) {
            add_key(put->session, &key, KEY_STATE, products[i]->id);
            add_key(put->session, &key, KEY_GUARD, products[i]->id);
        }
    }
    if (has_stream) {
        add_stream_key(put->session, &key);
    }
    put_add_common(put, generation);
    return STATUS_OK;
}

/* As above, of versions alone; nothing of it depends on the generation. */
static void drop_begin(struct put *put, const struct product_version *versions, size_t count)
{
    static const struct generation none;
    size_t keys = 1 + 2 * count;
    struct key key;

    key_init(&key, put->cache, put->session);
    redis_begin_script(put->session, put->script, keys, keys + 2 + count);
    add_key(put->session, &key, KEY_GUARD, NONCE_ID);
    for (size_t i = 0; i < count; i++) {
        add_key(put->session, &key, KEY_STATE, versions[i].id);
        add_key(put->session, &key, KEY_GUARD, versions[i].id);
    }
    put_add_common(put, &none);
}

static void put_add_state(struct put *put, const struct product *product, bool brief)
{
    strbuf_clear(&put->state);
    product_encode(product, &put->state);
    redis_add(put->session, put->state.text, put->state.len);
    redis_add_int(put->session,
                  jittered_ttl_ms(put->cache, brief || product->state == PRODUCT_MISSING));
}

static enum status put_end(struct put *put, int64_t deadline_us, int64_t *ret_answer)
{
    enum status status = redis_run_script(put->session, put->script, deadline_us, ret_answer);

    redis_release(put->cache->primary, put->session, status);
    strbuf_finish(&put->state);
    return status;
}

/* *ret_answer is that of publish.lua. */
static enum status publish_once(struct product_cache *cache, struct product *const *products,
                                size_t count, const struct generation *generation,
                                int64_t deadline_us, int64_t *ret_answer)
{
    struct put put = {.cache = cache, .script = &script_publish, .state = STRBUF_EMPTY};
    enum status status = put_begin(&put, products, count, count, 2, generation, deadline_us);

    if (status != STATUS_OK) {
        return status;
    }
    for (size_t i = 0; i < count; i++) {
        put_add_state(&put, products[i], false);
    }
    return put_end(&put, deadline_us, ret_answer);
}

/* Whether the publication that ended like this is to be tried again. `was_sent`: one try may have
 * reached Redis, or was on its way. */
static bool is_tried_again(enum status last, bool was_sent, int64_t until_us)
{
    struct timespec pause = {.tv_nsec = PUBLISH_PAUSE_MS * 1000000L};

    if (last == STATUS_OK || last == STATUS_FAILED || !was_sent || clock_left_ms(until_us) == 0) {
        return false;
    }
    if (last == STATUS_UNAVAILABLE) {
        nanosleep(&pause, NULL);
    }
    return true;
}

enum status product_cache_publish(struct product_cache *cache, struct product *const *products,
                                  size_t count, const struct generation *generation,
                                  int64_t deadline_us, size_t *ret_stored)
{
    int64_t until_us = clock_after_ms(PRODUCT_CACHE_PUBLISH_MS);
    struct generation now;
    int64_t answer = 0;
    enum status status;
    bool was_sent = false;

    until_us = deadline_us < until_us ? deadline_us : until_us;
    do {
        status = publish_once(cache, products, count, generation, until_us, &answer);
        was_sent = was_sent || status == STATUS_TIMEOUT || status == STATUS_BROKEN;
    } while (is_tried_again(status, was_sent, until_us));
    if (status == STATUS_OK && answer < 0) {
        product_cache_generation(cache, deadline_us, &now); /* for the next time */
    }
    *ret_stored = answer > 0 ? (size_t)answer : 0;
    return status;
}

enum status product_cache_fill(struct product_cache *cache, struct product *const *products,
                               const bool *brief, size_t count,
                               const struct product_cache_lease *lease, int64_t deadline_us,
                               size_t *ret_stored)
{
    struct put put = {.cache = cache, .script = &script_fill, .state = STRBUF_EMPTY};
    size_t put_count = 0;
    int64_t stored = 0;
    enum status status;

    for (size_t i = 0; i < count; i++) {
        put_count += products[i] != NULL;
    }
    *ret_stored = 0;
    if (put_count == 0) {
        return STATUS_OK;
    }
    status = put_begin(&put, products, count, put_count, 3, &lease->generation, deadline_us);
    if (status != STATUS_OK) {
        return status;
    }
    for (size_t i = 0; i < count; i++) {
        if (products[i] != NULL) {
            put_add_state(&put, products[i], brief[i]);
            redis_add(put.session, lease->guards[i], strlen(lease->guards[i]));
        }
    }
    status = put_end(&put, deadline_us, &stored);
    *ret_stored = (size_t)stored;
    return status;
}

enum status product_cache_drop_older(struct product_cache *cache,
                                     const struct product_version *versions, size_t count,
                                     int64_t deadline_us, size_t *ret_removed)
{
    struct put put = {.cache = cache, .script = &script_drop, .state = STRBUF_EMPTY};
    char version[PRODUCT_VERSION_DIGITS + 1];
    int64_t removed = 0;
    enum status status = redis_acquire(cache->primary, deadline_us, &put.session);

    assert(count > 0 && count <= PRODUCT_CACHE_DROP_MAX);
    if (status != STATUS_OK) {
        return status;
    }
    drop_begin(&put, versions, count);
    for (size_t i = 0; i < count; i++) {
        snprintf(version, sizeof(version), "%0*" PRId64, PRODUCT_VERSION_DIGITS,
                 versions[i].version);
        redis_add(put.session, version, PRODUCT_VERSION_DIGITS);
    }
    status = put_end(&put, deadline_us, &removed);
    if (status == STATUS_OK) {
        *ret_removed = (size_t)removed;
    }
    return status;
}

/* --- generations and leases ------------------------------------------------------------------- */

/* The nonce comes first. */
static void take_guard(void *arg, size_t i, struct redis_bytes value)
{
    struct product_cache_lease *lease = arg;

    if (i == 0) {
        generation_take_nonce(&lease->generation, value);
    } else if (value.data == NULL) {
        memcpy(lease->guards[i - 1], PRODUCT_CACHE_UNPUBLISHED, sizeof(PRODUCT_CACHE_UNPUBLISHED));
    } else {
        snprintf(lease->guards[i - 1], sizeof(lease->guards[i - 1]), "%.*s", (int)value.len,
                 value.data);
    }
}

static enum status take_lease(struct product_cache *cache, struct redis_session *session,
                              const int64_t *ids, size_t count, int64_t deadline_us,
                              struct product_cache_lease *lease)
{
    struct key key;
    enum status status;

    generation_begin(&lease->generation, session);
    key_init(&key, cache, session);
    redis_begin(session, "MGET", count + 1);
    add_key(session, &key, KEY_GUARD, NONCE_ID);
    for (size_t i = 0; i < count; i++) {
        add_key(session, &key, KEY_GUARD, ids[i]);
    }
    status = redis_mget(session, count + 1, deadline_us, take_guard, lease);
    if (status != STATUS_OK) {
        return status;
    }
    return generation_end(&lease->generation, session, key_make(&key, KEY_GUARD, NONCE_ID),
                          deadline_us);
}

enum status product_cache_lease(struct product_cache *cache, const int64_t *ids, size_t count,
                                int64_t deadline_us, struct product_cache_lease *ret_lease)
{
    struct redis_session *session = NULL;
    enum status status = redis_acquire(cache->primary, deadline_us, &session);

    assert(count <= PRODUCT_CACHE_BATCH_MAX);
    if (status == STATUS_OK) {
        status = take_lease(cache, session, ids, count, deadline_us, ret_lease);
        redis_release(cache->primary, session, status);
    }
    return status;
}

static void take_nonce(void *arg, size_t i, struct redis_bytes value)
{
    (void)i;
    generation_take_nonce(arg, value);
}

static enum status ask_generation(struct product_cache *cache, struct redis_session *session,
                                  int64_t deadline_us, struct generation *generation)
{
    struct redis_bytes nonce_key;
    struct key key;
    enum status status;

    generation_begin(generation, session);
    key_init(&key, cache, session);
    nonce_key = key_make(&key, KEY_GUARD, NONCE_ID);
    redis_begin(session, "MGET", 1);
    redis_add(session, nonce_key.data, nonce_key.len);
    status = redis_mget(session, 1, deadline_us, take_nonce, generation);
    return status == STATUS_OK ? generation_end(generation, session, nonce_key, deadline_us)
                               : status;
}

enum status product_cache_generation(struct product_cache *cache, int64_t deadline_us,
                                     struct generation *ret_generation)
{
    struct redis_session *session = NULL;
    struct generation generation;
    enum status status = redis_acquire(cache->primary, deadline_us, &session);

    if (status != STATUS_OK) {
        return status;
    }
    status = ask_generation(cache, session, deadline_us, &generation);
    if (status == STATUS_UNAVAILABLE) { /* a new nonce is set, by this process or another one */
        status = ask_generation(cache, session, deadline_us, &generation);
    }
    redis_release(cache->primary, session, status);
    if (status == STATUS_OK) {
        generation_memory_set(&cache->memory, &generation);
        *ret_generation = generation;
    }
    return status;
}

void product_cache_known_generation(struct product_cache *cache, int64_t deadline_us,
                                    struct generation *ret_generation)
{
    generation_memory_get(&cache->memory, ret_generation);
    if (ret_generation->epoch[0] == '\0') {
        product_cache_generation(cache, deadline_us, ret_generation);
    }
}

/* --- changes ---------------------------------------------------------------------------------- */

struct redis_stream *product_cache_changes(struct product_cache *cache)
{
    const struct redis_stream_options options = {.stores = {cache->replica, cache->primary},
                                                 .key_prefix = cache->key_prefix,
                                                 .name = KEY_STREAM};

    return redis_stream_create(&options);
}
