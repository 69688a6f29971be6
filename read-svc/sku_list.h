/* A list of SKUs in a request, with commas between them. A pure function. */
#ifndef FASTSTOCK_READ_SVC_SKU_LIST_H
#define FASTSTOCK_READ_SVC_SKU_LIST_H

#include <stdbool.h>
#include <stddef.h>

#define SKU_LIST_MAX 100

/* Cuts "A,B,C" in place into its SKUs, each once, in the order in which they first stand there. The
 * texts lie in `list`. False, and the list is of no more use, when one is no SKU (common/products/
 * sku.h) or more than SKU_LIST_MAX are named, repeated ones counted. */
bool sku_list_split(char *list, const char *ret_skus[SKU_LIST_MAX], size_t *ret_count);

#endif
