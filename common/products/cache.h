/* L2: products in Redis.
 *
 * Keys
 * ----
 *     <prefix>:<epoch>:p:<id>    the *state* of a product: its version, then its JSON (product.h)
 *     <prefix>:<epoch>:g:<id>    its *guard*: the highest version that was put
 *     <prefix>:<epoch>:g:0       the nonce (generation.h)
 *     <prefix>:<epoch>:changes   the *stream*: what was published lately, entry by entry
 *     <prefix>:probe             is written to find out whether Redis takes writes
 *
 * Set if newer
 * ------------
 * A state is put by a script (put.lua) that refuses to replace a newer one, so it does not matter
 * which process comes last. Writers *publish* what they have committed; readers *fill* Redis with
 * what they have read from PostgreSQL because Redis did not have it.
 *
 * The state alone does not tell enough: once it has expired or was evicted, nothing is there to
 * compare an older one with. Therefore each put raises the guard to the version put, and an older
 * version is refused by the guard as well.
 *
 * Leases
 * ------
 * A guard may be gone, too. So a reader takes a *lease* before it reads PostgreSQL: the guards and
 * the generation at that moment. Its fill is stored only if both are still the same. Example, with
 * product 7 at version 15, and nothing in Redis:
 *
 *     reader A   lease: no guard     reads 15
 *     writer                         commits 16, publishes: state 16, guard 16
 *     Redis      evicts state 16
 *     reader A   fill 15:            refused, the guard is 16
 *     reader B   lease: 16           reads 16, fill 16: stored
 *
 * Why nothing older comes back
 * ----------------------------
 * Once a version was published, or filled, and while Redis evicts nothing and is reachable, no
 * reader finds an older one in Redis:
 *
 * - A guard lives for PRODUCT_CACHE_GUARD_MS at least, however short the lifetime of states is. A
 *   lease or a generation is good for GENERATION_VALID_MS, which is half of it. So when a state is
 *   put, each guard that was raised since its reading began is still there. (With guards that
 *   lived as long as the states, and a lifetime of seconds, a reader or a publication that was
 *   held up for longer came after the guard.)
 * - A fill whose lease is void raises the guard nevertheless, and removes an older state, because
 *   its reader answers with what it has read. Otherwise a second reader, which took its lease later
 *   but read before the change, could fill Redis with the older version after that answer.
 * - A publication that got no answer in time is tried again for PRODUCT_CACHE_PUBLISH_MS: the
 *   client is told of the change only after that. A Redis that did not answer for a third of a
 *   second left some acknowledged versions unpublished until the relay's next round.
 *
 * Two cases remain: eviction of a guard within the life of a lease (Redis evicts first what was not
 * used for long), and a Redis that a writer does not reach for longer while a reader does. The
 * relay (write-svc) repairs the second within a round.
 *
 * All functions are thread-safe. */
#ifndef FASTSTOCK_COMMON_PRODUCTS_CACHE_H
#define FASTSTOCK_COMMON_PRODUCTS_CACHE_H

#include "common/base/status.h"
#include "common/products/generation.h"
#include "common/products/product.h"
#include "common/stores/breaker.h"
#include "common/stores/options.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* At most that many products in one call: keeps a reply, and the script's hold on Redis, short. */
#define PRODUCT_CACHE_BATCH_MAX 256

/* The longest key_prefix. */
#define PRODUCT_CACHE_PREFIX_MAX 64

/* The shortest life of a guard: twice what a lease is good for, so that a call that is under way
 * when that time ends does not meet an expired guard. */
#define PRODUCT_CACHE_GUARD_MS (2 * GENERATION_VALID_MS)

/* For so long a publication is tried again that got no answer. */
#define PRODUCT_CACHE_PUBLISH_MS 1000

struct product_cache;
struct redis_stream;

struct product_cache_options {
    struct store_options redis;
    struct redis_tls_options redis_tls; /* of the primary and the replica; borrowed */
    struct redis_sentinel_login redis_sentinel;
    const char *replica_url; /* reads go there while it is up; NULL or "" for none */
    /* At most PRODUCT_CACHE_PREFIX_MAX; borrowed for the life of the cache. */
    const char *key_prefix;
    int64_t ttl_ms; /* of a state; each gets up to a tenth more or less */
    /* Of the knowledge that there is no such product, and of brief fills. */
    int64_t missing_ttl_ms;
};

/* NULL when the URL of Redis is empty: there is no cache. */
struct product_cache *product_cache_create(const struct product_cache_options *options);
void product_cache_destroy(struct product_cache *cache); /* NULL is fine */

/* Of the primary; reads do without the replica. */
enum breaker_state product_cache_state(struct product_cache *cache);
void product_cache_note(struct product_cache *cache, char ret_note[REDIS_NOTE_SIZE]); /* redis.h */

/* Looks up `count` <= PRODUCT_CACHE_BATCH_MAX ids; ret_products[i] is a reference of the caller's,
 * or NULL. All are NULL unless STATUS_OK. */
enum status product_cache_get(struct product_cache *cache, const int64_t *ids, size_t count,
                              int64_t deadline_us, struct product **ret_products);

/* The generation of the primary; its epoch may be REDIS_EPOCH_AGE_MS old. */
enum status product_cache_generation(struct product_cache *cache, int64_t deadline_us,
                                     struct generation *ret_generation);

/* The one that this process heard of last, by product_cache_generation or when a publication met
 * another one. Asks only when it knows none; the epoch is "" when there is no answer either. */
void product_cache_known_generation(struct product_cache *cache, int64_t deadline_us,
                                    struct generation *ret_generation);

/* Puts up to PRODUCT_CACHE_BATCH_MAX committed states, each unless a newer version is there;
 * *ret_stored counts those that were put. `generation` was known before they were read or
 * committed. If it has changed since, nothing is stored: the script only deletes entries older than
 * these states, because it cannot know what Redis held before. Tried again while there is no
 * answer, until the deadline, and for PRODUCT_CACHE_PUBLISH_MS at most. */
enum status product_cache_publish(struct product_cache *cache, struct product *const *products,
                                  size_t count, const struct generation *generation,
                                  int64_t deadline_us, size_t *ret_stored);

/* A product has this version, or a higher one. */
struct product_version {
    int64_t id;
    int64_t version;
};

/* At most that many versions in one call: the script holds Redis for about a millisecond then. */
#define PRODUCT_CACHE_DROP_MAX 512

/* Removes each state that is older than the version given, and raises the guard to that version, so
 * that no fill whose lease was taken before puts an older state. *ret_removed counts the states. An
 * id may be given more than once. Without STATUS_OK some of it may be done, and the call is to be
 * repeated. */
enum status product_cache_drop_older(struct product_cache *cache,
                                     const struct product_version *versions, size_t count,
                                     int64_t deadline_us, size_t *ret_removed);

/* What had been put at one moment, in the order of the ids that were asked for. */
struct product_cache_lease {
    struct generation generation;
    /* Versions, padded, or PRODUCT_CACHE_UNPUBLISHED. */
    char guards[PRODUCT_CACHE_BATCH_MAX][PRODUCT_VERSION_DIGITS + 1];
};

/* The guard of a product that was not put lately, or that Redis has evicted. */
#define PRODUCT_CACHE_UNPUBLISHED "-"

/* Takes a lease on `count` <= PRODUCT_CACHE_BATCH_MAX products. STATUS_UNAVAILABLE also when Redis
 * has been emptied. */
enum status product_cache_lease(struct product_cache *cache, const int64_t *ids, size_t count,
                                int64_t deadline_us, struct product_cache_lease *ret_lease);

/* Puts what was read after the lease was taken: products[i] unless it is NULL, or is older than
 * what is there, or its lease is void. Those of which `brief[i]` is true stay for missing_ttl_ms
 * only. */
enum status product_cache_fill(struct product_cache *cache, struct product *const *products,
                               const bool *brief, size_t count,
                               const struct product_cache_lease *lease, int64_t deadline_us,
                               size_t *ret_stored);

/* What is published, entry by entry (common/stores/redis_stream.h): a field's name is the id, its
 * value is what product_decode takes. The replica's while it is up, else the primary's. The caller
 * destroys it before the cache. */
struct redis_stream *product_cache_changes(struct product_cache *cache);

#endif
