#include "common/stores/redis_stream.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/strbuf.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LOOK_EVERY_MS 1000
#define CALL_MS 5000 /* deadline; the store's own timeout is usually shorter */
#define RETRY_MS_MIN 100
#define RETRY_MS_MAX 5000

/* "ms-seq" */
struct entry_id {
    uint64_t ms;
    uint64_t seq;
};

#define ID_TEXT_SIZE 42 /* two numbers of up to 20 digits, '-', NUL */

static const struct entry_id no_entry; /* before the first one */

struct redis_stream {
    struct redis_stream_options options;
    struct redis_session *session; /* NULL: there is no connection */
    struct strbuf key;
    char epoch[REDIS_EPOCH_SIZE]; /* of the stream that is read; "": none was read yet */
    struct entry_id position;     /* of the last entry that was read */
    int64_t looked_us;
    int64_t retry_ms; /* the pause after the next failure */
    int64_t retry_us; /* not before */
    char note[REDIS_NOTE_SIZE];
};

struct redis_stream *redis_stream_create(const struct redis_stream_options *options)
{
    struct redis_stream *stream = fs_calloc(1, sizeof(*stream));

    stream->options = *options;
    return stream;
}

void redis_stream_destroy(struct redis_stream *stream)
{
    if (stream == NULL) {
        return;
    }
    redis_close(stream->session);
    strbuf_finish(&stream->key);
    free(stream);
}

/* --- ids -------------------------------------------------------------------------------------- */

static bool is_before(struct entry_id a, struct entry_id b)
{
    return a.ms != b.ms ? a.ms < b.ms : a.seq < b.seq;
}

static bool is_same(struct entry_id a, struct entry_id b)
{
    return a.ms == b.ms && a.seq == b.seq;
}

/* Redis writes both parts as decimals of 64 bits. */
static struct entry_id id_parse(struct redis_bytes text)
{
    char copy[ID_TEXT_SIZE];
    struct entry_id id;
    char *end = NULL;

    snprintf(copy, sizeof(copy), "%.*s", (int)text.len, text.data);
    id.ms = strtoull(copy, &end, 10);
    id.seq = *end == '-' ? strtoull(end + 1, NULL, 10) : 0;
    return id;
}

static void add_id(struct redis_session *session, struct entry_id id)
{
    char text[ID_TEXT_SIZE];

    redis_add(session, text,
              (size_t)snprintf(text, sizeof(text), "%" PRIu64 "-%" PRIu64, id.ms, id.seq));
}

static void add_text(struct redis_session *session, const char *text)
{
    redis_add(session, text, strlen(text));
}

/* --- looking around --------------------------------------------------------------------------- */

/* A reply of XREVRANGE is an array of entries: the id, and an array of fields. */
enum { REVRANGE_ID_DEPTH = 2 };

static void take_last(void *arg, int depth, struct redis_bytes text)
{
    if (depth == REVRANGE_ID_DEPTH) {
        *(struct entry_id *)arg = id_parse(text);
    }
}

/* The last entry of the stream, or, with `only`, that one, or no_entry. */
static enum status ask_last(struct redis_stream *stream, const struct entry_id *only,
                            struct entry_id *ret_last)
{
    struct redis_session *session = stream->session;

    *ret_last = no_entry;
    redis_begin(session, "XREVRANGE", 5);
    redis_add(session, stream->key.text, stream->key.len);
    if (only == NULL) {
        add_text(session, "+");
        add_text(session, "-");
    } else {
        add_id(session, *only);
        add_id(session, *only);
    }
    add_text(session, "COUNT");
    add_text(session, "1");
    return redis_walk(session, clock_after_ms(CALL_MS), take_last, ret_last, stream->note);
}

static void make_key(struct redis_stream *stream)
{
    strbuf_clear(&stream->key);
    strbuf_addf(&stream->key, "%s:%s:%s", stream->options.key_prefix, redis_epoch(stream->session),
                stream->options.name);
}

/* Where to go on, when `last` is the last entry of the session's stream. `was_away`: there was no
 * connection since the last look. A stream that has been silent expires, and misses nothing by
 * that. */
static void find_position(struct redis_stream *stream, struct entry_id last, bool was_away,
                          const struct redis_stream_calls *calls)
{
    bool is_first = stream->epoch[0] == '\0';
    bool is_other = strcmp(stream->epoch, redis_epoch(stream->session)) != 0;

    if (is_other) {
        memcpy(stream->epoch, redis_epoch(stream->session), REDIS_EPOCH_SIZE);
        stream->position = is_first ? last : no_entry;
        calls->gap(calls->context, is_first ? REDIS_STREAM_BEGUN : REDIS_STREAM_EPOCH);
    } else if (is_before(last, stream->position)) {
        stream->position = no_entry;
        if (was_away || !is_same(last, no_entry)) {
            calls->gap(calls->context, REDIS_STREAM_REPLACED);
        }
    }
}

/* `was_away`: the connection is new, and knows the epoch. */
static enum status look(struct redis_stream *stream, bool was_away,
                        const struct redis_stream_calls *calls)
{
    struct entry_id last;
    enum status status = STATUS_OK;

    stream->looked_us = clock_mono_us();
    if (!was_away) {
        status = redis_ask_epoch(stream->session, clock_after_ms(CALL_MS), stream->note);
    }
    if (status != STATUS_OK) {
        return status;
    }
    make_key(stream);
    status = ask_last(stream, NULL, &last);
    if (status == STATUS_OK) {
        find_position(stream, last, was_away, calls);
    }
    return status;
}

/* --- reading ---------------------------------------------------------------------------------- */

/* A reply of XREAD is an array of streams: the key, and an array of entries as above. */
enum { READ_ID_DEPTH = 4, READ_FIELD_DEPTH = 5 };

struct reading {
    struct redis_stream *stream;
    const struct redis_stream_calls *calls;
    struct redis_bytes name; /* of the field whose value comes next; data is NULL: a name comes */
    int entries;
};

static void take_word(void *arg, int depth, struct redis_bytes text)
{
    struct reading *reading = arg;
    const struct redis_stream_calls *calls = reading->calls;

    if (depth == READ_ID_DEPTH) {
        reading->stream->position = id_parse(text);
        reading->name.data = NULL;
        reading->entries++;
        calls->entry(calls->context);
    } else if (depth == READ_FIELD_DEPTH && reading->name.data == NULL) {
        reading->name = text;
    } else if (depth == READ_FIELD_DEPTH) {
        calls->field(calls->context, reading->name, text);
        reading->name.data = NULL;
    }
}

static enum status ask_entries(struct redis_stream *stream, struct reading *reading)
{
    struct redis_session *session = stream->session;

    redis_begin(session, "XREAD", 7);
    add_text(session, "COUNT");
    redis_add_int(session, REDIS_STREAM_BATCH);
    add_text(session, "BLOCK");
    redis_add_int(session, REDIS_STREAM_WAIT_MS);
    add_text(session, "STREAMS");
    redis_add(session, stream->key.text, stream->key.len);
    add_id(session, stream->position);
    return redis_walk(session, clock_after_ms(CALL_MS), take_word, reading, stream->note);
}

static enum status read_on(struct redis_stream *stream, const struct redis_stream_calls *calls)
{
    struct reading reading = {.stream = stream, .calls = calls};
    struct entry_id behind = stream->position;
    struct entry_id found;
    enum status status = ask_entries(stream, &reading);

    if (status != STATUS_OK || reading.entries < REDIS_STREAM_BATCH || is_same(behind, no_entry)) {
        return status;
    }
    status = ask_last(stream, &behind, &found);
    if (status == STATUS_OK && !is_same(found, behind)) {
        calls->gap(calls->context, REDIS_STREAM_TRIMMED);
    }
    return status;
}

/* --- connecting ------------------------------------------------------------------------------- */

static void close_session(struct redis_stream *stream)
{
    redis_close(stream->session);
    stream->session = NULL;
    stream->retry_us = clock_after_ms(stream->retry_ms);
    stream->retry_ms = stream->retry_ms == 0 ? RETRY_MS_MIN : stream->retry_ms * 2;
    stream->retry_ms = stream->retry_ms < RETRY_MS_MAX ? stream->retry_ms : RETRY_MS_MAX;
}

static enum status open_session(struct redis_stream *stream)
{
    enum status status = STATUS_UNAVAILABLE;

    for (size_t i = 0; i < FS_ARRAY_LEN(stream->options.stores) && status != STATUS_OK; i++) {
        if (stream->options.stores[i] != NULL) {
            status = redis_open(stream->options.stores[i], REDIS_STREAM_WAIT_MS, &stream->session,
                                stream->note);
        }
    }
    return status;
}

/* Waits for the next attempt, for one step at most. True: it is time. */
static bool pause_is_over(const struct redis_stream *stream)
{
    int64_t left_ms = clock_left_ms(stream->retry_us);
    int64_t wait_ms = left_ms < REDIS_STREAM_WAIT_MS ? left_ms : REDIS_STREAM_WAIT_MS;
    struct timespec pause = {.tv_nsec = (long)(wait_ms * 1000000)};

    if (wait_ms > 0) {
        nanosleep(&pause, NULL);
    }
    return clock_left_ms(stream->retry_us) == 0;
}

static enum status attach(struct redis_stream *stream, const struct redis_stream_calls *calls)
{
    enum status status = open_session(stream);

    return status == STATUS_OK ? look(stream, true, calls) : status;
}

static enum status step(struct redis_stream *stream, const struct redis_stream_calls *calls)
{
    enum status status = STATUS_OK;

    if (stream->session == NULL) {
        status = attach(stream, calls);
    } else if (clock_mono_us() - stream->looked_us >= LOOK_EVERY_MS * CLOCK_US_PER_MS) {
        status = look(stream, false, calls);
    }
    return status == STATUS_OK ? read_on(stream, calls) : status;
}

bool redis_stream_step(struct redis_stream *stream, const struct redis_stream_calls *calls,
                       char ret_note[REDIS_NOTE_SIZE])
{
    if (stream->session != NULL || pause_is_over(stream)) {
        if (step(stream, calls) == STATUS_OK) {
            stream->retry_ms = 0;
            return true;
        }
        close_session(stream);
    }
    memcpy(ret_note, stream->note, REDIS_NOTE_SIZE);
    return false;
}
