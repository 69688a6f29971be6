#include "read-svc/feed_cursor.h"

#include "common/base/alloc.h"
#include "common/base/parse.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define FORM 1

void feed_cursor_init(struct feed_cursor *ret_cursor, int64_t server, struct feed_snapshot seen)
{
    *ret_cursor = (struct feed_cursor){.server = server, .seen = seen};
}

void feed_cursor_finish(struct feed_cursor *cursor)
{
    feed_snapshot_finish(&cursor->seen);
    feed_snapshot_finish(&cursor->until);
}

void feed_snapshot_finish(struct feed_snapshot *snapshot)
{
    free(snapshot->running);
    snapshot->running = NULL;
    snapshot->running_count = 0;
}

struct feed_snapshot feed_snapshot_up_to(int64_t xid)
{
    return (struct feed_snapshot){.xmin = xid + 1, .xmax = xid + 1};
}

/* --- reading texts ---------------------------------------------------------------------------- */

/* A part of a text, up to `end`. */
struct part {
    const char *at;
    const char *end;
};

/* The number that comes next, and the character behind it, of which it moves behind; false when
 * there is no number from `min` on. `*ret_stop` is 0 at the end. */
static bool take_number(struct part *part, int64_t min, int64_t *ret_value, char *ret_stop)
{
    const char *stop = part->at;

    while (stop < part->end && *stop >= '0' && *stop <= '9') {
        stop++;
    }
    if (!parse_int(part->at, (size_t)(stop - part->at), min, INT64_MAX, ret_value)) {
        return false;
    }
    if (stop == part->end) {
        part->at = stop;
        *ret_stop = '\0';
        return true;
    }
    part->at = stop + 1;
    *ret_stop = *stop;
    return *stop != '\0';
}

static void add_running(struct feed_snapshot *snapshot, int64_t xid)
{
    if (snapshot->running == NULL) {
        snapshot->running = fs_calloc(FEED_RUNNING_MAX, sizeof(*snapshot->running));
    }
    snapshot->running[snapshot->running_count++] = xid;
}

/* The differences of running transactions, up to a character that is not '-'. */
static bool take_running(struct part *part, struct feed_snapshot *snapshot, char *stop)
{
    int64_t last = snapshot->xmin;
    int64_t step;

    while (*stop == '-') {
        if (snapshot->running_count == FEED_RUNNING_MAX ||
            !take_number(part, snapshot->running_count > 0, &step, stop) ||
            step >= snapshot->xmax - last) {
            return false;
        }
        last += step;
        add_running(snapshot, last);
    }
    return true;
}

/* A snapshot as differences; `ret_stop` is the character behind it. The caller finishes it. */
static bool take_snapshot(struct part *part, struct feed_snapshot *snapshot, char *ret_stop)
{
    int64_t length;

    return take_number(part, 1, &snapshot->xmin, ret_stop) && *ret_stop == '-' &&
           take_number(part, 0, &length, ret_stop) &&
           !__builtin_add_overflow(snapshot->xmin, length, &snapshot->xmax) &&
           take_running(part, snapshot, ret_stop);
}

static bool take_place(struct part *part, struct feed_place *place)
{
    char stop;

    return take_number(part, 1, &place->order_xid, &stop) && stop == '-' &&
           take_number(part, 1, &place->product_id, &stop) && stop == '-' &&
           take_number(part, 1, &place->version, &stop) && stop == '\0';
}

static bool take_cursor(struct part *part, struct feed_cursor *cursor)
{
    int64_t form;
    char stop;

    if (!take_number(part, FORM, &form, &stop) || form != FORM || stop != '.' ||
        !take_number(part, 0, &cursor->server, &stop) || stop != '.' ||
        !take_snapshot(part, &cursor->seen, &stop)) {
        return false;
    }
    cursor->is_inside = stop == '.';
    if (!cursor->is_inside) {
        return stop == '\0';
    }
    return take_snapshot(part, &cursor->until, &stop) && stop == '.' &&
           take_place(part, &cursor->after);
}

bool feed_cursor_parse(const char *text, size_t len, struct feed_cursor *ret_cursor)
{
    struct part part = {text, text + len};
    struct feed_cursor cursor = {.server = 0};

    if (!take_cursor(&part, &cursor)) {
        feed_cursor_finish(&cursor);
        return false;
    }
    *ret_cursor = cursor;
    return true;
}

bool feed_snapshot_parse(const char *text, struct feed_snapshot *ret_snapshot)
{
    struct part part = {text, text + strlen(text)};
    struct feed_snapshot snapshot = {.xmin = 0};
    int64_t xid;
    char stop;
    bool is_whole = take_number(&part, 1, &snapshot.xmin, &stop) && stop == ':' &&
                    take_number(&part, 1, &snapshot.xmax, &stop) && stop == ':';

    stop = is_whole && part.at < part.end ? ',' : '\0';
    while (is_whole && stop == ',') {
        is_whole = snapshot.running_count < FEED_RUNNING_MAX &&
                   take_number(&part, snapshot.xmin, &xid, &stop);
        if (is_whole) {
            add_running(&snapshot, xid);
        }
    }
    if (!is_whole || stop != '\0') {
        feed_snapshot_finish(&snapshot);
        return false;
    }
    *ret_snapshot = snapshot;
    return true;
}

/* --- writing texts ---------------------------------------------------------------------------- */

static void add_snapshot(struct strbuf *out, const struct feed_snapshot *snapshot)
{
    int64_t last = snapshot->xmin;

    strbuf_addc(out, '.');
    strbuf_add_int(out, snapshot->xmin);
    strbuf_addc(out, '-');
    strbuf_add_int(out, snapshot->xmax - snapshot->xmin);
    for (size_t i = 0; i < snapshot->running_count; i++) {
        strbuf_addc(out, '-');
        strbuf_add_int(out, snapshot->running[i] - last);
        last = snapshot->running[i];
    }
}

void feed_cursor_add(struct strbuf *out, const struct feed_cursor *cursor)
{
    strbuf_add_int(out, FORM);
    strbuf_addc(out, '.');
    strbuf_add_int(out, cursor->server);
    add_snapshot(out, &cursor->seen);
    if (cursor->is_inside) {
        add_snapshot(out, &cursor->until);
        strbuf_addc(out, '.');
        strbuf_add_int(out, cursor->after.order_xid);
        strbuf_addc(out, '-');
        strbuf_add_int(out, cursor->after.product_id);
        strbuf_addc(out, '-');
        strbuf_add_int(out, cursor->after.version);
    }
}

/* --- ranges ----------------------------------------------------------------------------------- */

static bool sees(const struct feed_snapshot *snapshot, int64_t xid)
{
    size_t low = 0;
    size_t high = snapshot->running_count;

    if (xid >= snapshot->xmax) {
        return false;
    }
    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (snapshot->running[middle] < xid) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low == snapshot->running_count || snapshot->running[low] != xid;
}

static size_t add_range(struct feed_range *ranges, size_t count, int64_t first, int64_t last)
{
    if (first <= last) {
        ranges[count++] = (struct feed_range){first, last};
    }
    return count;
}

size_t feed_cursor_ranges(const struct feed_cursor *cursor, struct feed_range **ret_ranges)
{
    const struct feed_snapshot *seen = &cursor->seen;
    const struct feed_snapshot *until = &cursor->until;
    struct feed_range *ranges =
        fs_calloc(seen->running_count + until->running_count + 1, sizeof(*ranges));
    int64_t first = seen->xmax;
    size_t count = 0;

    for (size_t i = 0; i < seen->running_count; i++) {
        if (!cursor->is_inside || sees(until, seen->running[i])) {
            count = add_range(ranges, count, seen->running[i], seen->running[i]);
        }
    }
    for (size_t i = 0; cursor->is_inside && i < until->running_count; i++) {
        if (until->running[i] >= first) {
            count = add_range(ranges, count, first, until->running[i] - 1);
            first = until->running[i] + 1;
        }
    }
    count = add_range(ranges, count, first, cursor->is_inside ? until->xmax - 1 : INT64_MAX);
    *ret_ranges = ranges;
    return count;
}

bool feed_cursor_lacks(const struct feed_cursor *cursor, int64_t removed_xid)
{
    if (cursor->seen.xmin > removed_xid) {
        return false;
    }
    return !cursor->is_inside || cursor->until.xmin <= removed_xid ||
           cursor->after.order_xid <= removed_xid;
}
