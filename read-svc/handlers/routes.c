#include "read-svc/handlers/routes.h"

#include "read-svc/handlers/movements.h"
#include "read-svc/handlers/orders.h"
#include "read-svc/handlers/products.h"
#include "read-svc/handlers/stock.h"

#include "common/products/api.h"
#include "common/service/ops.h"

const struct http_route routes[] = {
    {"GET", API_PRODUCT_STOCK, handle_product_stock, false},
    {"GET", API_PRODUCT, handle_product, false},
    {"GET", API_PRODUCTS, handle_products, false},
    {"GET", API_STOCK, handle_stock, false},
    {"GET", API_ORDERS, handle_orders, false},
    {"GET", API_ORDERS_BY_PATH, handle_orders, false},
    {"GET", API_ORDER, handle_order, false},
    {"GET", API_RESERVATION, handle_reservation, false},
    {"GET", API_MOVEMENTS, handle_movements, false},
    {"GET", API_CHANGES, handle_changes, false},
    {"GET", "/health", ops_health, false},
    {"GET", "/metrics", ops_metrics, false},
    {NULL, NULL, NULL, false},
};
