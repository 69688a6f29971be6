/* GET of the ledger: of one product, and of all as a feed. */
#ifndef FASTSTOCK_READ_SVC_HANDLERS_MOVEMENTS_H
#define FASTSTOCK_READ_SVC_HANDLERS_MOVEMENTS_H

#include "common/http/router.h"

http_handler handle_movements;
http_handler handle_changes;

#endif
