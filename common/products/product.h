/* A product as it was at one version: immutable, shared by reference count, its JSON rendered once.
 * All functions are thread-safe. */
#ifndef FASTSTOCK_COMMON_PRODUCTS_PRODUCT_H
#define FASTSTOCK_COMMON_PRODUCTS_PRODUCT_H

#include "common/base/strbuf.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum product_state {
    PRODUCT_PRESENT,
    PRODUCT_DELETED, /* a tombstone, with the version of its deletion */
    PRODUCT_MISSING, /* never was; version 0 */
};

/* When a row was read: every change of the product that was committed before is in it. */
struct product_read {
    int64_t us;        /* PostgreSQL's clock before the statement's snapshot, since 1970 */
    uint32_t timeline; /* of that PostgreSQL; another one after a failover. 0: not known */
};

struct product {
    _Atomic int references;
    enum product_state state;
    int64_t id;
    int64_t version;
    int64_t stock;
    struct product_read read;
    size_t json_len; /* 0 unless present */
    char json[];     /* {"id":...,"sku":...,...}, and NUL */
};

/* What a row holds; `price` is the decimal text PostgreSQL gives. */
struct product_row {
    int64_t id;
    const char *sku; /* NULL: it has none */
    int64_t version;
    int64_t stock;
    int64_t reserved;
    const char *name;
    const char *price;
    int64_t created_us;
    int64_t updated_us;
};

/* Each gives one reference to the caller. */
struct product *product_present(const struct product_row *row, struct product_read read);
struct product *product_deleted(int64_t id, int64_t version, struct product_read read);
struct product *product_missing(int64_t id, struct product_read read);

struct product *product_ref(struct product *product);
void product_unref(struct product *product); /* NULL is fine */

/* Is the product present, and is this its SKU? (A product's SKU never changes.) */
bool product_has_sku(const struct product *product, const char *sku);

/* Adds the SKU of a product that is present as JSON, or null. */
void product_add_sku(const struct product *product, struct strbuf *out);

/* The form in which a product lies in Redis: a line "version state stock read_us timeline", the
 * version first and padded to PRODUCT_VERSION_DIGITS, so that a script can compare it as text; then
 * the JSON.
 *
 * The letter of the state also names the form of the JSON. Both versions of a service share one
 * Redis in a rolling update, under the same keys, because a state under another key would not be
 * replaced by the writers of the other version. Each copies the JSON into its answers unread, so an
 * entry of the other form must be a miss: it is, because a version cannot decode an entry with a
 * letter that it does not know. A change of the JSON therefore takes a new letter for
 * PRODUCT_PRESENT ('p' stood for the one without "sku" and "reserved"). Until the update ends, a
 * product that both versions read is loaded from PostgreSQL whenever the other one filled Redis.
 * The same holds for the line: one without a timeline cannot be decoded. */
#define PRODUCT_VERSION_DIGITS 20
void product_encode(const struct product *product, struct strbuf *out);

/* The product with this id in that form; NULL when the bytes are not that form. */
struct product *product_decode(int64_t id, const char *bytes, size_t len);

#endif
