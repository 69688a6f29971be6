/* The settings of read-svc. */
#ifndef FASTSTOCK_READ_SVC_SETTINGS_H
#define FASTSTOCK_READ_SVC_SETTINGS_H

#include "common/service/service.h"
#include "common/service/stores.h"

struct settings {
    struct service_settings service;
    struct store_settings stores;
    int64_t http_console;             /* 1 or 0 */
    const char *database_replica_url; /* "": none */
    const char *redis_replica_url;    /* "": none */
    int64_t cache_missing_ttl_ms;
    int64_t freshness_max_staleness_ms;
    int64_t freshness_stale_if_error_ms;
    int64_t freshness_follow_ms;
    int64_t l1_bytes_max;
    int64_t catalog_refresh_ms;
    int64_t catalog_products_max;
};

extern const struct config_option settings_options[];

#endif
