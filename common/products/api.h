/* The HTTP API in one table: each path, its methods, and the service that answers. Both services
 * know all of it, so they say the same of a path that is not theirs. The edges' rules and
 * docs/openapi.yaml are tested against it (`read-svc --print-routes`).
 *
 * An edge tells writes from reads by the method or by the path, because every write is a POST,
 * PATCH or DELETE and has paths of its own. The list of orders, which is read at the path that
 * makes them, is the exception: where an edge tells by path alone, write-svc sends the request on
 * to API_ORDERS_BY_PATH. */
#ifndef FASTSTOCK_COMMON_PRODUCTS_API_H
#define FASTSTOCK_COMMON_PRODUCTS_API_H

struct api_route {
    const char *method;  /* GET brings HEAD with it; NULL ends the table */
    const char *path;    /* a {part} stands for one or more characters other than '/' */
    const char *service; /* the one that answers */
};

extern const struct api_route api_routes[];

#define API_PRODUCTS "/api/products"
#define API_PRODUCT "/api/products/{id}"
#define API_PRODUCT_STOCK "/api/products/{id}/stock"
#define API_MOVEMENTS "/api/products/{id}/movements"
#define API_CHANGES "/api/changes"
#define API_STOCK "/api/stock"
#define API_ORDERS "/api/orders"
#define API_ORDERS_BY_PATH "/api/orders/" /* not in the table; of edges alone */
#define API_ORDER "/api/orders/{id}"
#define API_RESERVATION "/api/reservations/{id}"
#define API_CATALOG_PRODUCTS "/api/catalog/products"
#define API_CATALOG_PRODUCT "/api/catalog/products/{id}"
#define API_IMPORT "/api/catalog/import"
#define API_UPDATE_STOCK "/api/products/{id}/update-stock"
#define API_STOCK_CHANGES "/api/stock/changes"
#define API_CANCEL_ORDER "/api/orders/{id}/cancel"
#define API_RESERVATIONS "/api/reservations"
#define API_CONFIRM_RESERVATION "/api/reservations/{id}/confirm"
#define API_RELEASE_RESERVATION "/api/reservations/{id}/release"

#endif
