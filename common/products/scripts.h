/* The Lua scripts of the cache, as CMake embeds them: put.lua is the beginning of each. */
#ifndef FASTSTOCK_COMMON_PRODUCTS_SCRIPTS_H
#define FASTSTOCK_COMMON_PRODUCTS_SCRIPTS_H

#include "common/stores/redis.h"

extern const struct redis_script script_publish; /* publish.lua */
extern const struct redis_script script_fill;    /* fill.lua */
extern const struct redis_script script_drop;    /* drop.lua */

#endif
