#include "common/products/sku.h"

bool sku_is_valid(const char *text, size_t len)
{
    if (len < 1 || len > SKU_LENGTH_MAX || text[0] == ' ' || text[len - 1] == ' ') {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if (text[i] < ' ' || text[i] > '~' || text[i] == ',') {
            return false;
        }
    }
    return true;
}
