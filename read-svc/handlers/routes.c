#include "read-svc/handlers/routes.h"

#include "read-svc/handlers/products.h"
#include "read-svc/handlers/stock.h"

#include "common/products/api.h"
#include "common/service/ops.h"

const struct http_route routes[] = {
    {"GET", API_PRODUCT_STOCK, handle_product_stock},
    {"GET", API_PRODUCT, handle_product},
    {"GET", API_PRODUCTS, handle_products},
    {"GET", API_STOCK, handle_stock},
    {"GET", "/health", ops_health},
    {"GET", "/metrics", ops_metrics},
    {NULL, NULL, NULL},
};
