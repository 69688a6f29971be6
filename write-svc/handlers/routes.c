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
    {"POST", API_STOCK_CHANGES, handle_change_stock, false},
    {"POST", API_ORDERS, handle_create_order, false},
    {"POST", API_CANCEL_ORDER, handle_cancel_order, false},
    {"POST", API_RESERVATIONS, handle_create_reservation, false},
    {"POST", API_CONFIRM_RESERVATION, handle_confirm_reservation, false},
    {"POST", API_RELEASE_RESERVATION, handle_release_reservation, false},
    {"GET", "/health", ops_health, false},
    {"GET", "/metrics", ops_metrics, false},
    {NULL, NULL, NULL, false},
};
