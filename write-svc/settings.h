/* The settings of write-svc. */
#ifndef FASTSTOCK_WRITE_SVC_SETTINGS_H
#define FASTSTOCK_WRITE_SVC_SETTINGS_H

#include "common/service/service.h"
#include "common/service/stores.h"

struct settings {
    struct service_settings service;
    struct store_settings stores;
    const char *database_direct_url; /* "": no relay */
    int64_t writes_lanes;
    int64_t writes_batch_max;
    int64_t writes_waiting_max;
    int64_t writes_key_ttl_hours;
    int64_t ledger_retention_days; /* 0: movements are kept */
    const char *auth_tokens_file;  /* "": writes need no token */
};

extern const struct config_option settings_options[];

#endif
