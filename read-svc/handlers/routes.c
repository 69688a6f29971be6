#include "read-svc/handlers/routes.h"

#include "read-svc/handlers/movements.h"
#include "read-svc/handlers/orders.h"
#include "read-svc/handlers/pages.h"
#include "read-svc/handlers/products.h"
#include "read-svc/handlers/stock.h"

#include "common/products/api.h"
#include "common/service/ops.h"

/* The pages come first, so that a table without them is the rest of this one. */
#define PAGES 5

static const struct http_route routes[] = {
    {"GET", "/", handle_console, NULL, false},
    {"GET", "/problems/", handle_problems, NULL, false},
    {"GET", "/problems/{name}", handle_problem, NULL, false},
    {"GET", "/docs", handle_docs, NULL, false},
    {"GET", "/docs/openapi.yaml", handle_openapi, NULL, false},
    {"GET", API_PRODUCT_STOCK, handle_product_stock, handle_product_stock_quickly, false},
    {"GET", API_PRODUCT, handle_product, handle_product_quickly, false},
    {"GET", API_PRODUCTS, handle_products, handle_products_quickly, false},
    {"GET", API_STOCK, handle_stock, handle_stock_quickly, false},
    {"GET", API_ORDERS, handle_orders, NULL, false},
    {"GET", API_ORDERS_BY_PATH, handle_orders, NULL, false},
    {"GET", API_ORDER, handle_order, NULL, false},
    {"GET", API_RESERVATION, handle_reservation, NULL, false},
    {"GET", API_MOVEMENTS, handle_movements, NULL, false},
    {"GET", API_CHANGES, handle_changes, NULL, false},
    {"GET", "/health", ops_health, NULL, false},
    {"GET", "/metrics", ops_metrics, NULL, false},
    {NULL, NULL, NULL, NULL, false},
};

const struct http_route *routes_table(bool has_console)
{
    return has_console ? routes : routes + PAGES;
}
