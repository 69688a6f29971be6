#include "common/service/stores.h"

struct product_cache *stores_open_cache(const struct store_settings *settings,
                                        const struct stores_cache_options *options)
{
    if (settings->redis_url[0] == '\0') {
        return NULL;
    }
    return product_cache_create(&(struct product_cache_options){
        .redis = {.store = "redis",
                  .url = settings->redis_url,
                  .pool_size = (int)settings->redis_pool_size,
                  .timeout_ms = settings->redis_timeout_ms,
                  .connect_timeout_ms = settings->redis_connect_timeout_ms,
                  .retry_ms = options->retry_ms,
                  .probation_ms = options->probation_ms},
        .replica_url = options->replica_url,
        .key_prefix = settings->redis_key_prefix,
        .ttl_ms = settings->cache_ttl_ms,
        .missing_ttl_ms = options->missing_ttl_ms});
}

struct pg_store *stores_open_database(const struct store_settings *settings,
                                      const struct stores_database_options *options)
{
    if (options->url[0] == '\0') {
        return NULL;
    }
    return pg_store_create(&(struct pg_options){
        .store = options->store,
        .application = options->application,
        .url = options->url,
        .pool_size =
            options->pool_size > 0 ? options->pool_size : (int)settings->database_pool_size,
        .timeout_ms = options->timeout_ms > 0 ? options->timeout_ms : settings->database_timeout_ms,
        .connect_timeout_ms = settings->database_connect_timeout_ms,
        .retry_ms = options->retry_ms});
}

enum breaker_state stores_cache_state(void *cache)
{
    return product_cache_state(cache);
}

enum breaker_state stores_database_state(void *database)
{
    return pg_store_state(database);
}
