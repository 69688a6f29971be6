#include "read-svc/watermark.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"

#include <stdatomic.h>
#include <stdlib.h>

/* Two clocks that run apart by 200 parts in a million, the worst that NTP corrects, differ by that
 * much after so many microseconds. */
#define DRIFT_DIVISOR 5000

struct watermark {
    _Atomic int64_t us; /* the watermark; 0: none */
    _Atomic int64_t since_us;
    _Atomic uint32_t timeline; /* 0: none is followed */
    /* PostgreSQL's clock shows at most ahead_us more than the monotonic one, as was found out at
     * asked_us. That is stored last and read first: so a reader that meets a round between the two
     * counts the drift from an earlier time, and makes the age larger. 0: no round yet. */
    _Atomic int64_t ahead_us;
    _Atomic int64_t asked_us;
};

struct watermark *watermark_create(void)
{
    struct watermark *watermark = fs_calloc(1, sizeof(*watermark));

    atomic_init(&watermark->since_us, INT64_MAX);
    return watermark;
}

void watermark_destroy(struct watermark *watermark)
{
    free(watermark);
}

/* --- of the tail ------------------------------------------------------------------------------ */

void watermark_reset(struct watermark *watermark)
{
    atomic_store(&watermark->us, 0);
    atomic_store(&watermark->since_us, INT64_MAX);
    atomic_store(&watermark->timeline, 0);
}

void watermark_begin(struct watermark *watermark, uint32_t timeline, int64_t since_us)
{
    atomic_store(&watermark->since_us, since_us);
    atomic_store(&watermark->timeline, timeline);
}

void watermark_move(struct watermark *watermark, int64_t us, int64_t sent_us)
{
    atomic_store(&watermark->ahead_us, us - sent_us);
    atomic_store(&watermark->asked_us, sent_us);
    atomic_store(&watermark->us, us);
}

/* --- of readers ------------------------------------------------------------------------------- */

int64_t watermark_get(const struct watermark *watermark)
{
    return atomic_load(&watermark->us);
}

bool watermark_judges(const struct watermark *watermark, struct product_read read)
{
    return read.timeline != 0 && read.timeline == atomic_load(&watermark->timeline) &&
           read.us > atomic_load(&watermark->since_us);
}

/* The most that PostgreSQL's clock may show now. */
static int64_t latest_us(const struct watermark *watermark, int64_t now_us)
{
    int64_t asked_us = atomic_load(&watermark->asked_us);
    int64_t ahead_us = atomic_load(&watermark->ahead_us);

    return asked_us == 0 ? clock_wall_us()
                         : ahead_us + now_us + (now_us - asked_us) / DRIFT_DIVISOR + 1;
}

bool watermark_refuses(const struct watermark *watermark, struct product_read read)
{
    uint32_t timeline = atomic_load(&watermark->timeline);

    return timeline != 0 &&
           (read.timeline != timeline || read.us > latest_us(watermark, clock_mono_us()));
}

int64_t watermark_age_us(const struct watermark *watermark, int64_t as_of_us, int64_t now_us)
{
    int64_t age_us = latest_us(watermark, now_us) - as_of_us;

    return age_us > 0 ? age_us : 0;
}
