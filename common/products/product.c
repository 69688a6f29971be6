#include "common/products/product.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/json.h"
#include "common/base/parse.h"

#include <assert.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char state_letters[] = {
    [PRODUCT_PRESENT] = 'q', [PRODUCT_DELETED] = 'd', [PRODUCT_MISSING] = 'm'};

static struct product *product_new(enum product_state state, int64_t id, int64_t version,
                                   int64_t stock, struct product_read read, const char *json,
                                   size_t json_len)
{
    struct product *product = fs_calloc(1, sizeof(*product) + json_len + 1);

    assert((state == PRODUCT_PRESENT) == (json_len > 0));
    atomic_init(&product->references, 1);
    product->state = state;
    product->id = id;
    product->version = version;
    product->stock = stock;
    product->read = read;
    product->json_len = json_len;
    memcpy(product->json, json, json_len);
    return product;
}

static void add_time(struct strbuf *json, const char *name, int64_t wall_us)
{
    char text[CLOCK_RFC3339_SIZE];

    clock_format_rfc3339(wall_us, text);
    strbuf_addf(json, ",\"%s\":\"%s\"", name, text);
}

/* The JSON up to the SKU, with which product_has_sku compares. */
static void begin_json(struct strbuf *json, int64_t id, const char *sku)
{
    strbuf_adds(json, "{\"id\":");
    strbuf_add_int(json, id);
    strbuf_adds(json, ",\"sku\":");
    if (sku == NULL) {
        strbuf_adds(json, "null");
    } else {
        json_add_string(json, sku);
    }
}

struct product *product_present(const struct product_row *row, struct product_read read)
{
    struct strbuf json = STRBUF_EMPTY;
    struct product *product;

    begin_json(&json, row->id, row->sku);
    strbuf_adds(&json, ",\"name\":");
    json_add_string(&json, row->name);
    strbuf_addf(&json, ",\"price\":%s,\"stock\":", row->price);
    strbuf_add_int(&json, row->stock);
    strbuf_adds(&json, ",\"reserved\":");
    strbuf_add_int(&json, row->reserved);
    strbuf_adds(&json, ",\"version\":");
    strbuf_add_int(&json, row->version);
    add_time(&json, "createdAt", row->created_us);
    add_time(&json, "updatedAt", row->updated_us);
    strbuf_addc(&json, '}');
    product =
        product_new(PRODUCT_PRESENT, row->id, row->version, row->stock, read, json.text, json.len);
    strbuf_finish(&json);
    return product;
}

struct product *product_deleted(int64_t id, int64_t version, struct product_read read)
{
    return product_new(PRODUCT_DELETED, id, version, 0, read, "", 0);
}

struct product *product_missing(int64_t id, struct product_read read)
{
    return product_new(PRODUCT_MISSING, id, 0, 0, read, "", 0);
}

struct product *product_ref(struct product *product)
{
    int before = atomic_fetch_add_explicit(&product->references, 1, memory_order_relaxed);

    assert(before > 0); /* the caller has one itself */
    return product;
}

void product_unref(struct product *product)
{
    int before;

    if (product == NULL) {
        return;
    }
    before = atomic_fetch_sub_explicit(&product->references, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before == 1) {
        free(product);
    }
}

bool product_has_sku(const struct product *product, const char *sku)
{
    struct strbuf head = STRBUF_EMPTY;
    bool is_same;

    begin_json(&head, product->id, sku);
    strbuf_addc(&head, ',');
    is_same = head.len <= product->json_len && memcmp(head.text, product->json, head.len) == 0;
    strbuf_finish(&head);
    return is_same;
}

void product_add_sku(const struct product *product, struct strbuf *out)
{
    static const char name[] = ",\"sku\":";
    const char *start = strstr(product->json, name);
    size_t len;

    assert(product->state == PRODUCT_PRESENT);
    if (start == NULL) { /* Redis holds a JSON that is not ours */
        strbuf_adds(out, "null");
        return;
    }
    start += strlen(name);
    len = strcspn(start, ","); /* of which a SKU has none */
    strbuf_add(out, start, len);
}

void product_encode(const struct product *product, struct strbuf *out)
{
    strbuf_addf(out, "%0*" PRId64 " %c %" PRId64 " %" PRId64 " %" PRIu32 "\n",
                PRODUCT_VERSION_DIGITS, product->version, state_letters[product->state],
                product->stock, product->read.us, product->read.timeline);
    strbuf_add(out, product->json, product->json_len);
}

/* A number that ends at `end_char`; moves *p behind that. */
static bool take_number(const char **p, const char *end, char end_char, int64_t *ret_value)
{
    const char *stop = memchr(*p, end_char, (size_t)(end - *p));

    if (stop == NULL || !parse_int(*p, (size_t)(stop - *p), 0, INT64_MAX, ret_value)) {
        return false;
    }
    *p = stop + 1;
    return true;
}

/* The version in front: PRODUCT_VERSION_DIGITS digits and a blank. Moves *p behind that. */
static bool take_version(const char **p, const char *end, int64_t *ret_version)
{
    const char *digits = *p;
    const char *digits_end = *p + PRODUCT_VERSION_DIGITS;

    if (end - *p <= PRODUCT_VERSION_DIGITS || *digits_end != ' ') {
        return false;
    }
    while (*digits == '0' && digits + 1 < digits_end) {
        digits++;
    }
    *p = digits_end + 1;
    return parse_int(digits, (size_t)(digits_end - digits), 0, INT64_MAX, ret_version);
}

struct product *product_decode(int64_t id, const char *bytes, size_t len)
{
    const char *p = bytes;
    const char *end = bytes + len;
    const char *letter;
    enum product_state state;
    int64_t version;
    int64_t stock;
    int64_t timeline;
    struct product_read read;

    if (!take_version(&p, end, &version) || p + 2 > end || p[1] != ' ') {
        return NULL;
    }
    letter = memchr(state_letters, *p, sizeof(state_letters));
    p += 2;
    if (letter == NULL || !take_number(&p, end, ' ', &stock) ||
        !take_number(&p, end, ' ', &read.us) || !take_number(&p, end, '\n', &timeline) ||
        timeline > UINT32_MAX) {
        return NULL;
    }
    read.timeline = (uint32_t)timeline;
    state = (enum product_state)(letter - state_letters);
    if ((state == PRODUCT_PRESENT) != (p < end)) {
        return NULL;
    }
    return product_new(state, id, version, stock, read, p, (size_t)(end - p));
}
