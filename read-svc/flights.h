/* Flights: every product is loaded once, however many requests want it, and yet no request gets an
 * answer that is older than its question.
 *
 * A product that is being loaded is a *flight*. Flights wait in the gather of a tier (tier.h,
 * common/base/gather.h) until a worker takes all that wait as one batch. What the tier does not
 * have goes on to the gather of the next one:
 *
 *      wanted --> [gather of tier 0] --batch--> answered: the flight lands
 *                                         '---> [gather of tier 1] --batch--> the flight lands
 *
 * Many requests for one product share its flight, but only while it waits in a gather. A request
 * that comes while a tier is being asked may want something that was committed after the tier
 * looked, so it joins the *successor*, which starts when this flight has landed:
 *
 *      requests  A     B            C  D         E
 *      flight 1  | waits | is asked    | lands
 *      flight 2                     | follows    | waits | is asked | lands
 *
 *      A and B share flight 1; C, D and E share flight 2.
 *
 * So however many requests ask for a product, one load of it is under way and one waits.
 *
 * Demanding flights are for requests that know of a newer version than they were given. They begin
 * at the last tier and are shared among themselves only, because no other request should wait for
 * PostgreSQL, or be refused while that is away, on account of one client's wish.
 *
 * A flight whose requests have all given up is dropped before a tier is asked for it.
 *
 * Locks: one, for all flights and gathers; never held while a tier is asked. Outcomes are read
 * without it. All functions are thread-safe. */
#ifndef FASTSTOCK_READ_SVC_FLIGHTS_H
#define FASTSTOCK_READ_SVC_FLIGHTS_H

#include "read-svc/tier.h"

#include <stddef.h>
#include <stdint.h>

#define FLIGHTS_TIERS_MAX 4

struct flight;

/* A product that a request wants and, after loading, what was found. */
struct flights_item {
    int64_t id;
    int64_t min_version; /* an answer that is older is passed over if a newer may exist; or 0 */
    struct product
        *product;       /* a reference of the caller's, NULL before; may be missing or deleted */
    enum status status; /* STATUS_OK: there is a product */
    enum tier_source source; /* of the product */
    int64_t as_of_us;        /* the product holds every change that was committed before */
    bool is_latest;          /* no other tier can have a newer state of the product */
    bool is_outdated;        /* set by the caller: it is too old for its request */
    struct flight *flight;   /* private */
};

struct flights;

/* Starts the workers of the tiers, of which there are up to FLIGHTS_TIERS_MAX, the first to be
 * asked first. They are borrowed, and outlive the flights. */
struct flights *flights_create(struct tier *const *tiers, size_t count);

/* No load may be under way. NULL is fine. */
void flights_destroy(struct flights *flights);

/* Loads those of the items that have no product; waits for all of them, or until the deadline, and
 * sets their outcome: STATUS_TIMEOUT for one that did not come in time. */
void flights_load(struct flights *flights, struct flights_item *items, size_t count,
                  int64_t deadline_us);

/* Loads those again that are outdated, or older than their min_version, from the last tier, unless
 * their product is the latest. Their former product is released. */
void flights_load_newer(struct flights *flights, struct flights_item *items, size_t count,
                        int64_t deadline_us);

#endif
