/* A product as it was at one version: immutable, shared by reference count, its JSON rendered once.
 * All functions are thread-safe. */
#ifndef FASTSTOCK_COMMON_PRODUCTS_PRODUCT_H
#define FASTSTOCK_COMMON_PRODUCTS_PRODUCT_H

#include "common/base/strbuf.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum product_state {
    PRODUCT_PRESENT,
    PRODUCT_DELETED, /* a tombstone, with the version of its deletion */
    PRODUCT_MISSING, /* never was; version 0 */
};

struct product {
    _Atomic int references;
    enum product_state state;
    int64_t id;
    int64_t version;
    int64_t stock;
    int64_t read_us; /* PostgreSQL's clock when the row was read or written, since 1970: all changes
                        committed before are in it, unless it is a replica's row */
    size_t json_len; /* 0 unless present */
    char json[];     /* {"id":...,"name":...,...}, and NUL */
};

/* What a row holds; `price` is the decimal text PostgreSQL gives. */
struct product_row {
    int64_t id;
    int64_t version;
    int64_t stock;
    const char *name;
    const char *price;
    int64_t created_us;
    int64_t updated_us;
};

/* Each gives one reference to the caller. */
struct product *product_present(const struct product_row *row, int64_t read_us);
struct product *product_deleted(int64_t id, int64_t version, int64_t read_us);
struct product *product_missing(int64_t id, int64_t read_us);

struct product *product_ref(struct product *product);
void product_unref(struct product *product); /* NULL is fine */

/* The form in which a product lies in Redis: a line "version state stock read_us", the version
 * first and padded to PRODUCT_VERSION_DIGITS, so that a script can compare it as text; then the
 * JSON.
 *
 * No reader judges by read_us yet. It stays, because the age of a cached answer is to be bounded by
 * the later of its read and a watermark (docs/ARCHITECTURE.md, "Not there yet"), and because a
 * change of this form is not free: the old and the new version of a service share one Redis while
 * they are exchanged, and each takes an entry in a form that it does not know for a miss. */
#define PRODUCT_VERSION_DIGITS 20
void product_encode(const struct product *product, struct strbuf *out);

/* The product with this id in that form; NULL when the bytes are not that form. */
struct product *product_decode(int64_t id, const char *bytes, size_t len);

#endif
