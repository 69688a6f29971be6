/* write-svc: takes stock changes, makes them durable in PostgreSQL, and publishes them to Redis.
 *
 *     http_server -> handlers -> auth
 *                             -> inventory -> pg_store (PostgreSQL), then product_cache (Redis)
 *     relay: ledger in PostgreSQL -> product_cache, for what was committed and not published
 */
#include "write-svc/auth.h"
#include "write-svc/handlers.h"
#include "write-svc/inventory.h"
#include "write-svc/relay.h"
#include "write-svc/settings.h"

#include "common/lifecycle.h"
#include "common/log.h"
#include "common/ops.h"
#include "common/pg_store.h"
#include "common/product_cache.h"
#include "common/service.h"

#include <stdio.h>

#define SERVICE "write-svc"
#define RETRY_MS 100 /* between attempts to reach a store that is away */
#define MISSING_TTL_MS 5000
#define RELAY_TIMEOUT_MS 10000 /* of a statement: after an outage there is much to read */

static struct product_cache *open_cache(const struct settings *s)
{
    if (s->stores.redis_url[0] == '\0') {
        return NULL;
    }
    /* No probation: write-svc is to be back in Redis before read-svc is, see common/breaker.h. */
    return product_cache_create(
        &(struct product_cache_options){.redis = {.store = "redis",
                                                  .url = s->stores.redis_url,
                                                  .pool_size = (int)s->stores.redis_pool_size,
                                                  .timeout_ms = s->stores.redis_timeout_ms,
                                                  .connect_timeout_ms = s->stores.redis_connect_timeout_ms,
                                                  .retry_ms = RETRY_MS},
                                        .key_prefix = s->stores.redis_key_prefix,
                                        .ttl_ms = s->stores.cache_ttl_ms,
                                        .missing_ttl_ms = MISSING_TTL_MS});
}

static struct pg_store *open_database(const struct settings *s, const char *store, const char *url, int64_t pool_size,
                                      int64_t timeout_ms)
{
    return pg_store_create(&(struct pg_options){.store = store,
                                                .application = SERVICE,
                                                .url = url,
                                                .pool_size = (int)pool_size,
                                                .timeout_ms = timeout_ms,
                                                .connect_timeout_ms = s->stores.database_connect_timeout_ms,
                                                .retry_ms = RETRY_MS});
}

static enum breaker_state cache_state(void *arg)
{
    return product_cache_state(arg);
}

static enum breaker_state database_state(void *arg)
{
    return pg_store_state(arg);
}

static bool is_ready(void *arg)
{
    return inventory_is_ready(arg);
}

static int serve(const struct settings *s, struct auth *auth)
{
    struct product_cache *cache = open_cache(s);
    struct pg_store *database = open_database(s, "postgres", s->stores.database_url, s->stores.database_pool_size,
                                              s->stores.database_timeout_ms);
    struct pg_store *direct = NULL;
    struct relay *relay = NULL;
    struct inventory *inventory = inventory_create(database, cache);
    struct handlers handlers = {.auth = auth, .inventory = inventory};
    const struct ops_dependency dependencies[] = {{"postgres", database_state, database},
                                                  {cache == NULL ? NULL : "redis", cache_state, cache},
                                                  {NULL, NULL, NULL}};
    const struct ops_options ops = {.service = SERVICE,
                                    .http_port = s->service.http_port,
                                    .dependencies = dependencies,
                                    .ready = is_ready,
                                    .arg = inventory};
    int status;

    if (cache != NULL && s->database_direct_url[0] != '\0') {
        direct = open_database(s, "postgres-direct", s->database_direct_url, 1, RELAY_TIMEOUT_MS);
        relay = relay_create(direct, cache, s->stores.cache_ttl_ms);
    }
    ops_init(&ops);
    status = service_run(&s->service, handlers_routes, &handlers);

    relay_destroy(relay);
    pg_store_destroy(direct);
    inventory_destroy(inventory);
    pg_store_destroy(database);
    product_cache_destroy(cache);
    return status;
}

int main(int argc, char **argv)
{
    struct settings settings;
    struct auth *auth;
    int status = service_configure(SERVICE, argc, argv, settings_options, &settings);

    if (status >= 0) {
        return status;
    }
    if (settings.stores.database_url[0] == '\0') {
        fputs(SERVICE ": database.url is empty; set it in the file, or DATABASE_URL in the environment\n", stderr);
        config_free(settings_options, &settings);
        return 2;
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
