#include "support.h"

#include "read-svc/feed_cursor.h"

#include "common/base/alloc.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Reads a copy of exactly its size, so that the sanitizer sees a look beyond the end. */
static bool read_exactly(const char *text, size_t len, struct feed_cursor *ret_cursor)
{
    char *copy = malloc(len > 0 ? len : 1);
    bool is_read;

    assert_non_null(copy);
    memcpy(copy, text, len);
    is_read = feed_cursor_parse(copy, len, ret_cursor);
    free(copy);
    return is_read;
}

/* In one array of its own, so that no comma seems to be missing. */
static const char longest[] =
    "1.7.9223372036854775806-1-0.9223372036854775807-0.9223372036854775807-9223372036854775807-"
    "9223372036854775807";

static void test_texts_are_read_and_written(void **state)
{
    static const char *const texts[] = {
        "1.0.1-0",
        "1.7712370158530221781.1277-0",
        "1.9223372036854775807.100-20-0-1-5-13",
        "1.7.100-20.110-30-0-4.105-7-3",
        longest,
    };

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(texts); i++) {
        struct strbuf again = STRBUF_EMPTY;
        struct feed_cursor cursor;

        check_row(read_exactly(texts[i], strlen(texts[i]), &cursor), "refused: %s", texts[i]);
        feed_cursor_add(&again, &cursor);
        check_row(strcmp(again.text, texts[i]) == 0, "%s became %s", texts[i], again.text);
        strbuf_finish(&again);
        feed_cursor_finish(&cursor);
    }
}

static void test_what_a_text_holds(void **state)
{
    struct feed_cursor cursor;

    (void)state;
    assert_true(feed_cursor_parse(BYTES("1.7.100-20-0-5-14.110-30.105-8-3"), &cursor));
    assert_int_equal(cursor.server, 7);
    assert_int_equal(cursor.seen.xmin, 100);
    assert_int_equal(cursor.seen.xmax, 120);
    assert_int_equal(cursor.seen.running_count, 3);
    assert_int_equal(cursor.seen.running[0], 100);
    assert_int_equal(cursor.seen.running[1], 105);
    assert_int_equal(cursor.seen.running[2], 119);
    assert_true(cursor.is_inside);
    assert_int_equal(cursor.until.xmin, 110);
    assert_int_equal(cursor.until.xmax, 140);
    assert_int_equal(cursor.until.running_count, 0);
    assert_int_equal(cursor.after.order_xid, 105);
    assert_int_equal(cursor.after.product_id, 8);
    assert_int_equal(cursor.after.version, 3);
    feed_cursor_finish(&cursor);
}

static void test_other_texts_are_refused(void **state)
{
    static const struct {
        const char *text;
        size_t len;
    } rows[] = {
        {BYTES("")},
        {BYTES("1")},
        {BYTES("1.")},
        {BYTES("1.7")},
        {BYTES("1.7.")},
        {BYTES("1.7.5")},
        {BYTES("1.7.5-")},
        {BYTES("2.7.5-0")}, /* another form */
        {BYTES("01.7.5-0")},
        {BYTES("1.07.5-0")},
        {BYTES("1.-7.5-0")},
        {BYTES("1.7.0-0")},
        {BYTES("1.7.05-0")},
        {BYTES("1.7.5-00")},
        {BYTES("1.7.5--0")},
        {BYTES("1.7.5-0-")},
        {BYTES("1.7.5-0.")},
        {BYTES("1.7.5-0 ")},
        {BYTES(" 1.7.5-0")},
        {BYTES("1.7.5-0\n")},
        {BYTES("1.7.5-0\0")},
        {BYTES("1.7.5-0\0a")},
        {BYTES("1.7.5:0")},
        {BYTES("1.7.5-0x")},
        {BYTES("1.7.5-0-0")},   /* at xmax */
        {BYTES("1.7.5-3-3")},   /* at xmax */
        {BYTES("1.7.5-3-1-0")}, /* twice */
        {BYTES("1.7.5-3-1-2")}, /* at xmax */
        {BYTES("1.7.9223372036854775807-1")},
        {BYTES("1.7.9223372036854775808-0")},
        {BYTES("1.7.5-9223372036854775807")},
        {BYTES("1.7.5-9-1-9223372036854775807")},
        {BYTES("1.7.5-0.6-0")},
        {BYTES("1.7.5-0.6-0.")},
        {BYTES("1.7.5-0.6-0.7-8")},
        {BYTES("1.7.5-0.6-0.7-8-")},
        {BYTES("1.7.5-0.6-0.0-8-9")},
        {BYTES("1.7.5-0.6-0.7-0-9")},
        {BYTES("1.7.5-0.6-0.7-8-0")},
        {BYTES("1.7.5-0.6-0.7-8-9-1")},
        {BYTES("1.7.5-0.6-0.7-8-9.")},
        {BYTES("1.7.5-0..7-8-9")},
        {BYTES("now")},
    };
    struct feed_cursor cursor;

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        check_row(!read_exactly(rows[i].text, rows[i].len, &cursor), "taken, row %zu: %s", i,
                  rows[i].text);
    }
}

static void test_as_many_running_as_fit(void **state)
{
    struct strbuf text = STRBUF_EMPTY;
    struct strbuf of_postgres = STRBUF_EMPTY;
    struct feed_snapshot snapshot;
    struct feed_cursor cursor;

    (void)state;
    strbuf_adds(&text, "1.7.100-5000-0");
    strbuf_adds(&of_postgres, "100:5100:100");
    for (int i = 1; i < FEED_RUNNING_MAX; i++) {
        strbuf_adds(&text, "-2");
        strbuf_addf(&of_postgres, ",%d", 100 + 2 * i);
    }
    assert_true(feed_cursor_parse(text.text, text.len, &cursor));
    assert_true(feed_snapshot_parse(of_postgres.text, &snapshot));
    assert_int_equal(cursor.seen.running_count, FEED_RUNNING_MAX);
    assert_int_equal(snapshot.running_count, FEED_RUNNING_MAX);
    assert_memory_equal(cursor.seen.running, snapshot.running,
                        FEED_RUNNING_MAX * sizeof(*snapshot.running));
    feed_cursor_finish(&cursor);
    feed_snapshot_finish(&snapshot);
    strbuf_adds(&text, "-2");
    strbuf_adds(&of_postgres, ",5000");
    assert_false(feed_cursor_parse(text.text, text.len, &cursor));
    assert_false(feed_snapshot_parse(of_postgres.text, &snapshot));
    strbuf_finish(&text);
    strbuf_finish(&of_postgres);
}

static void test_snapshots_of_postgres(void **state)
{
    static const char *const refused[] = {"",     "5",     "5:6",    "5:6:5,", "5:6:,5",
                                          "x:6:", "5:6:4", "5:6: 5", "0:6:"};
    struct feed_snapshot snapshot;

    (void)state;
    assert_true(feed_snapshot_parse("748:751:748,750", &snapshot));
    assert_int_equal(snapshot.xmin, 748);
    assert_int_equal(snapshot.xmax, 751);
    assert_int_equal(snapshot.running_count, 2);
    assert_int_equal(snapshot.running[1], 750);
    feed_snapshot_finish(&snapshot);
    assert_true(feed_snapshot_parse("748:748:", &snapshot));
    assert_int_equal(snapshot.running_count, 0);
    for (size_t i = 0; i < FS_ARRAY_LEN(refused); i++) {
        check_row(!feed_snapshot_parse(refused[i], &snapshot), "taken: '%s'", refused[i]);
    }
}

/* --- ranges ----------------------------------------------------------------------------------- */

static void check_ranges(const char *text, const char *expected)
{
    struct strbuf written = STRBUF_EMPTY;
    struct feed_range *ranges;
    struct feed_cursor cursor;
    size_t count;

    assert_true(feed_cursor_parse(text, strlen(text), &cursor));
    count = feed_cursor_ranges(&cursor, &ranges);
    for (size_t i = 0; i < count; i++) {
        strbuf_addf(&written, "%" PRId64 "-%" PRId64 " ", ranges[i].first, ranges[i].last);
    }
    check_row(strcmp(strbuf_text(&written), expected) == 0, "%s: '%s'", text,
              strbuf_text(&written));
    strbuf_finish(&written);
    free(ranges);
    feed_cursor_finish(&cursor);
}

static void test_ranges(void **state)
{
    (void)state;
    /* no span: all that is not seen */
    check_ranges("1.7.100-0", "100-9223372036854775807 ");
    check_ranges("1.7.100-9-0-3", "100-100 103-103 109-9223372036854775807 ");
    /* a span: what the later one sees */
    check_ranges("1.7.100-0.105-0.100-1-1", "100-104 ");
    check_ranges("1.7.100-0.100-0.100-1-1", "");
    check_ranges("1.7.100-9-0-3.103-20-0.100-1-1", "100-100 109-122 "); /* 103 is still running */
    check_ranges("1.7.100-9-0-3.110-5-0-4.100-1-1", "100-100 103-103 109-109 111-113 ");
    check_ranges("1.7.100-2-0.110-5-0-1-1.100-1-1", "100-100 102-109 113-114 ");
    check_ranges("1.7.100-10-0.109-6-0-1.100-1-1", "100-100 111-114 ");
}

/* The ranges are what the snapshots say, for each transaction. */
static bool sees(const struct feed_snapshot *snapshot, int64_t xid)
{
    for (size_t i = 0; i < snapshot->running_count; i++) {
        if (snapshot->running[i] == xid) {
            return false;
        }
    }
    return xid < snapshot->xmax;
}

static struct feed_snapshot make_snapshot(int64_t from, int64_t xmax, unsigned int bits)
{
    struct feed_snapshot snapshot = {.xmin = xmax, .xmax = xmax};

    snapshot.running = fs_calloc(16, sizeof(*snapshot.running));
    for (int64_t xid = from; xid < xmax; xid++) {
        if ((bits >> (xid - from) & 1U) != 0) {
            snapshot.xmin = snapshot.running_count == 0 ? xid : snapshot.xmin;
            snapshot.running[snapshot.running_count++] = xid;
        }
    }
    return snapshot;
}

static bool is_in(const struct feed_range *ranges, size_t count, int64_t xid)
{
    for (size_t i = 0; i < count; i++) {
        if (xid >= ranges[i].first && xid <= ranges[i].last) {
            return true;
        }
    }
    return false;
}

static void test_ranges_of_all_small_snapshots(void **state)
{
    (void)state;
    for (unsigned int bits = 0; bits < 1U << 10; bits++) {
        struct feed_cursor cursor = {.is_inside = true};
        struct feed_range *ranges;
        size_t count;

        cursor.seen = make_snapshot(10, 14, bits & 0xFU);
        /* of those that were running the later snapshot knows a part, and more */
        cursor.until = make_snapshot(10, 20, (bits & bits >> 2 & 0xFU) | (bits >> 4 & 0x3FU) << 4);
        count = feed_cursor_ranges(&cursor, &ranges);
        for (int64_t xid = 1; xid < 30; xid++) {
            bool expected = sees(&cursor.until, xid) && !sees(&cursor.seen, xid);

            check_row(is_in(ranges, count, xid) == expected, "bits %x, xid %" PRId64, bits, xid);
        }
        free(ranges);
        feed_cursor_finish(&cursor);
    }
}

static void test_what_a_cursor_lacks(void **state)
{
    static const struct {
        const char *text;
        int64_t removed_xid;
        bool lacks;
    } rows[] = {
        {"1.7.100-5", 0, false},
        {"1.7.100-5", 99, false},
        {"1.7.100-5", 100, true},
        {"1.7.100-5-3", 103, true},
        {"1.7.10-0.200-0.100-1-1", 9, false},
        {"1.7.10-0.200-0.100-1-1", 99, false}, /* read up to there */
        {"1.7.10-0.200-0.100-1-1", 100, true}, /* perhaps a part of it is not */
        {"1.7.10-0.100-0.250-1-1", 100, true}, /* what was running then was not read */
    };

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        struct feed_cursor cursor;

        assert_true(feed_cursor_parse(rows[i].text, strlen(rows[i].text), &cursor));
        check_row(feed_cursor_lacks(&cursor, rows[i].removed_xid) == rows[i].lacks, "row %zu", i);
        feed_cursor_finish(&cursor);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts_are_read_and_written),
        cmocka_unit_test(test_what_a_text_holds),
        cmocka_unit_test(test_other_texts_are_refused),
        cmocka_unit_test(test_as_many_running_as_fit),
        cmocka_unit_test(test_snapshots_of_postgres),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_ranges_of_all_small_snapshots),
        cmocka_unit_test(test_what_a_cursor_lacks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
