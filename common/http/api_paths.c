#include "common/http/api_paths.h"

#include <stddef.h>

const struct api_path api_paths[] = {
    {API_PRODUCTS, "GET, HEAD", "read-svc"},      {API_PRODUCT, "GET, HEAD", "read-svc"},
    {API_PRODUCT_STOCK, "GET, HEAD", "read-svc"}, {API_STOCK, "GET, HEAD", "read-svc"},
    {API_UPDATE_STOCK, "POST", "write-svc"},      {NULL, NULL, NULL},
};
