#include "write-svc/handlers/handlers.h"

#include "common/products/api.h"
#include "common/service/ops.h"

const struct http_route handlers_routes[] = {
    {"POST", API_UPDATE_STOCK, handle_update_stock, false},
    {"POST", API_CATALOG_PRODUCTS, handle_create_product, false},
    {"PATCH", API_CATALOG_PRODUCT, handle_edit_product, false},
    {"DELETE", API_CATALOG_PRODUCT, handle_delete_product, false},
    {"POST", API_IMPORT, handle_import, true},
    {"GET", API_ORDERS, handle_list_of_orders, false},
    {"GET", "/health", ops_health, false},
    {"GET", "/metrics", ops_metrics, false},
    {NULL, NULL, NULL, false},
};
