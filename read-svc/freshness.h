/* The freshness rule: which state may be answered with, and how old it is.
 *
 * A state *claims* to hold every change of its product that was committed before a moment, of
 * PostgreSQL's clock. It claims the moment of its read; and the watermark, when `versions` vouches
 * for it (versions.h). An answer is fresh while its claim is at most max_staleness_us ago. Beyond
 * that it is only given when no tier has a better one, marked as stale, and until
 * stale_if_error_us. docs/coherence.md argues why claims are true.
 *
 * A plain struct that main makes; its parts are borrowed and thread-safe. */
#ifndef FASTSTOCK_READ_SVC_FRESHNESS_H
#define FASTSTOCK_READ_SVC_FRESHNESS_H

#include "read-svc/l1.h"
#include "read-svc/versions.h"
#include "read-svc/watermark.h"

#include <stdbool.h>
#include <stdint.h>

struct freshness {
    struct watermark *watermark;
    struct versions *versions;
    struct l1 *l1;
    int64_t max_staleness_us; /* 0: caches are not believed at all */
    int64_t stale_if_error_us;
};

/* The moment that a state from L2 claims, which was loaded after the watermark was read; 0: it may
 * hold what was never committed, or was lost. */
int64_t freshness_claim_us(const struct freshness *freshness, const struct product *product,
                           int64_t watermark_us);

/* How old a state with this claim may be. */
int64_t freshness_age_us(const struct freshness *freshness, int64_t claim_us);

#endif
