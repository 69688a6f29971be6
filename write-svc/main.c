/* write-svc: takes changes, makes them durable in PostgreSQL, and publishes them to Redis.
 *
 *     http_server -> handlers -> auth
 *                             -> writes -> lane -> transaction (PostgreSQL), then publisher (Redis)
 *                             -> importer, in the same way, for many products at a time
 *     relay: ledger in PostgreSQL -> product_cache, for what was committed and not published
 *     sweeper: PostgreSQL, then publisher, for reservations whose time is over */
#include "write-svc/auth.h"
#include "write-svc/handlers/handlers.h"
#include "write-svc/importer.h"
#include "write-svc/publisher.h"
#include "write-svc/readiness.h"
#include "write-svc/relay.h"
#include "write-svc/retention.h"
#include "write-svc/settings.h"
#include "write-svc/sweeper.h"
#include "write-svc/writes.h"

#include "common/base/lifecycle.h"
#include "common/base/log.h"
#include "common/products/cache.h"
#include "common/service/ops.h"
#include "common/service/service.h"
#include "common/stores/pg.h"

#define SERVICE "write-svc"
#define RETRY_MS 100 /* between attempts to reach a store that is away */
#define MISSING_TTL_MS 5000
#define RELAY_TIMEOUT_MS 10000 /* of a statement: after an outage there is much to read */

/* No probation: write-svc is to be back in Redis before read-svc is, see common/stores/breaker.h.
 */
static struct product_cache *open_cache(const struct settings *s)
{
    struct product_cache_options options = {.redis = s->stores.redis,
                                            .redis_tls = s->stores.redis_tls,
                                            .redis_sentinel = s->stores.redis_sentinel,
                                            .key_prefix = s->stores.redis_key_prefix,
                                            .ttl_ms = s->stores.cache_ttl_ms,
                                            .missing_ttl_ms = MISSING_TTL_MS};

    options.redis.name = "redis";
    options.redis.retry_ms = RETRY_MS;
    return product_cache_create(&options);
}

static struct pg_store *open_database(const struct settings *s)
{
    struct pg_options options = {.store = s->stores.database,
                                 .application = SERVICE,
                                 .needs_writes = true,
                                 .is_prepared = s->stores.database_prepared != 0};

    options.store.name = "postgres";
    options.store.retry_ms = RETRY_MS;
    return pg_store_create(&options);
}

/* One connection, for the relay's lock. */
static struct pg_store *open_direct(const struct settings *s)
{
    struct pg_options options = {.store = s->stores.database,
                                 .application = SERVICE,
                                 .needs_writes = true,
                                 .is_prepared = s->stores.database_prepared != 0};

    options.store.name = "postgres-direct";
    options.store.url = s->database_direct_url;
    options.store.size = 1;
    options.store.timeout_ms = RELAY_TIMEOUT_MS;
    options.store.retry_ms = RETRY_MS;
    return pg_store_create(&options);
}

static struct writes *open_writes(const struct settings *s, struct pg_store *database,
                                  struct publisher *publisher)
{
    struct writes_options options = {.database = database,
                                     .publisher = publisher,
                                     .lanes = (int)s->writes_lanes,
                                     .batch_max = (size_t)s->writes_batch_max,
                                     .waiting_max = (size_t)s->writes_waiting_max};

    return writes_create(&options);
}

_Static_assert(READINESS_WHY_SIZE == OPS_NOTE_SIZE, "a reason fits");

static bool is_ready(void *arg, char ret_why[OPS_NOTE_SIZE])
{
    return readiness_check(arg, ret_why);
}

static int serve(const struct settings *s, struct auth *auth)
{
    struct product_cache *cache = open_cache(s);
    struct pg_store *database = open_database(s);
    struct pg_store *direct = cache == NULL ? NULL : open_direct(s);
    struct relay *relay =
        direct == NULL ? NULL : relay_create(direct, cache, s->stores.cache_ttl_ms);
    struct publisher *publisher = publisher_create(cache);
    struct writes *writes = open_writes(s, database, publisher);
    struct importer *importer = importer_create(database, publisher);
    struct sweeper *sweeper = sweeper_create(database, publisher, s->writes_key_ttl_hours);
    struct retention *retention =
        retention_create(database, s->ledger_retention_days, s->stores.cache_ttl_ms);
    struct readiness *readiness = readiness_create(database);
    struct handlers handlers = {
        .auth = auth, .writes = writes, .importer = importer, .database = database};
    const struct ops_dependency dependencies[] = {
        {"postgres", stores_database_state, database, stores_database_note},
        {cache == NULL ? NULL : "redis", stores_cache_state, cache, stores_cache_note},
        {"publications", publisher_state, publisher, NULL},
        {NULL, NULL, NULL, NULL}};
    const struct ops_options ops = {.service = SERVICE,
                                    .http_port = s->service.http_port,
                                    .dependencies = dependencies,
                                    .ready = is_ready,
                                    .arg = readiness};
    int status;

    ops_init(&ops);
    status = service_run(SERVICE, &s->service, handlers_routes, &handlers);

    readiness_destroy(readiness);
    retention_destroy(retention);
    sweeper_destroy(sweeper);
    importer_destroy(importer);
    writes_destroy(writes);
    publisher_destroy(publisher);
    relay_destroy(relay);
    pg_store_destroy(direct);
    pg_store_destroy(database);
    product_cache_destroy(cache);
    return status;
}

int main(int argc, char **argv)
{
    struct settings settings = {0}; /* also what no option sets, as the probation of a store */
    struct auth *auth;
    int status = service_configure(SERVICE, argc, argv, settings_options, &settings);

    if (status >= 0) {
        return status;
    }
    lifecycle_init();
    log_init(SERVICE, (enum log_level)settings.service.log_level);
    auth = auth_create(settings.auth_tokens_file);
    status = auth == NULL ? 2 : serve(&settings, auth);
    log_info(log_msg("ended"), log_int("status", status));
    auth_destroy(auth);
    config_free(settings_options, &settings);
    return status;
}
