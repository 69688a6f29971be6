/* L2: products in Redis, under `<prefix>:<epoch>:p:<id>`. A value is put by set-if-newer only: a script compares
 * versions, so that whoever comes late with an older state changes nothing. All functions are thread-safe. */
#ifndef FASTSTOCK_COMMON_PRODUCT_CACHE_H
#define FASTSTOCK_COMMON_PRODUCT_CACHE_H

#include "common/breaker.h"
#include "common/product.h"
#include "common/redis_store.h"
#include "common/status.h"

#include <stddef.h>
#include <stdint.h>

/* At most that many products in one call: keeps a reply, and the script's hold on Redis, short. */
#define PRODUCT_CACHE_BATCH_MAX 256

struct product_cache;

struct product_cache_options {
    struct redis_options redis; /* `script` is filled in here */
    const char *replica_url;    /* reads go there while it is up; NULL or "" for none */
    const char *key_prefix;     /* borrowed for the life of the cache */
    int64_t ttl_ms;             /* of a product; each entry gets up to a tenth more or less */
    int64_t missing_ttl_ms;     /* of the knowledge that there is no such product */
};

struct product_cache *product_cache_create(const struct product_cache_options *options);
void product_cache_destroy(struct product_cache *cache); /* NULL is fine */

/* Looks up `count` <= PRODUCT_CACHE_BATCH_MAX ids; ret_products[i] is a reference of the caller's, or NULL. All are
 * NULL unless STATUS_OK. */
enum status product_cache_get(struct product_cache *cache, const int64_t *ids, size_t count, int64_t deadline_us,
                              struct product **ret_products);

/* Puts each product unless a newer version is there; `ret_stored` counts those that were put. */
enum status product_cache_put(struct product_cache *cache, struct product *const *products, size_t count,
                              int64_t deadline_us, size_t *ret_stored);

/* Of the primary; reads do without the replica. */
enum breaker_state product_cache_state(struct product_cache *cache);

#endif
