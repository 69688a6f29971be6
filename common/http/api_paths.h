/* The paths of the whole API, whichever service answers them, so that both say the same of a path
 * that is not theirs. */
#ifndef FASTSTOCK_COMMON_HTTP_API_PATHS_H
#define FASTSTOCK_COMMON_HTTP_API_PATHS_H

struct api_path {
    const char *path;    /* as in http_router.h; NULL ends the table */
    const char *allow;   /* the value of an Allow header */
    const char *service; /* who answers it */
};

extern const struct api_path api_paths[];

#define API_PRODUCTS "/api/products"
#define API_PRODUCT "/api/products/{id}"
#define API_PRODUCT_STOCK "/api/products/{id}/stock"
#define API_STOCK "/api/stock"
#define API_UPDATE_STOCK "/api/products/{id}/update-stock"

#endif
