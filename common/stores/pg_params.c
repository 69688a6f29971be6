#include "common/stores/pg_params.h"

#include <assert.h>

void pg_params_finish(struct pg_params *params)
{
    strbuf_finish(&params->texts);
}

static void begin_parameter(struct pg_params *params)
{
    assert(params->count < PG_PARAMS_MAX);
    params->starts[params->count] = params->texts.len;
    params->is_null[params->count] = false;
}

static void end_parameter(struct pg_params *params)
{
    strbuf_addc(&params->texts, '\0');
    params->count++;
}

static void begin_value(struct pg_params *params)
{
    if (!params->is_in_array) {
        begin_parameter(params);
    } else if (params->has_elements) {
        strbuf_addc(&params->texts, ',');
    }
    params->has_elements = params->is_in_array;
}

static void end_value(struct pg_params *params)
{
    if (!params->is_in_array) {
        end_parameter(params);
    }
}

void pg_params_add_int(struct pg_params *params, int64_t value)
{
    begin_value(params);
    strbuf_add_int(&params->texts, value);
    end_value(params);
}

void pg_params_add_bool(struct pg_params *params, bool value)
{
    begin_value(params);
    strbuf_addc(&params->texts, value ? 't' : 'f');
    end_value(params);
}

/* An element in quotes, with `"` and `\` escaped (8.15.6 of PostgreSQL's manual). */
static void add_quoted(struct strbuf *texts, const char *text)
{
    strbuf_addc(texts, '"');
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\') {
            strbuf_addc(texts, '\\');
        }
        strbuf_addc(texts, *text);
    }
    strbuf_addc(texts, '"');
}

void pg_params_add_text(struct pg_params *params, const char *text)
{
    begin_value(params);
    if (params->is_in_array && text == NULL) {
        strbuf_adds(&params->texts, "NULL");
    } else if (params->is_in_array) {
        add_quoted(&params->texts, text);
    } else if (text == NULL) {
        params->is_null[params->count] = true;
    } else {
        strbuf_adds(&params->texts, text);
    }
    end_value(params);
}

void pg_params_begin_array(struct pg_params *params)
{
    assert(!params->is_in_array);
    begin_parameter(params);
    strbuf_addc(&params->texts, '{');
    params->is_in_array = true;
    params->has_elements = false;
}

void pg_params_end_array(struct pg_params *params)
{
    assert(params->is_in_array);
    params->is_in_array = false;
    strbuf_addc(&params->texts, '}');
    end_parameter(params);
}

const char *const *pg_params_values(struct pg_params *params)
{
    assert(!params->is_in_array);
    for (size_t i = 0; i < params->count; i++) {
        params->values[i] = params->is_null[i] ? NULL : params->texts.text + params->starts[i];
    }
    return params->values;
}
