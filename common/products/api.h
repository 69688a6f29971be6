/* The HTTP API in one table: each path, its methods, and the service that answers. Both services
 * know all of it, so they say the same of a path that is not theirs. The edges' rules and
 * docs/openapi.yaml are tested against it (`read-svc --print-routes`).
 *
 * An edge tells writes from reads by the method or by the path, because every write is a POST,
 * PATCH or DELETE and has paths of its own. By path it also sends the paths of orders to write-svc,
 * which has no rows for them here: both services answer these with the same 404, and an edge need
 * not be changed together with the services on the day that they come. */
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
#define API_STOCK "/api/stock"
#define API_CATALOG_PRODUCTS "/api/catalog/products"
#define API_CATALOG_PRODUCT "/api/catalog/products/{id}"
#define API_IMPORT "/api/catalog/import"
#define API_UPDATE_STOCK "/api/products/{id}/update-stock"

#endif
