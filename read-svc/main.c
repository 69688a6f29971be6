/* read-svc: answers reads from memory, then from Redis, then from PostgreSQL.
 *
 *     http/server -> handlers -> catalog        which products there are
 *                             -> products_read  their states: l1, then flights -> tier_redis,
 *                             |                 tier_database
 *                             -> skus           which product has a SKU, then its state
 *
 *     tail      reads the ledger: what l1 and Redis hold is judged by it (freshness)
 *     follower  reads the change stream into l1
 */
#include "read-svc/catalog.h"
#include "read-svc/follower.h"
#include "read-svc/freshness.h"
#include "read-svc/handlers/answers.h"
#include "read-svc/handlers/routes.h"
#include "read-svc/l1.h"
#include "read-svc/products_read.h"
#include "read-svc/settings.h"
#include "read-svc/skus.h"
#include "read-svc/tail.h"
#include "read-svc/versions.h"
#include "read-svc/watermark.h"

#include "common/base/clock.h"
#include "common/base/lifecycle.h"
#include "common/base/log.h"
#include "common/products/cache.h"
#include "common/service/ops.h"
#include "common/service/service.h"
#include "common/stores/pg.h"

#include <stdio.h>

#define SERVICE "read-svc"
#define RETRY_MS 250 /* between attempts to reach a store that is away */
/* read-svc takes Redis back this much later than write-svc does, see common/stores/breaker.h */
#define REDIS_PROBATION_MS 1000
#define VERSIONS_MAX 500000 /* at 16 to 32 bytes each, twice */

struct stores {
    struct product_cache *cache; /* NULL: none */
    struct pg_store *database;
    struct pg_store *replica; /* NULL: none */
    struct pg_store *ledger;  /* PostgreSQL again, for those that follow the ledger */
    struct catalog *catalog;
};

/* What is_ready asks. */
struct tiers {
    const struct stores *stores;
    const struct freshness *freshness;
};

static struct product_cache *open_cache(const struct settings *s)
{
    struct product_cache_options options = {.redis = s->stores.redis,
                                            .redis_tls = s->stores.redis_tls,
                                            .redis_sentinel = s->stores.redis_sentinel,
                                            .replica_url = s->redis_replica_url,
                                            .key_prefix = s->stores.redis_key_prefix,
                                            .ttl_ms = s->stores.cache_ttl_ms,
                                            .missing_ttl_ms = s->cache_missing_ttl_ms};

    options.redis.name = "redis";
    options.redis.retry_ms = RETRY_MS;
    options.redis.probation_ms = REDIS_PROBATION_MS;
    return product_cache_create(&options);
}

static struct pg_store *open_database(const struct settings *s, const char *name, const char *url,
                                      bool needs_primary)
{
    struct pg_options options = {.store = s->stores.database,
                                 .application = SERVICE,
                                 .needs_primary = needs_primary,
                                 .is_prepared = s->stores.database_prepared != 0};

    options.store.name = name;
    options.store.url = url;
    options.store.retry_ms = RETRY_MS;
    return pg_store_create(&options);
}

/* One connection, which no request keeps busy. */
static struct pg_store *open_ledger(const struct settings *s)
{
    struct settings own = *s;

    own.stores.database.size = 1;
    return open_database(&own, "postgres-ledger", s->stores.database.url, true);
}

/* What judges cached states, and L1, which is judged by it. */
static struct freshness open_freshness(const struct settings *s)
{
    struct freshness freshness = {
        .max_staleness_us = s->freshness_max_staleness_ms * CLOCK_US_PER_MS,
        .stale_if_error_us = s->freshness_stale_if_error_ms * CLOCK_US_PER_MS};
    bool keeps = s->freshness_max_staleness_ms > 0;

    freshness.watermark = watermark_create();
    freshness.versions = versions_create(freshness.watermark, VERSIONS_MAX);
    freshness.l1 = l1_create(&(struct l1_options){.bytes_max = keeps ? (size_t)s->l1_bytes_max : 0,
                                                  .versions = freshness.versions,
                                                  .render = answers_render_l1});
    return freshness;
}

static void close_freshness(struct freshness *freshness)
{
    l1_destroy(freshness->l1);
    versions_destroy(freshness->versions);
    watermark_destroy(freshness->watermark);
}

/* Where the states of the change stream go. */
struct changes {
    const struct freshness *freshness;
    struct catalog *catalog;
};

/* A product that was created a moment ago is not in the catalogue yet, so L1 has to answer for
 * it. */
static bool apply_change(void *context, struct product *product)
{
    const struct changes *changes = context;

    if (product->version == 1) {
        l1_put(changes->freshness->l1, product);
    }
    if (product->version == 1 || product->state != PRODUCT_PRESENT) {
        catalog_hint(changes->catalog);
    }
    return l1_replace(changes->freshness->l1, product);
}

static int64_t change_age_us(void *context, int64_t read_us)
{
    const struct changes *changes = context;

    return freshness_age_us(changes->freshness, read_us);
}

/* Does L1 hold products that are not too old yet for the time in which all stores are away? */
static bool can_memory_answer(const struct freshness *freshness)
{
    int64_t age_us = freshness_age_us(freshness, watermark_get(freshness->watermark));

    return age_us <= freshness->stale_if_error_us && !l1_is_empty(freshness->l1);
}

/* Ready while any tier can answer: PostgreSQL with its schema (the catalogue was read), or, while
 * that is away, its replica, Redis, or L1. When all readers lose their stores at once, a proxy that
 * believes them unready would answer nothing. */
static bool is_ready(void *arg, char ret_why[OPS_NOTE_SIZE])
{
    const struct tiers *tiers = arg;
    const struct stores *stores = tiers->stores;

    if (pg_store_state(stores->database) == BREAKER_CLOSED) {
        snprintf(ret_why, OPS_NOTE_SIZE, "the catalogue was not read yet, see the log");
        return catalog_is_loaded(stores->catalog);
    }
    return (stores->replica != NULL && pg_store_state(stores->replica) == BREAKER_CLOSED) ||
           (stores->cache != NULL && product_cache_state(stores->cache) == BREAKER_CLOSED) ||
           can_memory_answer(tiers->freshness);
}

static int serve(const struct settings *s)
{
    struct stores stores = {
        .cache = open_cache(s),
        .database = open_database(s, "postgres", s->stores.database.url, true),
        .replica = open_database(s, "postgres-replica", s->database_replica_url, false),
        .ledger = open_ledger(s)};
    struct freshness freshness = open_freshness(s);
    struct tiers tiers = {.stores = &stores, .freshness = &freshness};
    struct changes changes = {.freshness = &freshness};
    struct handlers handlers;
    struct follower *follower;
    struct tail *tail;
    struct products_read *read;
    struct skus *skus;
    struct ops_dependency dependencies[4] = {
        {"postgres", stores_database_state, stores.database, stores_database_note}};
    struct ops_options ops = {.service = SERVICE,
                              .http_port = s->service.http_port,
                              .dependencies = dependencies,
                              .ready = is_ready,
                              .arg = &tiers};
    size_t count = 1;
    int status;

    if (stores.replica != NULL) {
        dependencies[count++] = (struct ops_dependency){"postgres-replica", stores_database_state,
                                                        stores.replica, stores_database_note};
    }
    if (stores.cache != NULL) {
        dependencies[count++] =
            (struct ops_dependency){"redis", stores_cache_state, stores.cache, stores_cache_note};
    }
    stores.catalog = catalog_create(stores.ledger, s->catalog_refresh_ms, s->catalog_products_max);
    tail = tail_create(&(struct tail_options){.database = stores.ledger,
                                              .every_ms = s->freshness_follow_ms,
                                              .watermark = freshness.watermark,
                                              .versions = freshness.versions,
                                              .l1 = freshness.l1,
                                              .catalog = stores.catalog});
    changes.catalog = stores.catalog;
    follower = follower_create(&(struct follower_options){.cache = stores.cache,
                                                          .context = &changes,
                                                          .apply = apply_change,
                                                          .age_us = change_age_us});
    read = products_read_create(
        &(struct products_read_options){.freshness = &freshness,
                                        .tail = tail,
                                        .catalog = stores.catalog,
                                        .cache = stores.cache,
                                        .database = stores.database,
                                        .replica = stores.replica,
                                        .cache_workers = (int)s->stores.redis.size,
                                        .database_workers = (int)s->stores.database.size,
                                        .database_timeout_ms = s->stores.database.timeout_ms});
    skus = skus_create(read, stores.database);
    handlers = (struct handlers){.catalog = stores.catalog,
                                 .read = read,
                                 .skus = skus,
                                 .freshness = &freshness,
                                 .database = stores.database};
    ops_init(&ops);

    status = service_run(SERVICE, &s->service, routes_table(s->http_console != 0), &handlers);

    skus_destroy(skus);
    products_read_destroy(read);
    follower_destroy(follower);
    tail_destroy(tail);
    catalog_destroy(stores.catalog);
    close_freshness(&freshness);
    pg_store_destroy(stores.ledger);
    pg_store_destroy(stores.replica);
    pg_store_destroy(stores.database);
    product_cache_destroy(stores.cache);
    return status;
}

int main(int argc, char **argv)
{
    struct settings settings = {0}; /* also what no option sets, as the probation of a store */
    int status = service_configure(SERVICE, argc, argv, settings_options, &settings);

    if (status >= 0) {
        return status;
    }
    lifecycle_init();
    log_init(SERVICE, (enum log_level)settings.service.log_level);
    status = serve(&settings);
    log_info(log_msg("ended"), log_int("status", status));
    config_free(settings_options, &settings);
    return status;
}
