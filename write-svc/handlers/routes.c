#include "write-svc/handlers/handlers.h"

#include "common/products/api.h"
#include "common/service/ops.h"

const struct http_route handlers_routes[] = {
    {"POST", API_UPDATE_STOCK, handle_update_stock, false},
    {"GET", "/health", ops_health, false},
    {"GET", "/metrics", ops_metrics, false},
    {NULL, NULL, NULL, false},
};
