#include "read-svc/sku_list.h"

#include "common/products/sku.h"

#include <string.h>

static bool has(const char *const *skus, size_t count, const char *sku)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(skus[i], sku) == 0) {
            return true;
        }
    }
    return false;
}

bool sku_list_split(char *list, const char *ret_skus[SKU_LIST_MAX], size_t *ret_count)
{
    size_t named = 0;
    size_t count = 0;
    bool is_more = true;

    while (is_more) {
        size_t len = strcspn(list, ",");

        if (++named > SKU_LIST_MAX || !sku_is_valid(list, len)) {
            return false;
        }
        is_more = list[len] == ',';
        list[len] = '\0';
        if (!has(ret_skus, count, list)) {
            ret_skus[count++] = list;
        }
        list += len + 1;
    }
    *ret_count = count;
    return true;
}
