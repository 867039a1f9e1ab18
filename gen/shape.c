/* shape.c: compares the structure of two YAML texts, event by event; see shape.h. */
#include "shape.h"

#include <assert.h>
#include <string.h>
#include <yaml.h>

static bool is_word_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("._/+-", c) != NULL);
}

/* Whether a character can do no harm where it stands: ':' and '@' may not come first or last. */
static bool harmless_at(struct text t, size_t i)
{
    if (is_word_char(t.p[i]))
        return true;
    if ((t.p[i] != ':' && t.p[i] != '@') || i == 0 || i + 1 == t.n)
        return false;
    return is_word_char(t.p[i + 1]) || t.p[i + 1] == ':';
}

/* A dash alone would begin a list; with anything behind it, it is text. Empty text passes, as the
 * templates are made for it. */
bool shape_is_harmless(struct text t)
{
    if (t.n == 1 && *t.p == '-')
        return false;
    for (size_t i = 0; i < t.n; i++)
        if (!harmless_at(t, i))
            return false;
    return true;
}

bool shape_breaks_line(struct text t)
{
    return memchr(t.p, '\n', t.n) != NULL || memchr(t.p, '\r', t.n) != NULL ||
           memmem(t.p, t.n, "\xc2\x85", 2) != NULL || memmem(t.p, t.n, "\xe2\x80\xa8", 3) != NULL ||
           memmem(t.p, t.n, "\xe2\x80\xa9", 3) != NULL;
}

struct text shape_stand_in(struct arena *a, struct text t)
{
    char *copy = arena_strndup(a, t.p, t.n);

    for (size_t i = 0; i < t.n; i++)
        if (!harmless_at(t, i) || t.n == 1)
            copy[i] = 'x';
    return (struct text){copy, t.n};
}

/* One text being read. */
struct reader {
    yaml_parser_t parser;
    yaml_event_t event;
    bool has_event;
};

/* libyaml reads from the text itself: it has to outlive the reader. */
static void reader_open(struct reader *r, struct text t)
{
    int ok = yaml_parser_initialize(&r->parser);

    assert(ok);
    (void)ok;
    yaml_parser_set_input_string(&r->parser, (const unsigned char *)t.p, t.n);
    yaml_parser_set_encoding(&r->parser, YAML_UTF8_ENCODING);
    r->has_event = false;
}

static bool reader_next(struct reader *r)
{
    if (r->has_event)
        yaml_event_delete(&r->event);
    r->has_event = yaml_parser_parse(&r->parser, &r->event) == 1;
    return r->has_event;
}

static void reader_close(struct reader *r)
{
    if (r->has_event)
        yaml_event_delete(&r->event);
    yaml_parser_delete(&r->parser);
}

/* A second pass for the model alone: a comparison could not tell which of two texts is broken. */
static bool is_yaml(struct text t)
{
    struct reader r;
    bool ok;

    reader_open(&r, t);
    while ((ok = reader_next(&r)) && r.event.type != YAML_STREAM_END_EVENT)
        ;
    reader_close(&r);
    return ok;
}

/* The style tells when a value has closed its quotes and opened others; the length, when a comment
 * has cut it off. */
static bool same_scalar(const yaml_event_t *a, const yaml_event_t *b, bool lengths)
{
    struct text model = {(const char *)a->data.scalar.value, a->data.scalar.length};
    struct text actual = {(const char *)b->data.scalar.value, b->data.scalar.length};

    if ((lengths && model.n != actual.n) || a->data.scalar.style != b->data.scalar.style)
        return false;
    /* A block scalar may be a document of its own: the pod that a ConfigMap carries. */
    return a->data.scalar.style != YAML_LITERAL_SCALAR_STYLE || shape_same(model, actual, lengths);
}

static bool same_event(const yaml_event_t *a, const yaml_event_t *b, bool lengths)
{
    if (a->type != b->type)
        return false;
    return a->type != YAML_SCALAR_EVENT || same_scalar(a, b, lengths);
}

/* Ends at the first difference; a text that stops being YAML is one. */
bool shape_same(struct text model, struct text actual, bool lengths)
{
    struct reader a, b;
    bool same = true;

    if (!is_yaml(model))
        return true;
    reader_open(&a, model);
    reader_open(&b, actual);
    do {
        same = reader_next(&a) && reader_next(&b) && same_event(&a.event, &b.event, lengths);
    } while (same && a.event.type != YAML_STREAM_END_EVENT);
    reader_close(&b);
    reader_close(&a);
    return same;
}
