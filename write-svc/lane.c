#include "write-svc/lane.h"

#include "write-svc/batch.h"
#include "write-svc/held.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/gather.h"
#include "common/base/log.h"
#include "common/base/metrics.h"
#include "common/base/outcome.h"
#include "common/base/trace.h"

#include <assert.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* How long a lane asks how a batch ended whose answer was lost. Requests wait meanwhile, so it is
 * not long; but a restart of PgBouncer, and a failover that is quick, are over by then. */
#define FIND_OUT_MS 3000
#define FIND_OUT_EVERY_MS 50

/* A batch is begun again when it was certainly not made, as often as this. */
#define TRIES_MAX 5

/* Items of one batch, so that a few large commands do not make it take a request's whole time. */
#define BATCH_ITEMS_MAX 4000

static struct metric_family outcomes_counter = METRIC_COUNTER(
    "faststock_writes_total", "Writes that were asked for, by what came of them.", "outcome");
static struct metric_family replays_counter =
    METRIC_COUNTER("faststock_write_replays_total",
                   "Writes that were answered as before, because their Idempotency-Key was known.",
                   METRIC_NO_LABELS);
static struct metric_family sizes_histogram =
    METRIC_HISTOGRAM("faststock_write_batch_commands", "Writes in one transaction.",
                     metric_buckets_size, METRIC_NO_LABELS);
static struct metric_family waits_histogram = METRIC_HISTOGRAM(
    "faststock_write_wait_seconds", "How long a write waited for its batch to begin.",
    metric_buckets_seconds, METRIC_NO_LABELS);
static struct metric_family lookups_counter = METRIC_COUNTER(
    "faststock_write_lookups_total",
    "Transactions whose answer was lost, by what was found out about them.", "result");

enum series { REPLAYS, SIZES, WAITS, LOOKUP_MADE, LOOKUP_NOT_MADE, LOOKUP_UNKNOWN, SERIES };

static const struct metric_row series_rows[SERIES] = {
    [REPLAYS] = {&replays_counter, {NULL}},
    [SIZES] = {&sizes_histogram, {NULL}},
    [WAITS] = {&waits_histogram, {NULL}},
    [LOOKUP_MADE] = {&lookups_counter, {"made"}},
    [LOOKUP_NOT_MADE] = {&lookups_counter, {"not_made"}},
    [LOOKUP_UNKNOWN] = {&lookups_counter, {"unknown"}},
};

static const struct trace_kind lane_kind = {.name = "lane", .detail_key = "faststock.outcome"};
static const struct trace_kind queue_kind = {.name = "wait for the batch before"};
static const struct trace_kind batch_kind = {.name = "batch commit",
                                             .count_key = "faststock.writes"};

/* A command on its way. Its request owns it, but for one that was abandoned in the queue. */
struct job {
    struct gather_item item;
    const struct write_command *command; /* the request's; not looked at once abandoned */
    int64_t arrived_us;
    int64_t deadline_us;
    bool is_abandoned;          /* guarded by the lane's lock */
    bool is_guest;              /* its own thread makes the batch, so nothing waits for `done` */
    struct trace_record *trace; /* of a request that is traced: gets the spans of the batch; NULL */
    int64_t begun_us;           /* when its batch was taken up */
    struct outcome done;
    struct write_result result; /* once it is done */
};

struct lane {
    struct lane_options options;
    pthread_mutex_t lock; /* of the gather */
    struct gather *gather;
    struct metric *series[SERIES];
    struct metric *outcomes[WRITE_OUTCOMES];
    /* the rest belongs to the thread that makes the batch: the worker, or a guest */
    int64_t id;     /* of the row in write_lanes; 0: none yet */
    int64_t number; /* of the last batch */
    struct held held;
    struct trace_record trace; /* of a batch with requests that are traced */
};

static bool drop_abandoned(void *context, struct gather_item *item);
static void work(void *context, struct gather_item *const *items, size_t count);

struct lane *lane_create(const struct lane_options *options)
{
    struct lane *lane = fs_calloc(1, sizeof(*lane));
    struct gather_options gather = {.workers = 1,
                                    .batch_max = options->batch_max,
                                    .waiting_max = options->waiting_max,
                                    .context = lane,
                                    .lock = &lane->lock,
                                    .drop = drop_abandoned,
                                    .work = work};

    lane->options = *options;
    pthread_mutex_init(&lane->lock, NULL);
    metric_get_rows(series_rows, SERIES, NULL, lane->series);
    for (enum write_outcome outcome = 0; outcome < WRITE_OUTCOMES; outcome++) {
        lane->outcomes[outcome] = metric_get(&outcomes_counter, write_outcome_name(outcome));
    }
    lane->gather = gather_create(&gather);
    return lane;
}

void lane_destroy(struct lane *lane)
{
    if (lane == NULL) {
        return;
    }
    gather_destroy(lane->gather);
    pthread_mutex_destroy(&lane->lock);
    free(lane);
}

/* --- on the request's thread ------------------------------------------------------------------ */

/* An idle lane: makes a batch of this one job on this thread. False when the lane is busy. */
static bool work_alone(struct lane *lane, struct job *job)
{
    struct gather_item *item = &job->item;
    bool is_idle;

    pthread_mutex_lock(&lane->lock);
    is_idle = gather_enter(lane->gather);
    job->is_guest = is_idle;
    pthread_mutex_unlock(&lane->lock);
    if (is_idle) {
        work(lane, &item, 1);
        pthread_mutex_lock(&lane->lock);
        gather_leave(lane->gather);
        pthread_mutex_unlock(&lane->lock);
    }
    return is_idle;
}

static bool add(struct lane *lane, struct job *job)
{
    bool is_added;

    pthread_mutex_lock(&lane->lock);
    is_added = gather_add(lane->gather, &job->item);
    pthread_mutex_unlock(&lane->lock);
    return is_added;
}

/* Gives the job to the queue, which frees it; false when the lane's worker has it already. */
static bool abandon(struct lane *lane, struct job *job)
{
    bool is_abandoned;

    pthread_mutex_lock(&lane->lock);
    is_abandoned = gather_is_waiting(&job->item);
    job->is_abandoned = is_abandoned;
    pthread_mutex_unlock(&lane->lock);
    return is_abandoned;
}

static struct write_result bare_result(enum write_outcome outcome)
{
    return (struct write_result){.outcome = outcome, .text = fs_strdup("")};
}

static struct job *new_job(const struct write_command *command, int64_t deadline_us)
{
    struct job *job = fs_calloc(1, sizeof(*job));

    job->command = command;
    job->arrived_us = clock_mono_us();
    job->deadline_us = deadline_us;
    outcome_init(&job->done);
    if (trace_is_recording()) {
        job->trace = fs_calloc(1, sizeof(*job->trace));
        trace_record_init(job->trace);
    }
    return job;
}

static void free_job(struct job *job)
{
    free(job->trace);
    free(job);
}

/* Takes over the result of a job that is done, and frees it. A guest's spans are recorded already.
 */
static void take_result(struct job *job, struct write_result *ret_result)
{
    *ret_result = job->result;
    if (job->trace != NULL && !job->is_guest) {
        trace_add(&queue_kind, job->arrived_us, job->begun_us);
        trace_adopt(job->trace);
    }
    free_job(job);
}

void lane_run(struct lane *lane, const struct write_command *command, int64_t deadline_us,
              struct write_result *ret_result)
{
    int span = trace_begin(&lane_kind, NULL, NULL);
    struct job *job = new_job(command, deadline_us);

    if (work_alone(lane, job)) {
        take_result(job, ret_result);
    } else if (!add(lane, job)) {
        *ret_result = bare_result(WRITE_LATE);
        free_job(job);
    } else if (!outcome_wait(&job->done, deadline_us) && abandon(lane, job)) {
        *ret_result = bare_result(WRITE_LATE);
    } else {
        outcome_wait(&job->done, INT64_MAX); /* its batch has begun */
        take_result(job, ret_result);
    }
    trace_set_detail(span, write_outcome_name(ret_result->outcome));
    trace_end(span, STATUS_OK);
    metric_add(lane->outcomes[ret_result->outcome], 1);
    if (ret_result->is_replayed) {
        metric_add(lane->series[REPLAYS], 1);
    }
}

/* --- on the lane's thread, or a guest's ------------------------------------------------------- */

static bool drop_abandoned(void *context, struct gather_item *item)
{
    struct job *job = FS_CONTAINER_OF(item, struct job, item);

    (void)context;
    if (!job->is_abandoned) {
        return false;
    }
    free_job(job);
    return true;
}

static void settle(struct job *job, struct write_result result)
{
    job->result = result;
    if (!job->is_guest) {
        if (job->trace != NULL) {
            trace_copy(job->trace);
        }
        outcome_set(&job->done);
    }
}

static void settle_all(struct job **jobs, size_t count, enum write_outcome outcome)
{
    for (size_t i = 0; i < count; i++) {
        settle(jobs[i], bare_result(outcome));
    }
}

/* Settles those whose deadline has passed, and moves the others together; returns how many. */
static size_t settle_late(struct job **jobs, size_t count)
{
    int64_t now_us = clock_mono_us();
    size_t left = 0;

    for (size_t i = 0; i < count; i++) {
        if (jobs[i]->deadline_us <= now_us) {
            settle(jobs[i], bare_result(WRITE_LATE));
        } else {
            jobs[left++] = jobs[i];
        }
    }
    return left;
}

/* How an attempt to make a batch ended. But for ATTEMPT_SETTLED nothing was changed. */
enum attempt {
    ATTEMPT_SETTLED, /* each job has its result */
    ATTEMPT_AGAIN,   /* it may be made again at once */
    ATTEMPT_LOCKED,
    ATTEMPT_REFUSED, /* one of the jobs, or all, cannot be done: `refusal` */
    ATTEMPT_UNAVAILABLE
};

/* The row of the lane, made when it is missing. */
static enum transaction_end find_row(struct lane *lane, int64_t deadline_us)
{
    static const struct pg_statement statement = {
        .name = "make_lane", .sql = "INSERT INTO write_lanes DEFAULT VALUES RETURNING id"};
    struct pg_result *rows = NULL;
    struct pg_error error;
    enum transaction_end end;

    if (lane->id != 0) {
        return TRANSACTION_COMMITTED;
    }
    end = transaction_run(lane->options.transactions, &statement, NULL, deadline_us, &rows, &error);
    if (end == TRANSACTION_COMMITTED) {
        lane->id = pg_int(rows, 0, 0);
        lane->number = 0;
        pg_result_free(rows);
    }
    /* a row that was made and is not known is no harm */
    return end == TRANSACTION_UNKNOWN ? TRANSACTION_UNAVAILABLE : end;
}

/* The batch is committed, and these rows tell it: publishes, then lets the requests go. */
static void finish_batch(struct lane *lane, struct job **jobs, size_t count,
                         const struct pg_result *rows, const struct generation *generation)
{
    struct write_result *results = fs_calloc(count, sizeof(*results));

    batch_read_results(rows, results, count);
    batch_publish(rows, lane->options.publisher, generation);
    for (size_t i = 0; i < count; i++) {
        held_note(&lane->held, jobs[i]->command, results[i].outcome == WRITE_LOCKED);
        settle(jobs[i], results[i]);
    }
    free(results);
}

/* The connection broke, or no answer came in time: how did the last batch end? */
static enum attempt find_out(struct lane *lane, struct job **jobs, size_t count,
                             const struct generation *generation)
{
    int64_t until_us = clock_after_ms(FIND_OUT_MS);
    struct pg_params params = PG_PARAMS_EMPTY;
    enum batch_end end = BATCH_LOST;
    bool is_told = false;

    pg_params_add_int(&params, lane->id);
    pg_params_add_int(&params, lane->number);
    while (!is_told && clock_left_ms(until_us) > 0) {
        struct timespec pause = {.tv_nsec = FIND_OUT_EVERY_MS * 1000000L};
        struct pg_result *rows = NULL;
        struct pg_error error;

        is_told = transaction_run(lane->options.transactions, &batch_end_statement,
                                  pg_params_values(&params), until_us, &rows,
                                  &error) == TRANSACTION_COMMITTED;
        if (is_told) {
            end = batch_read_end(rows);
        } else {
            nanosleep(&pause, NULL);
        }
        if (is_told && end == BATCH_MADE) {
            finish_batch(lane, jobs, count, rows, generation);
        }
        pg_result_free(rows);
    }
    pg_params_finish(&params);
    switch (end) {
    case BATCH_MADE:
        metric_add(lane->series[LOOKUP_MADE], 1);
        return ATTEMPT_SETTLED;
    case BATCH_NOT_MADE:
        metric_add(lane->series[LOOKUP_NOT_MADE], 1);
        return ATTEMPT_AGAIN;
    case BATCH_LOST:
        break;
    }
    metric_add(lane->series[LOOKUP_UNKNOWN], 1);
    log_warn(log_msg("nobody knows how a transaction ended"), log_int("writes", (int64_t)count));
    lane->id = 0; /* a new row, because this one may be of another history */
    settle_all(jobs, count, WRITE_UNKNOWN);
    return ATTEMPT_SETTLED;
}

/* A lone change; committed with no rows: it was not applied, and nothing was changed. */
static enum transaction_end run_lone_change(struct lane *lane, const struct job *job,
                                            struct pg_result **ret_rows, struct pg_error *error)
{
    struct pg_params params = PG_PARAMS_EMPTY;
    enum transaction_end end;

    batch_change_params(&params, lane->id, ++lane->number, job->command);
    end = transaction_run(lane->options.transactions, &batch_change_statement,
                          pg_params_values(&params), job->deadline_us, ret_rows, error);
    pg_params_finish(&params);
    return end;
}

static enum transaction_end run_commands(struct lane *lane,
                                         const struct write_command *const *commands, size_t count,
                                         bool waits, int64_t deadline_us,
                                         struct pg_result **ret_rows, struct pg_error *error)
{
    struct pg_params params = PG_PARAMS_EMPTY;
    enum transaction_end end;

    batch_params(&params, lane->id, ++lane->number, waits, commands, count);
    end = transaction_run(lane->options.transactions, &batch_statement, pg_params_values(&params),
                          deadline_us, ret_rows, error);
    pg_params_finish(&params);
    return end;
}

static enum transaction_end run_batch(struct lane *lane, struct job **jobs, size_t count,
                                      bool waits, struct pg_result **ret_rows,
                                      struct pg_error *error)
{
    const struct write_command **commands = fs_calloc(count, sizeof(struct write_command *));
    int64_t deadline_us = 0;
    enum transaction_end end = TRANSACTION_COMMITTED;
    bool is_done = false;

    for (size_t i = 0; i < count; i++) {
        commands[i] = jobs[i]->command;
        deadline_us = jobs[i]->deadline_us > deadline_us ? jobs[i]->deadline_us : deadline_us;
    }
    if (waits && batch_is_lone_change(commands, count)) {
        end = run_lone_change(lane, jobs[0], ret_rows, error);
        is_done = end != TRANSACTION_COMMITTED || pg_rows(*ret_rows) > 0;
        if (!is_done) {
            pg_result_free(*ret_rows);
        }
    }
    if (!is_done) {
        end = run_commands(lane, commands, count, waits, deadline_us, ret_rows, error);
    }
    free(commands);
    return end;
}

/* The SQLSTATE by which write_batch says that the lane's row is not there, or ahead. */
static bool is_lane_gone(const struct pg_error *error)
{
    return strcmp(error->sqlstate, "FS001") == 0;
}

/* `refusal` is set on ATTEMPT_REFUSED. */
static enum attempt attempt_untraced(struct lane *lane, struct job **jobs, size_t count, bool waits,
                                     enum write_outcome *refusal)
{
    struct generation generation;
    struct pg_result *rows = NULL;
    struct pg_error error = {.failure = PG_FAILURE_PASSING};
    enum transaction_end end = find_row(lane, jobs[0]->deadline_us);

    if (end == TRANSACTION_COMMITTED) {
        publisher_begin(lane->options.publisher, jobs[0]->deadline_us, &generation);
        metric_observe(lane->series[SIZES], (double)count);
        end = run_batch(lane, jobs, count, waits, &rows, &error);
    }
    switch (end) {
    case TRANSACTION_COMMITTED:
        finish_batch(lane, jobs, count, rows, &generation);
        pg_result_free(rows);
        return ATTEMPT_SETTLED;
    case TRANSACTION_UNKNOWN:
        return find_out(lane, jobs, count, &generation);
    case TRANSACTION_UNAVAILABLE:
        if (is_lane_gone(&error)) {
            lane->id = 0;
            return ATTEMPT_AGAIN;
        }
        return ATTEMPT_UNAVAILABLE;
    case TRANSACTION_LOCKED:
        return ATTEMPT_LOCKED;
    case TRANSACTION_UNSTORABLE:
        *refusal = WRITE_UNSTORABLE;
        return ATTEMPT_REFUSED;
    case TRANSACTION_REFUSED:
        break;
    }
    *refusal = WRITE_REFUSED;
    return ATTEMPT_REFUSED;
}

static enum attempt attempt_batch(struct lane *lane, struct job **jobs, size_t count, bool waits,
                                  enum write_outcome *refusal)
{
    int span = trace_begin(&batch_kind, NULL, NULL);
    enum attempt attempt;

    trace_set_count(span, (int64_t)count);
    attempt = attempt_untraced(lane, jobs, count, waits, refusal);
    trace_end(span, attempt == ATTEMPT_SETTLED ? STATUS_OK : STATUS_FAILED);
    return attempt;
}

/* Makes a batch of these, and settles each. A batch that fails because of one of them is made again
 * without waiting for rows that others hold, or one by one. */
static void make(struct lane *lane, struct job **jobs, size_t count, bool waits)
{
    enum write_outcome refusal = WRITE_UNAVAILABLE;

    for (int tries = 1; tries <= TRIES_MAX && (count = settle_late(jobs, count)) > 0; tries++) {
        switch (attempt_batch(lane, jobs, count, waits, &refusal)) {
        case ATTEMPT_SETTLED:
            return;
        case ATTEMPT_AGAIN:
            break;
        case ATTEMPT_UNAVAILABLE:
            settle_all(jobs, count, WRITE_UNAVAILABLE);
            return;
        case ATTEMPT_LOCKED:
            if (!waits) {
                settle_all(jobs, count, WRITE_LOCKED);
                return;
            }
            waits = false;
            break;
        case ATTEMPT_REFUSED:
            if (count == 1) {
                settle(jobs[0], bare_result(refusal));
                return;
            }
            for (size_t i = 0; i < count; i++) {
                make(lane, &jobs[i], 1, waits);
            }
            return;
        }
    }
    settle_all(jobs, count, WRITE_UNAVAILABLE);
}

/* As many as may be in one batch by their items; at least one. */
static size_t count_for_batch(struct job *const *jobs, size_t count)
{
    size_t items = 0;
    size_t i = 0;

    do {
        items += jobs[i++]->command->item_count;
    } while (i < count && items + jobs[i]->command->item_count <= BATCH_ITEMS_MAX);
    return i;
}

static void make_all(struct lane *lane, struct job **jobs, size_t count, bool waits)
{
    while (count > 0) {
        size_t part = count_for_batch(jobs, count);

        make(lane, jobs, part, waits);
        jobs += part;
        count -= part;
    }
}

/* Is a request traced that waits for one of these? Then this thread's spans are kept from now on.
 * The thread of a guest has its own request's record. */
static bool begin_trace(struct lane *lane, struct gather_item *const *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct job *job = FS_CONTAINER_OF(items[i], struct job, item);

        if (job->trace != NULL && !job->is_guest) {
            trace_record_init(&lane->trace);
            trace_record_into(&lane->trace);
            return true;
        }
    }
    return false;
}

static void work(void *context, struct gather_item *const *items, size_t count)
{
    struct lane *lane = context;
    struct job **jobs = fs_calloc(2 * count, sizeof(struct job *));
    struct job **held = jobs + count;
    int64_t now_us = clock_mono_us();
    size_t free_count = 0;
    size_t held_count = 0;
    bool is_traced = begin_trace(lane, items, count);

    for (size_t i = 0; i < count; i++) {
        struct job *job = FS_CONTAINER_OF(items[i], struct job, item);

        job->begun_us = now_us;
        metric_observe(lane->series[WAITS],
                       (double)(now_us - job->arrived_us) / (double)CLOCK_US_PER_S);
        if (held_has(&lane->held, job->command)) {
            held[held_count++] = job;
        } else {
            jobs[free_count++] = job;
        }
    }
    make_all(lane, jobs, free_count, true);
    make_all(lane, held, held_count, false);
    if (is_traced) {
        trace_record_into(NULL);
    }
    free(jobs);
}
