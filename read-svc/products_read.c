#include "read-svc/products_read.h"

#include "read-svc/tier_database.h"
#include "read-svc/tier_redis.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"

#include <stdlib.h>

enum { L1_HIT, L1_MISS, L1_STALE, CATALOG_MISS, SERIES };

static const struct metric_row rows[SERIES] = {
    [L1_HIT] = {&tier_requests_counter, {"l1", "hit"}},
    [L1_MISS] = {&tier_requests_counter, {"l1", "miss"}},
    [L1_STALE] = {&tier_requests_counter, {"l1", "stale"}},
    [CATALOG_MISS] = {&tier_requests_counter, {"catalog", "miss"}},
};

struct products_read {
    struct products_read_options options;
    struct tier *tiers[FLIGHTS_TIERS_MAX];
    size_t tier_count;
    struct flights *flights;
    struct metric *series[SERIES];
};

struct products_read *products_read_create(const struct products_read_options *options)
{
    struct products_read *read = fs_calloc(1, sizeof(*read));

    read->options = *options;
    metric_get_rows(rows, SERIES, NULL, read->series);
    if (options->cache != NULL) {
        read->tiers[read->tier_count++] =
            tier_redis_create(options->cache, options->freshness, options->cache_workers);
    }
    read->tiers[read->tier_count++] = tier_database_create(
        &(struct tier_database_options){.cache = options->cache,
                                        .primary = options->database,
                                        .replica = options->replica,
                                        .freshness = options->freshness,
                                        .tail = options->tail,
                                        .timeout_ms = options->database_timeout_ms,
                                        .workers = options->database_workers});
    read->flights = flights_create(read->tiers, read->tier_count);
    return read;
}

void products_read_destroy(struct products_read *read)
{
    if (read == NULL) {
        return;
    }
    flights_destroy(read->flights);
    for (size_t i = 0; i < read->tier_count; i++) {
        tier_destroy(read->tiers[i]);
    }
    free(read);
}

/* --- wishes ----------------------------------------------------------------------------------- */

static int64_t seconds_to_us(int64_t seconds)
{
    return seconds > INT64_MAX / CLOCK_US_PER_S ? INT64_MAX : seconds * CLOCK_US_PER_S;
}

struct read_wish products_read_wish(const struct products_read *read,
                                    const struct http_cache_control *control)
{
    const struct freshness *freshness = read->options.freshness;
    struct read_wish wish = {.age_max_us = freshness->max_staleness_us,
                             .is_past_l1 = control->no_cache || control->max_age_s == 0,
                             .is_cached = control->only_if_cached};

    if (control->max_age_s > 0 && seconds_to_us(control->max_age_s) < wish.age_max_us) {
        wish.age_max_us = seconds_to_us(control->max_age_s);
    }
    if (control->max_stale_s >= 0 && !wish.is_past_l1) {
        int64_t stale_us = seconds_to_us(control->max_stale_s);

        wish.age_max_us = stale_us > freshness->stale_if_error_us - wish.age_max_us
                              ? freshness->stale_if_error_us
                              : wish.age_max_us + stale_us;
    }
    return wish;
}

/* --- L1 and the catalogue --------------------------------------------------------------------- */

/* Is it known that no tier has anything better? */
static bool is_database_away(const struct products_read *read)
{
    return pg_store_state(read->options.database) == BREAKER_OPEN && read->options.replica == NULL;
}

/* The moment that a state of L1 claims, found after the watermark was read (freshness.h). */
static int64_t claim_us(const struct product *product, int64_t watermark_us)
{
    return product->read.us > watermark_us ? product->read.us : watermark_us;
}

bool products_read_hit(struct products_read *read, const struct read_wish *wish, int64_t id,
                       int64_t min_version, struct read_hit *ret_hit)
{
    const struct freshness *freshness = read->options.freshness;
    int64_t watermark_us = watermark_get(freshness->watermark);

    if (wish->is_past_l1 || !l1_find(freshness->l1, id, &ret_hit->found) ||
        ret_hit->found.product->version < min_version) {
        return false;
    }
    ret_hit->as_of_us = claim_us(ret_hit->found.product, watermark_us);
    ret_hit->age_us = freshness_age_us(freshness, ret_hit->as_of_us);
    ret_hit->is_stale =
        ret_hit->age_us > freshness->max_staleness_us || ret_hit->age_us > wish->age_max_us;
    if (ret_hit->age_us > wish->age_max_us &&
        (ret_hit->age_us > freshness->stale_if_error_us || !is_database_away(read))) {
        return false;
    }
    metric_add(read->series[ret_hit->is_stale ? L1_STALE : L1_HIT], 1);
    return true;
}

bool products_read_hits(struct products_read *read, const struct read_wish *wish,
                        const int64_t *ids, size_t count, const struct product **ret_products,
                        int64_t *ret_age_us)
{
    const struct freshness *freshness = read->options.freshness;
    int64_t watermark_us = watermark_get(freshness->watermark);
    int64_t oldest_us = INT64_MAX; /* the clock is asked once, not for each product */
    struct l1_found found;

    if (wish->is_past_l1) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        int64_t as_of_us;

        if (!l1_find(freshness->l1, ids[i], &found)) {
            return false;
        }
        ret_products[i] = found.product;
        as_of_us = claim_us(found.product, watermark_us);
        oldest_us = as_of_us < oldest_us ? as_of_us : oldest_us;
    }
    *ret_age_us = count == 0 ? 0 : freshness_age_us(freshness, oldest_us);
    if (*ret_age_us > freshness->max_staleness_us || *ret_age_us > wish->age_max_us) {
        return false;
    }
    metric_add(read->series[L1_HIT], count);
    return true;
}

static bool take_hit(struct products_read *read, const struct read_wish *wish,
                     struct flights_item *item)
{
    struct read_hit hit;
    bool is_hit;

    l1_enter(read->options.freshness->l1);
    is_hit = products_read_hit(read, wish, item->id, item->min_version, &hit);
    if (is_hit) {
        item->product = product_ref(hit.found.product);
        item->source = hit.is_stale ? TIER_STALE : TIER_L1;
        item->as_of_us = hit.as_of_us;
    }
    l1_leave(read->options.freshness->l1);
    return is_hit;
}

/* The catalogue tells of each product that there is none, without a question to a store. */
static bool take_missing(struct products_read *read, const struct read_wish *wish,
                         struct flights_item *item)
{
    int64_t age_us;

    if (wish->is_past_l1 || item->min_version > 0 ||
        !catalog_lacks(read->options.catalog, item->id, &age_us) || age_us > wish->age_max_us) {
        return false;
    }
    metric_add(read->series[CATALOG_MISS], 1);
    item->product = product_missing(item->id, (struct product_read){.us = 0});
    item->source = TIER_CATALOG;
    item->as_of_us = 0;
    return true;
}

/* Returns how many items have no product yet. */
static size_t take_what_is_here(struct products_read *read, const struct read_wish *wish,
                                struct flights_item *items, size_t count)
{
    size_t left = 0;

    for (size_t i = 0; i < count; i++) {
        items[i].status = STATUS_OK;
        if (!take_hit(read, wish, &items[i]) && !take_missing(read, wish, &items[i])) {
            items[i].status = STATUS_FAILED;
            left++;
        }
    }
    if (left > 0) {
        metric_add(read->series[L1_MISS], left);
    }
    return left;
}

/* --- flights ---------------------------------------------------------------------------------- */

/* Of those that a tier has answered, is it too old for the request? */
static void note_outdated(const struct products_read *read, const struct read_wish *wish,
                          struct flights_item *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        items[i].is_outdated =
            items[i].product != NULL &&
            (items[i].source == TIER_REDIS || items[i].source == TIER_DATABASE) &&
            freshness_age_us(read->options.freshness, items[i].as_of_us) > wish->age_max_us;
    }
}

/* A state that L1 has, however old, as far as an outage of the stores excuses it; marked as stale
 * when it is not as fresh as the request wishes. */
static void take_spare(struct products_read *read, const struct read_wish *wish,
                       struct flights_item *item)
{
    const struct freshness *freshness = read->options.freshness;
    const struct read_wish any = {.age_max_us = freshness->stale_if_error_us};
    enum status status = item->status;

    if (item->product != NULL && item->source == TIER_STALE &&
        freshness_age_us(freshness, item->as_of_us) > freshness->stale_if_error_us) {
        product_unref(item->product);
        item->product = NULL;
        status = STATUS_UNAVAILABLE;
    }
    if (item->product != NULL) {
        return;
    }
    item->status = status;
    if (take_hit(read, &any, item)) {
        item->status = STATUS_OK;
        if (wish->is_past_l1 || freshness_age_us(freshness, item->as_of_us) > wish->age_max_us) {
            item->source = TIER_STALE;
        }
    }
}

void products_read_load(struct products_read *read, const struct read_wish *wish,
                        struct flights_item *items, size_t count, int64_t deadline_us)
{
    if (take_what_is_here(read, wish, items, count) == 0 || wish->is_cached) {
        return;
    }
    flights_load(read->flights, items, count, deadline_us);
    note_outdated(read, wish, items, count);
    flights_load_newer(read->flights, items, count, deadline_us);
    for (size_t i = 0; i < count; i++) {
        take_spare(read, wish, &items[i]);
    }
}
