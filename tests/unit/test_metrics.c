#include "support.h"

#include "common/base/alloc.h"
#include "common/base/metrics.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The output up to now; the caller frees it. Families of other tests are in it too. */
static struct strbuf rendered(void)
{
    struct strbuf text = STRBUF_EMPTY;

    metrics_render(&text);
    return text;
}

static void check_rendered(const char *expected)
{
    struct strbuf text = rendered();

    assert_contains(text.text, expected);
    strbuf_finish(&text);
}

static void test_counter(void **state)
{
    static struct metric_family family =
        METRIC_COUNTER("a_total", "What it counts.", "store", "kind");
    struct metric *one = metric_get(&family, "redis", "timeout");

    (void)state;
    assert_int_equal(metric_count(one), 0);
    metric_add(one, 1);
    metric_add(one, 41);
    assert_int_equal(metric_count(one), 42);
    metric_add(metric_get(&family, "redis", "broken"), 7);
    check_rendered("# HELP a_total What it counts.\n"
                   "# TYPE a_total counter\n"
                   "a_total{store=\"redis\",kind=\"timeout\"} 42\n"
                   "a_total{store=\"redis\",kind=\"broken\"} 7\n");
}

static void test_same_labels_are_the_same_series(void **state)
{
    static struct metric_family family = METRIC_COUNTER("b_total", "B.", "x", "y");
    char x[] = "one";
    struct metric *metric = metric_get(&family, x, "two");

    (void)state;
    x[0] = 'X'; /* values are copied */
    assert_ptr_equal(metric_get(&family, "one", "two"), metric);
    assert_ptr_not_equal(metric_get(&family, "two", "one"), metric);
    assert_ptr_not_equal(metric_get(&family, "onet", "wo"), metric);
    check_rendered("b_total{x=\"one\",y=\"two\"} 0\n");
}

static void test_rows_are_the_series_that_their_enum_names(void **state)
{
    static struct metric_family opened = METRIC_COUNTER("rows_total", "R.", "store", "kind");
    static struct metric_family plain = METRIC_GAUGE("rows_plain", "R.", METRIC_NO_LABELS);
    enum { TIMEOUT, NOTHING, BROKEN, PLAIN, SERIES };
    static const struct metric_row rows[SERIES] = {
        [TIMEOUT] = {&opened, {NULL, "timeout"}},
        [BROKEN] = {&opened, {NULL, "broken"}},
        [PLAIN] = {&plain, {NULL}},
    };
    struct metric *series[SERIES];
    char owner[] = "redis";

    (void)state;
    metric_get_rows(rows, SERIES, owner, series);
    owner[0] = 'X'; /* it is copied */
    metric_add(series[BROKEN], 3);
    assert_null(series[NOTHING]);
    assert_ptr_equal(series[TIMEOUT], metric_get(&opened, "redis", "timeout"));
    assert_ptr_equal(series[PLAIN], metric_get(&plain));
    check_rendered("rows_total{store=\"redis\",kind=\"timeout\"} 0\n"
                   "rows_total{store=\"redis\",kind=\"broken\"} 3\n");
    metric_get_rows(rows, SERIES, "postgres", series);
    assert_ptr_equal(series[BROKEN], metric_get(&opened, "postgres", "broken"));
}

static void test_gauge(void **state)
{
    static struct metric_family family = METRIC_GAUGE("c", "C.", METRIC_NO_LABELS);
    static const struct {
        double value;
        const char *line;
    } rows[] = {
        {0, "\nc 0\n"},
        {1, "\nc 1\n"},
        {-3, "\nc -3\n"},
        {0.25, "\nc 0.25\n"},
        {-0.5, "\nc -0.5\n"},
        {1e-6, "\nc 1e-06\n"},
        {1048576, "\nc 1048576\n"},
    };
    struct metric *metric = metric_get(&family);

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        metric_set(metric, rows[i].value);
        check_rendered(rows[i].line);
    }
    check_rendered("# HELP c C.\n# TYPE c gauge\nc ");
}

/* The value as a reader of the output gets it. */
static double value_of(const char *series)
{
    struct strbuf text = rendered();
    const char *line = strstr(text.text, series);
    double value = line == NULL ? -1 : strtod(line + strlen(series), NULL);

    strbuf_finish(&text);
    return value;
}

static bool are_close(double a, double b, double tolerance)
{
    return a - b <= tolerance && b - a <= tolerance;
}

static void test_points_of_time_keep_their_fraction(void **state)
{
    static struct metric_family family = METRIC_GAUGE("c_seconds", "C.", METRIC_NO_LABELS);

    (void)state;
    metric_set(metric_get(&family), 1785000007.25); /* as process_start_time_seconds has it */
    assert_true(are_close(value_of("\nc_seconds "), 1785000007.25, 1e-3));
}

static void test_gauge_without_a_value_is_zero(void **state)
{
    static struct metric_family family = METRIC_GAUGE("d", "D.", "x");

    (void)state;
    metric_get(&family, "y");
    check_rendered("d{x=\"y\"} 0\n");
}

static void test_counter_that_is_read_elsewhere(void **state)
{
    static struct metric_family family = METRIC_COUNTER("e_total", "E.", METRIC_NO_LABELS);

    (void)state;
    metric_set(metric_get(&family), 12345678901.0);
    check_rendered("# TYPE e_total counter\ne_total 12345678901\n");
}

static void test_labels_are_escaped(void **state)
{
    static struct metric_family family = METRIC_COUNTER("f_total", "F.", "x");

    (void)state;
    metric_add(metric_get(&family, "a\"b\\c\nd\xC3\xA9{},="), 1);
    check_rendered("f_total{x=\"a\\\"b\\\\c\\nd\xC3\xA9{},=\"} 1\n");
    metric_add(metric_get(&family, ""), 2);
    check_rendered("f_total{x=\"\"} 2\n");
}

static void test_help_is_escaped(void **state)
{
    static struct metric_family family =
        METRIC_GAUGE("g", "A \"quote\", a \\ and\na line.", METRIC_NO_LABELS);

    (void)state;
    metric_get(&family);
    check_rendered("# HELP g A \"quote\", a \\\\ and\\na line.\n# TYPE g gauge\n");
}

static const double bounds[] = {0.5, 1, 10, 0};

static void test_histogram_is_cumulative(void **state)
{
    static struct metric_family family = METRIC_HISTOGRAM("h_seconds", "H.", bounds, "tier");
    static const double values[] = {0, 0.25, 0.5, 0.75, 1, 1.5, 10, 10.5, 1000};
    struct metric *metric = metric_get(&family, "db");

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(values); i++) {
        metric_observe(metric, values[i]);
    }
    check_rendered("# HELP h_seconds H.\n"
                   "# TYPE h_seconds histogram\n"
                   "h_seconds_bucket{tier=\"db\",le=\"0.5\"} 3\n"
                   "h_seconds_bucket{tier=\"db\",le=\"1\"} 5\n"
                   "h_seconds_bucket{tier=\"db\",le=\"10\"} 7\n"
                   "h_seconds_bucket{tier=\"db\",le=\"+Inf\"} 9\n"
                   "h_seconds_sum{tier=\"db\"} 1024.5\n"
                   "h_seconds_count{tier=\"db\"} 9\n");
}

static void test_histogram_without_labels_and_values(void **state)
{
    static struct metric_family family =
        METRIC_HISTOGRAM("i_seconds", "I.", bounds, METRIC_NO_LABELS);

    (void)state;
    metric_get(&family);
    check_rendered("i_seconds_bucket{le=\"0.5\"} 0\n"
                   "i_seconds_bucket{le=\"1\"} 0\n"
                   "i_seconds_bucket{le=\"10\"} 0\n"
                   "i_seconds_bucket{le=\"+Inf\"} 0\n"
                   "i_seconds_sum 0\n"
                   "i_seconds_count 0\n");
}

static void test_shared_buckets(void **state)
{
    static struct metric_family seconds =
        METRIC_HISTOGRAM("j_seconds", "J.", metric_buckets_seconds, METRIC_NO_LABELS);
    static struct metric_family size =
        METRIC_HISTOGRAM("j_size", "J.", metric_buckets_size, METRIC_NO_LABELS);

    (void)state;
    metric_observe(metric_get(&seconds), 0.0001);
    metric_observe(metric_get(&seconds), 11);
    metric_observe(metric_get(&size), 1024);
    metric_observe(metric_get(&size), 1025);
    check_rendered("j_seconds_bucket{le=\"0.0001\"} 1\nj_seconds_bucket{le=\"0.00025\"} 1\n");
    check_rendered(
        "j_seconds_bucket{le=\"10\"} 1\nj_seconds_bucket{le=\"+Inf\"} 2\nj_seconds_sum 11.0001\n");
    check_rendered("j_size_bucket{le=\"512\"} 0\nj_size_bucket{le=\"1024\"} 1\n"
                   "j_size_bucket{le=\"+Inf\"} 2\n");
    for (size_t i = 1; metric_buckets_seconds[i] > 0; i++) {
        assert_true(metric_buckets_seconds[i] > metric_buckets_seconds[i - 1]);
    }
    for (size_t i = 1; metric_buckets_size[i] > 0; i++) {
        assert_true(metric_buckets_size[i] > metric_buckets_size[i - 1]);
    }
}

static void test_families_are_in_order_and_appear_once_used(void **state)
{
    static struct metric_family late = METRIC_COUNTER("zz_total", "Z.", METRIC_NO_LABELS);
    static struct metric_family early = METRIC_COUNTER("yy_total", "Y.", "x");
    static struct metric_family unused = METRIC_COUNTER("never_total", "N.", METRIC_NO_LABELS);
    struct strbuf text;
    const char *at;

    (void)state;
    assert_false(unused.is_registered);
    metric_get(&late);
    metric_get(&early, "2");
    metric_get(&early, "1");
    text = rendered();
    assert_lacks(text.text, "never_total");
    at = strstr(
        text.text,
        "# HELP yy_total Y.\n# TYPE yy_total counter\nyy_total{x=\"2\"} 0\nyy_total{x=\"1\"} 0\n");
    assert_non_null(at);
    assert_non_null(strstr(at, "# HELP zz_total"));
    assert_null(strstr(at + 1, "# HELP yy_total"));
    assert_int_equal(text.text[text.len - 1], '\n');
    strbuf_finish(&text);
}

/* --- hooks ------------------------------------------------------------------------------------ */

static void set_from_hook(void *arg)
{
    static struct metric_family family = METRIC_GAUGE("hooked", "H.", "x");
    int *runs = arg;

    metric_set(metric_get(&family, "y"), ++*runs); /* metric_get takes the registry's lock */
}

static void test_hooks_run_before_each_output(void **state)
{
    int runs = 10;
    int other = 0;

    (void)state;
    metrics_add_hook(set_from_hook, &runs);
    check_rendered("hooked{x=\"y\"} 11\n");
    check_rendered("hooked{x=\"y\"} 12\n");
    metrics_remove_hook(set_from_hook, &other); /* another one's */
    check_rendered("hooked{x=\"y\"} 13\n");
    metrics_remove_hook(set_from_hook, &runs);
    check_rendered("hooked{x=\"y\"} 13\n");
    assert_int_equal(runs, 13);
}

struct slow_hook {
    atomic_bool is_running;
    atomic_bool is_over;
};

static void run_slowly(void *arg)
{
    struct slow_hook *hook = arg;

    atomic_store(&hook->is_running, true);
    usleep(20000);
    atomic_store(&hook->is_over, true);
}

static void *render(void *arg)
{
    struct strbuf text = rendered();

    strbuf_finish(&text);
    return arg;
}

/* Its data may be gone then. */
static void test_a_hook_that_was_removed_does_not_run(void **state)
{
    struct slow_hook hook = {.is_running = false};
    pthread_t renderer;

    (void)state;
    metrics_add_hook(run_slowly, &hook);
    pthread_create(&renderer, NULL, render, NULL);
    wait_until(atomic_load(&hook.is_running));
    metrics_remove_hook(run_slowly, &hook);
    assert_true(atomic_load(&hook.is_over));
    pthread_join(renderer, NULL);
}

static void test_hooks_make_room_for_others(void **state)
{
    int runs = 0;

    (void)state;
    for (int i = 0; i < 1000; i++) {
        metrics_add_hook(set_from_hook, &runs);
        metrics_remove_hook(set_from_hook, &runs);
    }
    check_rendered("\n");
    assert_int_equal(runs, 0);
}

/* --- many threads ----------------------------------------------------------------------------- */

#define THREADS 8
#define ROUNDS 5000

static struct metric_family shared_counter = METRIC_COUNTER("shared_total", "S.", "x");
static struct metric_family shared_histogram =
    METRIC_HISTOGRAM("shared_seconds", "S.", bounds, METRIC_NO_LABELS);

static void *use_metrics(void *arg)
{
    static const char *const labels[] = {"0", "1", "2"};

    (void)arg;
    for (int i = 0; i < ROUNDS; i++) {
        metric_add(metric_get(&shared_counter, labels[i % 3]), 1);
        metric_observe(metric_get(&shared_histogram), i % 2 == 0 ? 0.25 : 2);
        if (i % 1000 == 0) {
            struct strbuf text = rendered();

            strbuf_finish(&text);
        }
    }
    return NULL;
}

static void test_nothing_is_lost_between_threads(void **state)
{
    pthread_t threads[THREADS];
    char line[128];
    uint64_t sum = 0;

    (void)state;
    for (size_t i = 0; i < THREADS; i++) {
        pthread_create(&threads[i], NULL, use_metrics, NULL);
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    sum += metric_count(metric_get(&shared_counter, "0"));
    sum += metric_count(metric_get(&shared_counter, "1"));
    sum += metric_count(metric_get(&shared_counter, "2"));
    assert_int_equal(sum, THREADS * ROUNDS);
    snprintf(line, sizeof(line), "shared_seconds_bucket{le=\"0.5\"} %d\n", THREADS * ROUNDS / 2);
    check_rendered(line);
    snprintf(line, sizeof(line), "shared_seconds_sum %d\nshared_seconds_count %d\n",
             THREADS * ROUNDS / 2 * 9 / 4, THREADS * ROUNDS);
    check_rendered(line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counter),
        cmocka_unit_test(test_same_labels_are_the_same_series),
        cmocka_unit_test(test_rows_are_the_series_that_their_enum_names),
        cmocka_unit_test(test_gauge),
        cmocka_unit_test(test_points_of_time_keep_their_fraction),
        cmocka_unit_test(test_gauge_without_a_value_is_zero),
        cmocka_unit_test(test_counter_that_is_read_elsewhere),
        cmocka_unit_test(test_labels_are_escaped),
        cmocka_unit_test(test_help_is_escaped),
        cmocka_unit_test(test_histogram_is_cumulative),
        cmocka_unit_test(test_histogram_without_labels_and_values),
        cmocka_unit_test(test_shared_buckets),
        cmocka_unit_test(test_families_are_in_order_and_appear_once_used),
        cmocka_unit_test(test_hooks_run_before_each_output),
        cmocka_unit_test(test_a_hook_that_was_removed_does_not_run),
        cmocka_unit_test(test_hooks_make_room_for_others),
        cmocka_unit_test(test_nothing_is_lost_between_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
