/* GET of orders, and of reservations. */
#ifndef FASTSTOCK_READ_SVC_HANDLERS_ORDERS_H
#define FASTSTOCK_READ_SVC_HANDLERS_ORDERS_H

#include "common/http/router.h"

http_handler handle_order;
http_handler handle_orders;
http_handler handle_reservation;

#endif
