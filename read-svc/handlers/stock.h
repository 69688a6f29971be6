/* GET of one product's stock, and of many. */
#ifndef FASTSTOCK_READ_SVC_HANDLERS_STOCK_H
#define FASTSTOCK_READ_SVC_HANDLERS_STOCK_H

#include "common/http/router.h"

http_handler handle_product_stock;
http_quick_handler handle_product_stock_quickly;
http_handler handle_stock;
http_quick_handler handle_stock_quickly;

#endif
