#include "read-svc/freshness.h"

#include "common/base/clock.h"

int64_t freshness_claim_us(const struct freshness *freshness, const struct product *product,
                           int64_t watermark_us)
{
    if (watermark_refuses(freshness->watermark, product->read)) {
        return 0;
    }
    return watermark_us > product->read.us && versions_vouch(freshness->versions, product)
               ? watermark_us
               : product->read.us;
}

int64_t freshness_age_us(const struct freshness *freshness, int64_t claim_us)
{
    return watermark_age_us(freshness->watermark, claim_us, clock_mono_us());
}
