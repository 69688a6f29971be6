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

/* KEYS[i] is to hold ARGV[2i-1] for ARGV[2i] milliseconds, unless what it holds begins with a higher version. The
 * versions are compared as text of equal length, as Lua's numbers are doubles. Returns how many were set. */
static const char set_if_newer[] = "local stored = 0\n"
                                   "for i = 1, #KEYS do\n"
                                   "  local value = ARGV[2 * i - 1]\n"
                                   "  if redis.call('GETRANGE', KEYS[i], 0, 19) <= string.sub(value, 1, 20) then\n"
                                   "    redis.call('SET', KEYS[i], value, 'PX', ARGV[2 * i])\n"
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

/* The keys of products; one block that the caller frees. Not on the stack: the HTTP library's threads have 100 KiB of
 * it. */
static struct redis_bytes *make_keys(const struct product_cache *cache, const struct redis_session *session,
                                     const int64_t *ids, size_t count)
{
    struct redis_bytes *keys = fs_calloc(count, sizeof(*keys) + KEY_SIZE);
    char *text = (char *)(keys + count);

    for (size_t i = 0; i < count; i++, text += KEY_SIZE) {
        int len = snprintf(text, KEY_SIZE, "%s:%s:p:%" PRId64, cache->key_prefix, redis_epoch(session), ids[i]);

        keys[i] = (struct redis_bytes){text, (size_t)len};
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
    keys = make_keys(cache, session, ids, count);
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

/* The script's arguments for each product: its value and its lifetime, as texts one behind the other in `texts`. */
static struct redis_bytes *make_args(struct product_cache *cache, struct product *const *products, size_t count,
                                     struct strbuf *texts)
{
    struct redis_bytes *args = fs_calloc(count * 2, sizeof(*args));
    const char *text;

    for (size_t i = 0; i < count; i++) {
        size_t start = texts->len;

        product_encode(products[i], texts);
        args[2 * i].len = texts->len - start;
        start = texts->len;
        strbuf_add_int(texts, jittered_ttl_ms(cache, products[i]));
        args[2 * i + 1].len = texts->len - start;
    }
    text = strbuf_text(texts); /* it moves no more */
    for (size_t i = 0; i < count * 2; i++) {
        args[i].data = text;
        text += args[i].len;
    }
    return args;
}

static enum status run_put(struct product_cache *cache, struct redis_session *session, struct product *const *products,
                           size_t count, int64_t deadline_us, size_t *ret_stored)
{
    int64_t ids[PRODUCT_CACHE_BATCH_MAX];
    struct strbuf texts = STRBUF_EMPTY;
    struct redis_bytes *args = make_args(cache, products, count, &texts);
    struct redis_bytes *keys;
    int64_t stored = 0;
    enum status status;

    for (size_t i = 0; i < count; i++) {
        ids[i] = products[i]->id;
    }
    keys = make_keys(cache, session, ids, count);
    status = redis_run_script(session, keys, count, args, count * 2, deadline_us, &stored);
    if (status == STATUS_OK) {
        *ret_stored = (size_t)stored;
    }
    free(keys);
    free(args);
    strbuf_finish(&texts);
    return status;
}

enum status product_cache_put(struct product_cache *cache, struct product *const *products, size_t count,
                              int64_t deadline_us, size_t *ret_stored)
{
    struct redis_session *session = NULL;
    enum status status;

    assert(count <= PRODUCT_CACHE_BATCH_MAX);
    status = redis_acquire(cache->primary, deadline_us, &session);
    if (status != STATUS_OK) {
        return status;
    }
    status = run_put(cache, session, products, count, deadline_us, ret_stored);
    redis_release(cache->primary, session, status);
    return status;
}

enum breaker_state product_cache_state(struct product_cache *cache)
{
    return redis_store_state(cache->primary);
}
