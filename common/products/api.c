#include "common/products/api.h"

#include <stddef.h>

const struct api_route api_routes[] = {
    {"GET", API_PRODUCTS, "read-svc"},
    {"GET", API_PRODUCT, "read-svc"},
    {"GET", API_PRODUCT_STOCK, "read-svc"},
    {"GET", API_MOVEMENTS, "read-svc"},
    {"GET", API_CHANGES, "read-svc"},
    {"GET", API_STOCK, "read-svc"},
    {"GET", API_ORDERS, "read-svc"},
    {"GET", API_ORDER, "read-svc"},
    {"GET", API_RESERVATION, "read-svc"},
    {"POST", API_UPDATE_STOCK, "write-svc"},
    {"POST", API_STOCK_CHANGES, "write-svc"},
    {"POST", API_ORDERS, "write-svc"},
    {"POST", API_CANCEL_ORDER, "write-svc"},
    {"POST", API_RESERVATIONS, "write-svc"},
    {"POST", API_CONFIRM_RESERVATION, "write-svc"},
    {"POST", API_RELEASE_RESERVATION, "write-svc"},
    {"POST", API_CATALOG_PRODUCTS, "write-svc"},
    {"PATCH", API_CATALOG_PRODUCT, "write-svc"},
    {"DELETE", API_CATALOG_PRODUCT, "write-svc"},
    {"POST", API_IMPORT, "write-svc"},
    {NULL, NULL, NULL},
};
