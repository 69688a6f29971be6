#include "read-svc/tier.h"

void tier_destroy(struct tier *tier)
{
    if (tier != NULL) {
        tier->destroy(tier);
    }
}

struct metric_family tier_requests_counter =
    METRIC_COUNTER("faststock_cache_requests_total",
                   "Products looked up in a tier, by what came of it.", "tier", "result");
struct metric_family tier_batch_histogram = METRIC_HISTOGRAM(
    "faststock_load_batch_size", "Products per round trip to a tier.", metric_buckets_size, "tier");
