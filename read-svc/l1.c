/* Keeps nothing yet. */
#include "read-svc/l1.h"
#include "common/base/alloc.h"
#include <stdlib.h>
struct l1 {
    int x;
};
struct l1 *l1_create(const struct l1_options *options)
{
    (void)options;
    return fs_calloc(1, sizeof(struct l1));
}
void l1_destroy(struct l1 *l1)
{
    free(l1);
}
void l1_enter(struct l1 *l1)
{
    (void)l1;
}
void l1_leave(struct l1 *l1)
{
    (void)l1;
}
bool l1_find(struct l1 *l1, int64_t id, struct l1_found *ret_found)
{
    (void)l1;
    (void)id;
    (void)ret_found;
    return false;
}
void l1_put(struct l1 *l1, struct product *product)
{
    (void)l1;
    (void)product;
}
bool l1_replace(struct l1 *l1, struct product *product)
{
    (void)l1;
    (void)product;
    return false;
}
bool l1_drop_older(struct l1 *l1, int64_t id, int64_t version)
{
    (void)l1;
    (void)id;
    (void)version;
    return false;
}
void l1_drop_all(struct l1 *l1)
{
    (void)l1;
}
