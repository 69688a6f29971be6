#include "write-svc/handlers/handlers.h"

#include "common/products/api.h"
#include "common/service/ops.h"

const struct http_route handlers_routes[] = {
    {"POST", API_UPDATE_STOCK, handle_update_stock, NULL, false},
    {"POST", API_CATALOG_PRODUCTS, handle_create_product, NULL, false},
    {"PATCH", API_CATALOG_PRODUCT, handle_edit_product, NULL, false},
    {"DELETE", API_CATALOG_PRODUCT, handle_delete_product, NULL, false},
    {"POST", API_IMPORT, handle_import, NULL, true},
    {"GET", API_ORDERS, handle_list_of_orders, NULL, false},
    {"POST", API_STOCK_CHANGES, handle_change_stock, NULL, false},
    {"POST", API_ORDERS, handle_create_order, NULL, false},
    {"POST", API_CANCEL_ORDER, handle_cancel_order, NULL, false},
    {"POST", API_RESERVATIONS, handle_create_reservation, NULL, false},
    {"POST", API_CONFIRM_RESERVATION, handle_confirm_reservation, NULL, false},
    {"POST", API_RELEASE_RESERVATION, handle_release_reservation, NULL, false},
    {"GET", "/health", ops_health, NULL, false},
    {"GET", "/metrics", ops_metrics, NULL, false},
    {NULL, NULL, NULL, NULL, false},
};
