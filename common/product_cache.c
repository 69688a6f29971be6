#include "common/product_cache.h"

#include "common/alloc.h"
#include "common/clock.h"
#include "common/strbuf.h"

#include <assert.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_SIZE 128

/* For each product two keys, its state's and its latest version's, and three arguments: the state, its lifetime in
 * milliseconds, and the leased version, or "" for a publication. A state is set unless what is there, or was there
 * before it was evicted, has a higher version; versions are compared as text of equal length, as Lua's numbers are
 * doubles. Returns how many states were set. */
static const char set_if_newer[] = "local stored = 0\n"
                                   "for i = 1, #KEYS / 2 do\n"
                                   "  local state, guard = KEYS[2 * i - 1], KEYS[2 * i]\n"
                                   "  local value, ttl, lease = ARGV[3 * i - 2], ARGV[3 * i - 1], ARGV[3 * i]\n"
                                   "  local version = string.sub(value, 1, 20)\n"
                                   "  local published = redis.call('GET', guard) or '" PRODUCT_CACHE_UNPUBLISHED "'\n"
                                   "  local allowed = published == lease\n"
                                   "    or published ~= '" PRODUCT_CACHE_UNPUBLISHED "' and published <= version\n"
                                   "  if lease == '' then allowed = published <= version end\n" /* '-' < digits */
                                   "  if allowed and (published < version or lease == '') then\n"
                                   "    redis.call('SET', guard, version, 'PX', ttl)\n"
                                   "  end\n"
                                   "  if allowed and redis.call('GETRANGE', state, 0, 19) <= version then\n"
                                   "    redis.call('SET', state, value, 'PX', ttl)\n"
                                   "    stored = stored + 1\n"
                                   "  end\n"
                                   "end\n"
                                   "return stored\n";

_Static_assert(PRODUCT_VERSION_DIGITS == 20, "set_if_newer compares 20 digits");

struct product_cache {
    struct redis_store *primary;
    struct redis_store *replica; /* NULL when there is none */
    const char *key_prefix;
    int64_t ttl_ms;
    int64_t missing_ttl_ms;
    _Atomic unsigned jitter;
};

struct product_cache *product_cache_create(const struct product_cache_options *options)
{
    struct product_cache *cache = fs_calloc(1, sizeof(*cache));
    struct redis_options redis = options->redis;

    cache->key_prefix = options->key_prefix;
    cache->ttl_ms = options->ttl_ms;
    cache->missing_ttl_ms = options->missing_ttl_ms;
    atomic_init(&cache->jitter, (unsigned)clock_wall_us());
    redis.script = set_if_newer;
    cache->primary = redis_store_create(&redis);
    if (options->replica_url != NULL && options->replica_url[0] != '\0') {
        redis.store = "redis-replica";
        redis.url = options->replica_url;
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
    free(cache);
}

/* A session of the replica while it is up, else of the primary. */
static enum status acquire_for_reading(struct product_cache *cache, int64_t deadline_us, struct redis_store **ret_store,
                                       struct redis_session **ret_session)
{
    if (cache->replica != NULL && redis_acquire(cache->replica, deadline_us, ret_session) == STATUS_OK) {
        *ret_store = cache->replica;
        return STATUS_OK;
    }
    *ret_store = cache->primary;
    return redis_acquire(cache->primary, deadline_us, ret_session);
}

/* Which of a product's keys. */
enum { KEY_STATE = 'p', KEY_GUARD = 'g' };

static struct redis_bytes make_key(const struct product_cache *cache, const struct redis_session *session, char kind,
                                   int64_t id, char *space)
{
    int len = snprintf(space, KEY_SIZE, "%s:%s:%c:%" PRId64, cache->key_prefix, redis_epoch(session), kind, id);

    return (struct redis_bytes){space, (size_t)len};
}

/* The keys of one kind of many products, in one block that the caller frees. Not on the stack: the HTTP library's
 * threads have 100 KiB of it. */
static struct redis_bytes *make_keys(const struct product_cache *cache, const struct redis_session *session, char kind,
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

    lookup->products[i] = value.data == NULL ? NULL : product_decode(lookup->ids[i], value.data, value.len);
}

enum status product_cache_get(struct product_cache *cache, const int64_t *ids, size_t count, int64_t deadline_us,
                              struct product **ret_products)
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

/* The lifetime of an entry, up to a tenth more or less, so that what was filled together does not expire together. */
static int64_t jittered_ttl_ms(struct product_cache *cache, const struct product *product)
{
    int64_t ttl_ms = product->state == PRODUCT_MISSING ? cache->missing_ttl_ms : cache->ttl_ms;
    unsigned random = atomic_fetch_add_explicit(&cache->jitter, 2654435761u, memory_order_relaxed) >> 16;

    return ttl_ms - ttl_ms / 10 + (int64_t)random % (ttl_ms / 5 + 1);
}

/* --- putting ------------------------------------------------------------------------------------------------------ */

/* What the script is called with. */
struct put {
    struct redis_bytes *keys; /* two a product */
    struct redis_bytes *args; /* three a product, one behind the other in `texts` */
    char *key_space;
    struct strbuf texts;
    size_t count;
};

static void put_init(struct put *put, size_t count_max)
{
    *put = (struct put){.texts = STRBUF_EMPTY};
    put->keys = fs_calloc(count_max * 2, sizeof(*put->keys));
    put->args = fs_calloc(count_max * 3, sizeof(*put->args));
    put->key_space = fs_calloc(count_max * 2, KEY_SIZE);
}

static void put_finish(struct put *put)
{
    free(put->keys);
    free(put->args);
    free(put->key_space);
    strbuf_finish(&put->texts);
}

/* `lease` is the leased version, or "" for a publication. */
static void put_add(struct put *put, struct product_cache *cache, const struct redis_session *session,
                    const struct product *product, const char *lease)
{
    struct redis_bytes *keys = put->keys + put->count * 2;
    struct redis_bytes *args = put->args + put->count * 3;
    size_t start = put->texts.len;

    keys[0] = make_key(cache, session, KEY_STATE, product->id, put->key_space + put->count * 2 * KEY_SIZE);
    keys[1] = make_key(cache, session, KEY_GUARD, product->id, put->key_space + (put->count * 2 + 1) * KEY_SIZE);
    product_encode(product, &put->texts);
    args[0].len = put->texts.len - start;
    strbuf_add_int(&put->texts, jittered_ttl_ms(cache, product));
    args[1].len = put->texts.len - start - args[0].len;
    strbuf_adds(&put->texts, lease);
    args[2].len = put->texts.len - start - args[0].len - args[1].len;
    put->count++;
}

static enum status put_run(struct put *put, struct redis_session *session, int64_t deadline_us, size_t *ret_stored)
{
    const char *text = strbuf_text(&put->texts); /* it moves no more */
    int64_t stored = 0;
    enum status status = STATUS_OK;

    for (size_t i = 0; i < put->count * 3; i++) {
        put->args[i].data = text;
        text += put->args[i].len;
    }
    if (put->count > 0) {
        status = redis_run_script(session, put->keys, put->count * 2, put->args, put->count * 3, deadline_us, &stored);
    }
    *ret_stored = (size_t)stored;
    return status;
}

/* `lease` NULL: a publication. */
static enum status put_all(struct product_cache *cache, struct product *const *products, size_t count,
                           const struct product_cache_lease *lease, int64_t deadline_us, size_t *ret_stored)
{
    struct redis_session *session = NULL;
    struct put put;
    enum status status = redis_acquire(cache->primary, deadline_us, &session);

    assert(count <= PRODUCT_CACHE_BATCH_MAX);
    if (status != STATUS_OK) {
        return status;
    }
    put_init(&put, count);
    if (lease == NULL ||
        strcmp(lease->epoch, redis_epoch(session)) == 0) { /* else the lease is on data that are gone */
        for (size_t i = 0; i < count; i++) {
            if (products[i] != NULL) {
                put_add(&put, cache, session, products[i], lease == NULL ? "" : lease->versions[i]);
            }
        }
    }
    status = put_run(&put, session, deadline_us, ret_stored);
    put_finish(&put);
    redis_release(cache->primary, session, status);
    return status;
}

enum status product_cache_publish(struct product_cache *cache, struct product *const *products, size_t count,
                                  int64_t deadline_us, size_t *ret_stored)
{
    return put_all(cache, products, count, NULL, deadline_us, ret_stored);
}

enum status product_cache_fill(struct product_cache *cache, struct product *const *products, size_t count,
                               const struct product_cache_lease *lease, int64_t deadline_us, size_t *ret_stored)
{
    return put_all(cache, products, count, lease, deadline_us, ret_stored);
}

/* --- leases ------------------------------------------------------------------------------------------------------- */

static void take_version(void *arg, size_t i, struct redis_bytes value)
{
    struct product_cache_lease *lease = arg;
    size_t size = sizeof(lease->versions[i]);

    snprintf(lease->versions[i], size, "%.*s", (int)value.len, value.data == NULL ? "" : value.data);
    if (value.data == NULL) {
        snprintf(lease->versions[i], size, "%s", PRODUCT_CACHE_UNPUBLISHED);
    }
}

enum status product_cache_lease(struct product_cache *cache, const int64_t *ids, size_t count, int64_t deadline_us,
                                struct product_cache_lease *ret_lease)
{
    struct redis_session *session = NULL;
    struct redis_bytes *keys;
    enum status status = redis_acquire(cache->primary, deadline_us, &session);

    assert(count <= PRODUCT_CACHE_BATCH_MAX);
    if (status != STATUS_OK) {
        return status;
    }
    memcpy(ret_lease->epoch, redis_epoch(session), REDIS_EPOCH_SIZE);
    keys = make_keys(cache, session, KEY_GUARD, ids, count);
    status = redis_mget(session, keys, count, deadline_us, take_version, ret_lease);
    free(keys);
    redis_release(cache->primary, session, status);
    return status;
}

enum breaker_state product_cache_state(struct product_cache *cache)
{
    return redis_store_state(cache->primary);
}
