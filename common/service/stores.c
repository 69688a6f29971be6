#include "common/service/stores.h"

enum breaker_state stores_cache_state(void *cache)
{
    return product_cache_state(cache);
}

enum breaker_state stores_database_state(void *database)
{
    return pg_store_state(database);
}
