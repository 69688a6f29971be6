#include "common/service/stores.h"

enum breaker_state stores_cache_state(void *cache)
{
    return product_cache_state(cache);
}

enum breaker_state stores_database_state(void *database)
{
    return pg_store_state(database);
}

/* NOLINTNEXTLINE(misc-redundant-expression): that they are equal is the point */
_Static_assert(OPS_NOTE_SIZE == PG_NOTE_SIZE && OPS_NOTE_SIZE == REDIS_NOTE_SIZE, "a note fits");

void stores_database_note(void *database, char ret_note[OPS_NOTE_SIZE])
{
    pg_store_note(database, ret_note);
}

void stores_cache_note(void *cache, char ret_note[OPS_NOTE_SIZE])
{
    product_cache_note(cache, ret_note);
}
