#include "common/base/config_yaml.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

#define WHERE_SIZE 512

struct reading {
    const char *path;
    const struct config_yaml_reader *reader;
    struct strbuf *error;
    yaml_document_t *document;
};

static void format_where(const struct reading *reading, const yaml_mark_t *mark,
                         char out[WHERE_SIZE])
{
    snprintf(out, WHERE_SIZE, "%s:%zu", reading->path, mark->line + 1);
}

static bool fail_at(struct reading *reading, const yaml_mark_t *mark, const char *what)
{
    strbuf_addf(reading->error, "%s:%zu: %s\n", reading->path, mark->line + 1, what);
    return false;
}

static const char *text_of(const yaml_node_t *scalar)
{
    return (const char *)scalar->data.scalar.value;
}

/* "\0" in double quotes: the text behind it would be cut off silently. */
static bool has_nul(const yaml_node_t *scalar)
{
    return strlen(text_of(scalar)) != scalar->data.scalar.length;
}

static bool read_pair(struct reading *reading, const char *section, const yaml_node_t *key,
                      const yaml_node_t *value)
{
    const struct config_yaml_reader *reader = reading->reader;
    char where[WHERE_SIZE];

    if (key->type != YAML_SCALAR_NODE || value->type != YAML_SCALAR_NODE) {
        return fail_at(reading, &key->start_mark,
                       "expected 'key: value', the value on the same line");
    }
    if (has_nul(key) || has_nul(value)) {
        return fail_at(reading, &key->start_mark, "expected text without NUL");
    }
    format_where(reading, &key->start_mark, where);
    return reader->take_pair(reader->arg, where, section, text_of(key), text_of(value));
}

static bool read_section(struct reading *reading, const yaml_node_t *name, const yaml_node_t *body)
{
    const struct config_yaml_reader *reader = reading->reader;
    char where[WHERE_SIZE];
    bool ok = true;

    if (name->type != YAML_SCALAR_NODE) {
        return fail_at(reading, &name->start_mark, "expected the name of a section");
    }
    format_where(reading, &name->start_mark, where);
    if (!reader->begin_section(reader->arg, where, text_of(name))) {
        return false;
    }
    if (body->type == YAML_SCALAR_NODE && body->data.scalar.length == 0) {
        return true; /* an empty section */
    }
    if (body->type != YAML_MAPPING_NODE) {
        return fail_at(reading, &body->start_mark, "expected 'key: value' lines under the section");
    }
    for (const yaml_node_pair_t *pair = body->data.mapping.pairs.start;
         pair < body->data.mapping.pairs.top; pair++) {
        ok = read_pair(reading, text_of(name), yaml_document_get_node(reading->document, pair->key),
                       yaml_document_get_node(reading->document, pair->value)) &&
             ok;
    }
    return ok;
}

static bool read_document(struct reading *reading)
{
    const yaml_node_t *root = yaml_document_get_root_node(reading->document);
    bool ok = true;

    if (root == NULL || (root->type == YAML_SCALAR_NODE && root->data.scalar.length == 0)) {
        return true; /* an empty file */
    }
    if (root->type != YAML_MAPPING_NODE) {
        return fail_at(reading, &root->start_mark, "expected sections, e.g. 'http:'");
    }
    for (const yaml_node_pair_t *pair = root->data.mapping.pairs.start;
         pair < root->data.mapping.pairs.top; pair++) {
        ok = read_section(reading, yaml_document_get_node(reading->document, pair->key),
                          yaml_document_get_node(reading->document, pair->value)) &&
             ok;
    }
    return ok;
}

/* On true the caller deletes the document. */
static bool parse_document(struct reading *reading, yaml_parser_t *parser,
                           yaml_document_t *ret_document)
{
    if (yaml_parser_load(parser, ret_document)) {
        return true;
    }
    strbuf_addf(reading->error, "%s:%zu: not YAML: %s\n", reading->path,
                parser->problem_mark.line + 1,
                parser->problem == NULL ? "unreadable" : parser->problem);
    return false;
}

/* A second document of the file would be passed over silently. */
static bool refuse_further_document(struct reading *reading, yaml_parser_t *parser)
{
    yaml_document_t further;
    bool ok = parse_document(reading, parser, &further);

    if (!ok) {
        return false;
    }
    if (yaml_document_get_root_node(&further) != NULL) {
        ok = fail_at(reading, &further.start_mark, "expected one document, here begins another");
    }
    yaml_document_delete(&further);
    return ok;
}

static bool read_stream(struct reading *reading, FILE *file)
{
    yaml_parser_t parser;
    yaml_document_t document;
    bool ok;

    yaml_parser_initialize(&parser);
    yaml_parser_set_input_file(&parser, file);
    ok = parse_document(reading, &parser, &document);
    if (ok) {
        reading->document = &document;
        ok = read_document(reading);
        yaml_document_delete(&document);
        reading->document = NULL;
        ok = refuse_further_document(reading, &parser) && ok;
    }
    yaml_parser_delete(&parser);
    return ok;
}

bool config_yaml_read(const char *path, const struct config_yaml_reader *reader,
                      struct strbuf *error)
{
    struct reading reading = {.path = path, .reader = reader, .error = error};
    FILE *file = fopen(path, "rbe");
    bool ok;

    if (file == NULL) {
        strbuf_addf(error, "%s: cannot be read: %s\n", path, strerror(errno));
        return false;
    }
    ok = read_stream(&reading, file);
    fclose(file);
    return ok;
}
