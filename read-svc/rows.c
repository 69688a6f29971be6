#include "read-svc/rows.h"

#include "common/base/clock.h"
#include "common/base/json.h"
#include "common/base/log.h"
#include "common/base/parse.h"

enum status rows_ask(struct pg_store *database, const struct pg_statement *statement,
                     struct pg_params *params, int64_t deadline_us, struct pg_result **ret_result)
{
    struct pg_error error;
    enum status status =
        pg_run(database, statement, pg_params_values(params), deadline_us, ret_result, &error);

    pg_params_finish(params);
    if (status == STATUS_FAILED) {
        log_error(log_msg("PostgreSQL refuses a read"), log_str("statement", statement->name),
                  log_str("sqlstate", error.sqlstate), log_str("error", error.message));
    }
    return status;
}

void rows_add_number(struct strbuf *json, const char *name, const struct pg_result *result, int row,
                     int column)
{
    const char *number = pg_text(result, row, column);

    if (number != NULL) {
        strbuf_adds(json, name);
        strbuf_adds(json, number);
    }
}

void rows_add_string(struct strbuf *json, const char *name, const struct pg_result *result, int row,
                     int column)
{
    const char *text = pg_text(result, row, column);

    if (text != NULL) {
        strbuf_adds(json, name);
        json_add_string(json, text);
    }
}

bool rows_add_time(struct strbuf *json, const char *name, const struct pg_result *result, int row,
                   int column)
{
    const char *seconds = pg_text(result, row, column);
    char text[CLOCK_RFC3339_SIZE];
    int64_t time_us;

    if (seconds == NULL) {
        return true;
    }
    if (!parse_seconds_us(seconds, &time_us) || time_us < CLOCK_SHOWN_FROM_US ||
        time_us >= CLOCK_SHOWN_UNTIL_US) {
        log_error(log_msg("a row holds a time that cannot be shown"), log_str("seconds", seconds));
        return false;
    }
    clock_format_rfc3339(time_us, text);
    strbuf_addf(json, "%s\"%s\"", name, text);
    return true;
}
