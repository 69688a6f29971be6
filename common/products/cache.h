/* L2: products in Redis, under `<prefix>:<epoch>:p:<id>`. A value is put by one script only, which
 * refuses to replace a newer version, so that whoever comes late with an older state changes
 * nothing.
 *
 * That is not enough once the newer state was evicted, and nothing is there any more to compare
 * with. So whoever puts a state also leaves its version in `<prefix>:<epoch>:g:<id>`, and an older
 * one is refused by that too. A reader, which fills what it has read from PostgreSQL, takes a
 * *lease* before it reads: these versions at that moment. Its fill is refused for a product of
 * which a newer state was put since, and altogether when Redis has another *generation* by then:
 * another epoch, or it was emptied, which `<prefix>:<epoch>:g:0` tells, a random nonce that whoever
 * misses it sets. All functions are thread-safe. */
#ifndef FASTSTOCK_COMMON_PRODUCTS_CACHE_H
#define FASTSTOCK_COMMON_PRODUCTS_CACHE_H

#include "common/base/status.h"
#include "common/products/product.h"
#include "common/stores/breaker.h"
#include "common/stores/redis.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* At most that many products in one call: keeps a reply, and the script's hold on Redis, short. */
#define PRODUCT_CACHE_BATCH_MAX 256

/* The longest key_prefix. */
#define PRODUCT_CACHE_PREFIX_MAX 64

struct product_cache;

struct product_cache_options {
    struct store_options redis;
    const char *replica_url; /* reads go there while it is up; NULL or "" for none */
    const char
        *key_prefix; /* at most PRODUCT_CACHE_PREFIX_MAX; borrowed for the life of the cache */
    int64_t ttl_ms;  /* of a product; each entry gets up to a tenth more or less */
    int64_t missing_ttl_ms; /* of the knowledge that there is no such product, and of brief fills */
};

/* NULL when the URL of Redis is empty: there is no cache. */
struct product_cache *product_cache_create(const struct product_cache_options *options);
void product_cache_destroy(struct product_cache *cache); /* NULL is fine */

/* Looks up `count` <= PRODUCT_CACHE_BATCH_MAX ids; ret_products[i] is a reference of the caller's,
 * or NULL. All are NULL unless STATUS_OK. */
enum status product_cache_get(struct product_cache *cache, const int64_t *ids, size_t count,
                              int64_t deadline_us, struct product **ret_products);

/* The epoch and the nonce. */
#define PRODUCT_CACHE_NONCE_SIZE 17 /* 16 hex digits, and NUL */
struct product_cache_generation {
    char epoch[REDIS_EPOCH_SIZE];
    char nonce[PRODUCT_CACHE_NONCE_SIZE];
};

/* The generation of the primary; its epoch may be REDIS_EPOCH_AGE_MS old. STATUS_UNAVAILABLE also
 * when there was no nonce; then one is set. With another generation all that was published is gone,
 * and what was published in that time may be where nobody looks. */
enum status product_cache_generation(struct product_cache *cache, int64_t deadline_us,
                                     struct product_cache_generation *ret_generation);

/* The one that this process heard of last, by product_cache_generation or when a publication met
 * another one; asks only when it knows none. With an empty epoch: none. */
void product_cache_known_generation(struct product_cache *cache, int64_t deadline_us,
                                    struct product_cache_generation *ret_generation);

/* Puts committed states, each unless a newer version is there; `ret_stored` counts those that were
 * put. `generation` was known before they were read or committed: with another one they are only
 * made sure not to be older than what Redis has, as what it had of them before is not known. */
enum status product_cache_publish(struct product_cache *cache, struct product *const *products,
                                  size_t count, const struct product_cache_generation *generation,
                                  int64_t deadline_us, size_t *ret_stored);

/* A product has this version, or a higher one. */
struct product_version {
    int64_t id;
    int64_t version;
};

/* At most that many versions in one call: the script holds Redis for about a millisecond then. */
#define PRODUCT_CACHE_DROP_MAX 512

/* Removes each state that is older than the version given, which becomes the guard, so that no fill
 * whose lease was taken before puts an older state. `ret_removed` counts the states. An id may be
 * given more than once. Without STATUS_OK some of it may be done, and the call is to be repeated.
 */
enum status product_cache_drop_older(struct product_cache *cache,
                                     const struct product_version *versions, size_t count,
                                     int64_t deadline_us, size_t *ret_removed);

/* What had been published at one moment, in the order of the ids that were asked for. */
struct product_cache_lease {
    struct product_cache_generation generation;
    char versions[PRODUCT_CACHE_BATCH_MAX]
                 [PRODUCT_VERSION_DIGITS + 1]; /* PRODUCT_CACHE_UNPUBLISHED, or padded */
};

/* Nothing was put for an entry's lifetime, or Redis has forgotten it. */
#define PRODUCT_CACHE_UNPUBLISHED "-"

/* Takes a lease on `count` <= PRODUCT_CACHE_BATCH_MAX products. STATUS_UNAVAILABLE also when Redis
 * has been emptied. */
enum status product_cache_lease(struct product_cache *cache, const int64_t *ids, size_t count,
                                int64_t deadline_us, struct product_cache_lease *ret_lease);

/* Puts what was read after the lease was taken: products[i] unless it is NULL, or is older than
 * what is there or was published since. Those of which `brief[i]` is true stay for missing_ttl_ms
 * only. */
enum status product_cache_fill(struct product_cache *cache, struct product *const *products,
                               const bool *brief, size_t count,
                               const struct product_cache_lease *lease, int64_t deadline_us,
                               size_t *ret_stored);

/* Of the primary; reads do without the replica. */
enum breaker_state product_cache_state(struct product_cache *cache);

#endif
