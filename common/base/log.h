/* Structured logs: one JSON object a line on stdout. Thread-safe; lines never mix.
 *
 *   log_info(log_msg("listening"), log_str("host", host), log_int("port", port)); */
#ifndef FASTSTOCK_COMMON_BASE_LOG_H
#define FASTSTOCK_COMMON_BASE_LOG_H

#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

struct log_field {
    const char *key; /* NULL ends a list */
    enum { LOG_FIELD_TEXT, LOG_FIELD_INT, LOG_FIELD_NUMBER, LOG_FIELD_SKIP } kind;
    const char *text; /* borrowed for the call */
    int64_t integer;
    double number;
};

/* Before any thread starts. `service` is borrowed for the life of the process. */
void log_init(const char *service, enum log_level least);

/* Writes a line unless `level` is below the least. */
void log_write(enum log_level level, const struct log_field *fields);

/* Fields. A text that is NULL or empty leaves its field out; a number that is not finite is null,
 * because JSON has no word for it. log_msg is the field "msg", which each line begins with. */
struct log_field log_str(const char *key, const char *text);
struct log_field log_int(const char *key, int64_t value);
struct log_field log_num(const char *key, double value);
struct log_field log_msg(const char *text);

#define LOG_FIELDS(...) ((const struct log_field[]){__VA_ARGS__, {.key = NULL}})
#define log_debug(...) log_write(LOG_DEBUG, LOG_FIELDS(__VA_ARGS__))
#define log_info(...) log_write(LOG_INFO, LOG_FIELDS(__VA_ARGS__))
#define log_warn(...) log_write(LOG_WARN, LOG_FIELDS(__VA_ARGS__))
#define log_error(...) log_write(LOG_ERROR, LOG_FIELDS(__VA_ARGS__))

#endif
