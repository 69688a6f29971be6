/* The API of write-svc: HTTP on one side, commands on the other. */
#ifndef FASTSTOCK_WRITE_SVC_HANDLERS_HANDLERS_H
#define FASTSTOCK_WRITE_SVC_HANDLERS_HANDLERS_H

#include "write-svc/auth.h"
#include "write-svc/importer.h"
#include "write-svc/writes.h"

#include "common/http/router.h"
#include "common/stores/pg.h"

/* The context that the routes want. */
struct handlers {
    struct auth *auth;
    struct writes *writes;
    struct importer *importer;
    struct pg_store *database; /* for skus.h */
};

extern const struct http_route handlers_routes[];

http_handler handle_update_stock;
http_handler handle_create_product;
http_handler handle_edit_product;
http_handler handle_delete_product;
http_handler handle_import;
http_handler handle_list_of_orders;
http_handler handle_change_stock;
http_handler handle_create_order;
http_handler handle_cancel_order;
http_handler handle_create_reservation;
http_handler handle_confirm_reservation;
http_handler handle_release_reservation;

#endif
