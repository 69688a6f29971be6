/* GET of one product, and of pages of products. */
#ifndef FASTSTOCK_READ_SVC_HANDLERS_PRODUCTS_H
#define FASTSTOCK_READ_SVC_HANDLERS_PRODUCTS_H

#include "common/http/router.h"

http_handler handle_product;
http_quick_handler handle_product_quickly;
http_handler handle_products;
http_quick_handler handle_products_quickly;

#endif
