#include "common/base/log.h"

#include "common/base/clock.h"
#include "common/base/json.h"
#include "common/base/strbuf.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <unistd.h>

static const char *const level_names[] = {"debug", "info", "warn", "error"};
static const char *service_name = "faststock";
static enum log_level least_level = LOG_INFO;
static pthread_mutex_t write_lock = PTHREAD_MUTEX_INITIALIZER;

void log_init(const char *service, enum log_level least)
{
    service_name = service;
    least_level = least;
}

struct log_field log_str(const char *key, const char *text)
{
    return (struct log_field){.key = key,
                              .text = text,
                              .kind =
                                  text == NULL || *text == '\0' ? LOG_FIELD_SKIP : LOG_FIELD_TEXT};
}

struct log_field log_int(const char *key, int64_t value)
{
    return (struct log_field){.key = key, .integer = value, .kind = LOG_FIELD_INT};
}

struct log_field log_num(const char *key, double value)
{
    return (struct log_field){.key = key, .number = value, .kind = LOG_FIELD_NUMBER};
}

struct log_field log_msg(const char *text)
{
    return log_str("msg", text);
}

static void add_field(struct strbuf *line, const struct log_field *field)
{
    if (field->kind == LOG_FIELD_SKIP) {
        return;
    }
    strbuf_addc(line, ',');
    json_add_string(line, field->key);
    strbuf_addc(line, ':');
    switch (field->kind) {
    case LOG_FIELD_TEXT:
        json_add_string(line, field->text);
        break;
    case LOG_FIELD_INT:
        strbuf_add_int(line, field->integer);
        break;
    case LOG_FIELD_NUMBER:
        if (isfinite(field->number)) {
            strbuf_addf(line, "%.3f", field->number);
        } else {
            strbuf_adds(line, "null");
        }
        break;
    case LOG_FIELD_SKIP:
        break;
    }
}

static void write_all(const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t written = write(STDOUT_FILENO, bytes, len);

        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            return; /* nowhere left to complain */
        }
        bytes += written;
        len -= (size_t)written;
    }
}

void log_write(enum log_level level, const struct log_field *fields)
{
    struct strbuf line = STRBUF_EMPTY;
    char now[CLOCK_RFC3339_SIZE];

    if (level < least_level) {
        return;
    }
    clock_format_rfc3339(clock_wall_us(), now);
    strbuf_addf(&line, "{\"ts\":\"%s\",\"level\":\"%s\",\"service\":\"%s\"", now,
                level_names[level], service_name);
    for (; fields->key != NULL; fields++) {
        add_field(&line, fields);
    }
    strbuf_adds(&line, "}\n");
    pthread_mutex_lock(&write_lock); /* a pipe takes a long line in parts */
    write_all(line.text, line.len);
    pthread_mutex_unlock(&write_lock);
    strbuf_finish(&line);
}
