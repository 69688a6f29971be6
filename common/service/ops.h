/* The operations endpoints: /livez, /readyz, /startupz, /health, /metrics, /version. One set per
 * process. */
#ifndef FASTSTOCK_COMMON_SERVICE_OPS_H
#define FASTSTOCK_COMMON_SERVICE_OPS_H

#include "common/http/router.h"
#include "common/stores/breaker.h"

#include <stdbool.h>
#include <stdint.h>

#define OPS_NOTE_SIZE 512

/* A store that a service uses, for the JSON of the probes. */
struct ops_dependency {
    const char *name; /* NULL ends an array */
    enum breaker_state (*state)(void *arg);
    void *arg;
    /* What an operator should know, like why it is away; "" for nothing. NULL: never anything. */
    void (*note)(void *arg, char ret_note[OPS_NOTE_SIZE]);
};

struct ops_options {
    const char *service;
    int64_t http_port; /* shown by /health */
    const struct ops_dependency *dependencies;
    /* Can requests be answered now? On false `ret_why` says why not, "" when the dependencies say
     * it. Drain is looked at apart. */
    bool (*ready)(void *arg, char ret_why[OPS_NOTE_SIZE]);
    void *arg;
};

/* Before the servers start; `options` and all that it points to outlive them. */
void ops_init(const struct ops_options *options);

/* The table of the operations port. */
extern const struct http_route ops_routes[];

/* For the public port too, where people of the replaced systems look for them. */
http_handler ops_health;
http_handler ops_metrics;

#endif
