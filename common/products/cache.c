#include "common/products/cache.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/strbuf.h"

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define KEY_SIZE 128 /* prefix, epoch, kind, a number of up to 19 digits, three colons, NUL */

/* For each product two keys, its state's and its latest version's, and three arguments: the state,
 * its lifetime in milliseconds, and the leased version, or "" for a publication. Behind them the
 * key of the nonce, and the nonce that the caller knows.
 *
 * A state is set unless what is there, or was there before it was evicted, has a higher version; a
 * leased one only if that version is as leased, or known. Versions are compared as text of equal
 * length, as Lua's numbers are doubles. With another nonce than the caller's a publication may be
 * older than what was there before Redis was emptied: then it only removes what is older, and
 * spoils the leases on it. Where Redis has no room for a newer state (maxmemory without eviction),
 * the older one goes as well. Returns how many states were set, -1 with another nonce, or the error
 * if one could not be set.
 *
 * With DROP_OLDER in place of a lease the "state" is a version alone. Then the state that is there
 * is removed if it is older, and counted. */
#define DROP_OLDER "drop"

static const char set_if_newer[] =
    "local stored, failure = 0, nil\n"
    "local current = redis.call('GET', KEYS[#KEYS]) == ARGV[#ARGV]\n"
    "local function set(state, guard, key, value, ttl)\n"
    "  local reply = redis.pcall('SET', key, value, 'PX', ttl)\n"
    "  if reply.err then\n"
    "    failure = reply\n"
    "    redis.call('DEL', state, guard)\n"
    "  end\n"
    "  return not reply.err\n"
    "end\n"
    "for i = 1, (#KEYS - 1) / 2 do\n"
    "  local state, guard = KEYS[2 * i - 1], KEYS[2 * i]\n"
    "  local value, ttl, lease = ARGV[3 * i - 2], ARGV[3 * i - 1], ARGV[3 * i]\n"
    "  local version = string.sub(value, 1, 20)\n"
    "  local published = redis.call('GET', guard) or '" PRODUCT_CACHE_UNPUBLISHED "'\n"
    "  local allowed = current and (published == lease\n"
    "    or published ~= '" PRODUCT_CACHE_UNPUBLISHED "' and published <= version)\n"
    "  if lease == '" DROP_OLDER "' then\n"
    "    if published < version then set(state, guard, guard, version, ttl) end\n"
    "    local held = redis.call('GETRANGE', state, 0, 19)\n"
    "    if held ~= '' and held < version then stored = stored + redis.call('DEL', state) end\n"
    "    allowed, current = false, true\n"
    "  end\n"
    "  if lease == '' then allowed = published <= version end\n" /* '-' < digits */
    "  if allowed and (published < version or lease == '') then\n"
    "    allowed = set(state, guard, guard, version, ttl)\n"
    "  end\n"
    "  if allowed and redis.call('GETRANGE', state, 0, 19) <= version then\n"
    "    if not current then\n"
    "      redis.call('DEL', state)\n"
    "    elseif set(state, guard, state, value, ttl) then\n"
    "      stored = stored + 1\n"
    "    end\n"
    "  end\n"
    "end\n"
    "return failure or (current and stored or -1)\n";

_Static_assert(PRODUCT_CACHE_PREFIX_MAX + REDIS_EPOCH_SIZE + 24 <= KEY_SIZE, "a key fits");
_Static_assert(PRODUCT_VERSION_DIGITS == 20, "set_if_newer compares 20 digits");

struct product_cache {
    struct redis_store *primary;
    struct redis_store *replica; /* NULL when there is none */
    const char *key_prefix;
    char probe_key[KEY_SIZE];
    int64_t ttl_ms;
    int64_t missing_ttl_ms;
    _Atomic uint32_t jitter;

    pthread_mutex_t lock; /* guards the rest */
    struct product_cache_generation known;
};

struct product_cache *product_cache_create(const struct product_cache_options *options)
{
    struct redis_options redis = {.store = options->redis, .script = set_if_newer};
    struct product_cache *cache;

    if (options->redis.url[0] == '\0') {
        return NULL;
    }
    cache = fs_calloc(1, sizeof(*cache));
    cache->key_prefix = options->key_prefix;
    cache->ttl_ms = options->ttl_ms;
    cache->missing_ttl_ms = options->missing_ttl_ms;
    atomic_init(&cache->jitter, (uint32_t)clock_wall_us());
    pthread_mutex_init(&cache->lock, NULL);
    snprintf(cache->probe_key, sizeof(cache->probe_key), "%s:probe", options->key_prefix);
    redis.probe_key = cache->probe_key;
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
    pthread_mutex_destroy(&cache->lock);
    free(cache);
}

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

/* Which of a product's keys. */
enum { KEY_STATE = 'p', KEY_GUARD = 'g' };

#define NONCE_ID 0            /* which no product has: its guard is the nonce */
#define NONCE_TTL_MS 86400000 /* so that those of former epochs go */

static struct redis_bytes make_key(const struct product_cache *cache,
                                   const struct redis_session *session, char kind, int64_t id,
                                   char *space)
{
    int len = snprintf(space, KEY_SIZE, "%s:%s:%c:%" PRId64, cache->key_prefix,
                       redis_epoch(session), kind, id);

    assert(len < KEY_SIZE);
    return (struct redis_bytes){space, (size_t)len};
}

/* The keys of one kind of many products, in one block that the caller frees. Not on the stack: the
 * HTTP library's threads have 100 KiB of it. */
static struct redis_bytes *make_keys(const struct product_cache *cache,
                                     const struct redis_session *session, char kind,
                                     const int64_t *ids, size_t count)
{
    struct redis_bytes *keys = fs_calloc(count, sizeof(*keys) + KEY_SIZE);
    char *space = (char *)(keys + count);

    for (size_t i = 0; i < count; i++, space += KEY_SIZE) {
        keys[i] = make_key(cache, session, kind, ids[i], space);
    }
    return keys;
}

struct lookup {
    const int64_t *ids;
    struct product **products;
};

static void take_value(void *arg, size_t i, struct redis_bytes value)
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
    struct redis_bytes *keys;
    enum status status;

    assert(count <= PRODUCT_CACHE_BATCH_MAX);
    memset(ret_products, 0, count * sizeof(*ret_products));
    status = acquire_for_reading(cache, deadline_us, &store, &session);
    if (status != STATUS_OK) {
        return status;
    }
    keys = make_keys(cache, session, KEY_STATE, ids, count);
    status = redis_mget(session, keys, count, deadline_us, take_value, &lookup);
    free(keys);
    redis_release(store, session, status);
    return status;
}

/* The lifetime of an entry, up to a tenth more or less, so that what was filled together does not
 * expire together. */
static int64_t jittered_ttl_ms(struct product_cache *cache, bool brief)
{
    int64_t ttl_ms =
        brief && cache->missing_ttl_ms < cache->ttl_ms ? cache->missing_ttl_ms : cache->ttl_ms;
    uint64_t random =
        atomic_fetch_add_explicit(&cache->jitter, UINT32_C(2654435761), memory_order_relaxed);

    return ttl_ms - ttl_ms / 10 + (int64_t)(random * (uint64_t)(ttl_ms / 5 + 1) >> 32);
}

/* --- putting ---------------------------------------------------------------------------------- */

/* What the script is called with. */
struct put {
    struct redis_bytes *keys; /* two a product, and the nonce's */
    struct redis_bytes *args; /* three a product, one behind the other in `texts`, and the nonce */
    char *key_space;
    struct strbuf texts;
    size_t count;
};

static void put_init(struct put *put, size_t count_max)
{
    *put = (struct put){.texts = STRBUF_EMPTY};
    put->keys = fs_calloc(count_max * 2 + 1, sizeof(*put->keys));
    put->args = fs_calloc(count_max * 3 + 1, sizeof(*put->args));
    put->key_space = fs_calloc(count_max * 2 + 1, KEY_SIZE);
}

static void put_finish(struct put *put)
{
    free(put->keys);
    free(put->args);
    free(put->key_space);
    strbuf_finish(&put->texts);
}

/* `lease` is the leased version, or "" for a publication. */
static void put_add(struct put *put, struct product_cache *cache,
                    const struct redis_session *session, const struct product *product, bool brief,
                    const char *lease)
{
    struct redis_bytes *keys = put->keys + put->count * 2;
    struct redis_bytes *args = put->args + put->count * 3;
    size_t start = put->texts.len;

    keys[0] = make_key(cache, session, KEY_STATE, product->id,
                       put->key_space + put->count * 2 * KEY_SIZE);
    keys[1] = make_key(cache, session, KEY_GUARD, product->id,
                       put->key_space + (put->count * 2 + 1) * KEY_SIZE);
    product_encode(product, &put->texts);
    args[0].len = put->texts.len - start;
    strbuf_add_int(&put->texts, jittered_ttl_ms(cache, brief || product->state == PRODUCT_MISSING));
    args[1].len = put->texts.len - start - args[0].len;
    strbuf_adds(&put->texts, lease);
    args[2].len = put->texts.len - start - args[0].len - args[1].len;
    put->count++;
}

/* A version alone, of which the script makes sure that nothing older is there. */
static void put_add_drop(struct put *put, struct product_cache *cache,
                         const struct redis_session *session, const struct product_version *version)
{
    struct redis_bytes *keys = put->keys + put->count * 2;
    struct redis_bytes *args = put->args + put->count * 3;
    size_t start = put->texts.len;

    keys[0] = make_key(cache, session, KEY_STATE, version->id,
                       put->key_space + put->count * 2 * KEY_SIZE);
    keys[1] = make_key(cache, session, KEY_GUARD, version->id,
                       put->key_space + (put->count * 2 + 1) * KEY_SIZE);
    strbuf_addf(&put->texts, "%0*" PRId64, PRODUCT_VERSION_DIGITS, version->version);
    args[0].len = put->texts.len - start;
    strbuf_add_int(&put->texts, jittered_ttl_ms(cache, false));
    args[1].len = put->texts.len - start - args[0].len;
    strbuf_adds(&put->texts, DROP_OLDER);
    args[2].len = strlen(DROP_OLDER);
    put->count++;
}

/* `*ret_stored` is -1 when the nonce is another one. */
static enum status put_run(struct put *put, struct product_cache *cache,
                           struct redis_session *session, const char *nonce, int64_t deadline_us,
                           int64_t *ret_stored)
{
    size_t count = put->count;
    const char *text = strbuf_text(&put->texts); /* it moves no more */

    for (size_t i = 0; i < count * 3; i++) {
        put->args[i].data = text;
        text += put->args[i].len;
    }
    put->keys[count * 2] =
        make_key(cache, session, KEY_GUARD, NONCE_ID, put->key_space + count * 2 * KEY_SIZE);
    put->args[count * 3] = (struct redis_bytes){nonce, strlen(nonce)};
    return redis_run_script(session, put->keys, count * 2 + 1, put->args, count * 3 + 1,
                            deadline_us, ret_stored);
}

/* `lease` and `brief` are NULL for a publication. */
static enum status put_all(struct product_cache *cache, struct product *const *products,
                           const bool *brief, size_t count, const struct product_cache_lease *lease,
                           const struct product_cache_generation *generation, int64_t deadline_us,
                           int64_t *ret_stored)
{
    struct redis_session *session = NULL;
    struct put put;
    enum status status = redis_acquire(cache->primary, deadline_us, &session);
    bool is_current;

    assert(count <= PRODUCT_CACHE_BATCH_MAX);
    if (status != STATUS_OK) {
        return status;
    }
    is_current =
        strcmp(generation->epoch, redis_epoch(session)) == 0; /* else all that was leased is gone */
    put_init(&put, count);
    for (size_t i = 0; i < count && (lease == NULL || is_current); i++) {
        if (products[i] != NULL) {
            put_add(&put, cache, session, products[i], brief != NULL && brief[i],
                    lease == NULL ? "" : lease->versions[i]);
        }
    }
    *ret_stored = 0;
    if (put.count > 0) {
        status = put_run(&put, cache, session, is_current ? generation->nonce : "", deadline_us,
                         ret_stored);
    }
    put_finish(&put);
    redis_release(cache->primary, session, status);
    return status;
}

enum status product_cache_publish(struct product_cache *cache, struct product *const *products,
                                  size_t count, const struct product_cache_generation *generation,
                                  int64_t deadline_us, size_t *ret_stored)
{
    struct product_cache_generation now;
    int64_t stored = 0;
    enum status status =
        put_all(cache, products, NULL, count, NULL, generation, deadline_us, &stored);

    if (status == STATUS_OK && stored < 0) {
        product_cache_generation(cache, deadline_us, &now); /* for the next time */
    }
    *ret_stored = stored > 0 ? (size_t)stored : 0;
    return status;
}

enum status product_cache_fill(struct product_cache *cache, struct product *const *products,
                               const bool *brief, size_t count,
                               const struct product_cache_lease *lease, int64_t deadline_us,
                               size_t *ret_stored)
{
    int64_t stored = 0;
    enum status status =
        put_all(cache, products, brief, count, lease, &lease->generation, deadline_us, &stored);

    *ret_stored = stored > 0 ? (size_t)stored : 0;
    return status;
}

enum status product_cache_drop_older(struct product_cache *cache,
                                     const struct product_version *versions, size_t count,
                                     int64_t deadline_us, size_t *ret_removed)
{
    struct redis_session *session = NULL;
    struct put put;
    int64_t removed = 0;
    enum status status;

    assert(count > 0 && count <= PRODUCT_CACHE_DROP_MAX);
    status = redis_acquire(cache->primary, deadline_us, &session);
    if (status != STATUS_OK) {
        return status;
    }
    put_init(&put, count);
    for (size_t i = 0; i < count; i++) {
        put_add_drop(&put, cache, session, &versions[i]);
    }
    status = put_run(&put, cache, session, "", deadline_us, &removed);
    put_finish(&put);
    redis_release(cache->primary, session, status);
    if (status == STATUS_OK) {
        *ret_removed = (size_t)removed;
    }
    return status;
}

/* --- leases ----------------------------------------------------------------------------------- */

static void take_text(char *text, size_t size, struct redis_bytes value, const char *if_none)
{
    if (value.data == NULL) {
        snprintf(text, size, "%s", if_none);
    } else {
        snprintf(text, size, "%.*s", (int)value.len, value.data);
    }
}

/* The nonce comes first. */
static void take_version(void *arg, size_t i, struct redis_bytes value)
{
    struct product_cache_lease *lease = arg;

    if (i == 0) {
        take_text(lease->generation.nonce, sizeof(lease->generation.nonce), value, "");
    } else {
        take_text(lease->versions[i - 1], sizeof(lease->versions[i - 1]), value,
                  PRODUCT_CACHE_UNPUBLISHED);
    }
}

/* Redis has no nonce: it has been emptied, or is new. */
static enum status set_nonce(struct product_cache *cache, struct redis_session *session,
                             int64_t deadline_us)
{
    char space[KEY_SIZE];
    char nonce[PRODUCT_CACHE_NONCE_SIZE];
    uint64_t random;

    if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random)) {
        random = (uint64_t)clock_wall_us();
    }
    snprintf(nonce, sizeof(nonce), "%016" PRIx64, random);
    return redis_set_absent(session, make_key(cache, session, KEY_GUARD, NONCE_ID, space),
                            (struct redis_bytes){nonce, strlen(nonce)}, NONCE_TTL_MS, deadline_us);
}

/* The lease on session's data, with an empty nonce when there was none; one is set then. */
static enum status take_lease(struct product_cache *cache, struct redis_session *session,
                              const int64_t *ids, size_t count, int64_t deadline_us,
                              struct product_cache_lease *lease)
{
    struct redis_bytes *keys = make_keys(cache, session, KEY_GUARD, ids, count);
    enum status status = redis_mget(session, keys, count, deadline_us, take_version, lease);

    memcpy(lease->generation.epoch, redis_epoch(session), REDIS_EPOCH_SIZE);
    if (status == STATUS_OK && lease->generation.nonce[0] == '\0') {
        status = set_nonce(cache, session, deadline_us);
    }
    free(keys);
    return status;
}

enum status product_cache_lease(struct product_cache *cache, const int64_t *ids, size_t count,
                                int64_t deadline_us, struct product_cache_lease *ret_lease)
{
    struct redis_session *session = NULL;
    int64_t nonce_and_ids[PRODUCT_CACHE_BATCH_MAX + 1] = {NONCE_ID};
    enum status status = redis_acquire(cache->primary, deadline_us, &session);

    assert(count <= PRODUCT_CACHE_BATCH_MAX);
    if (status != STATUS_OK) {
        return status;
    }
    for (size_t i = 0; i < count; i++) {
        nonce_and_ids[i + 1] = ids[i];
    }
    status = take_lease(cache, session, nonce_and_ids, count + 1, deadline_us, ret_lease);
    redis_release(cache->primary, session, status);
    return status == STATUS_OK && ret_lease->generation.nonce[0] == '\0' ? STATUS_UNAVAILABLE
                                                                         : status;
}

enum status product_cache_generation(struct product_cache *cache, int64_t deadline_us,
                                     struct product_cache_generation *ret_generation)
{
    struct product_cache_lease lease;
    enum status status = product_cache_lease(cache, NULL, 0, deadline_us, &lease);

    if (status == STATUS_OK) {
        *ret_generation = lease.generation;
        pthread_mutex_lock(&cache->lock);
        cache->known = lease.generation;
        pthread_mutex_unlock(&cache->lock);
    }
    return status;
}

void product_cache_known_generation(struct product_cache *cache, int64_t deadline_us,
                                    struct product_cache_generation *ret_generation)
{
    pthread_mutex_lock(&cache->lock);
    *ret_generation = cache->known;
    pthread_mutex_unlock(&cache->lock);
    if (ret_generation->epoch[0] == '\0') {
        product_cache_generation(cache, deadline_us, ret_generation);
    }
}

enum breaker_state product_cache_state(struct product_cache *cache)
{
    return redis_store_state(cache->primary);
}
