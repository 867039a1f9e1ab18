/* template_render.c: renders a compiled template and looks for what was left in the result; see
 * template.h.
 *
 * The rules say: replace one name after the other, then collapse newlines. One pass that copies
 * pieces gives the same unless a replacement makes a new placeholder. That takes braces in a value
 * or, rarely, in the text around one (`forming`); then the rules are followed to the letter.
 */
#include <assert.h>
#include <string.h>

#include "template_internal.h"

/* Where the output goes; knows how many LFs it ends with, of which it lets no third one pass. */
struct sink {
    struct hfc_buf *out;
    unsigned newlines;
};

/* Appends text that holds no three LFs in a row. */
static void put(struct sink *s, const char *p, size_t n)
{
    while (n > 0 && *p == '\n') {
        if (s->newlines < 2) {
            hfc_buf_char(s->out, '\n');
            s->newlines++;
        }
        p++;
        n--;
    }
    if (n == 0)
        return;
    assert(s->newlines <= 2 && *p != '\n');
    hfc_buf_add(s->out, p, n);
    s->newlines = p[n - 1] != '\n' ? 0 : p[n - 2] != '\n' ? 1 : 2;
}

/* Appends any text. */
static void put_collapsed(struct sink *s, const char *p, size_t n)
{
    const char *run;

    while (n >= 3 && (run = memmem(p, n, "\n\n\n", 3)) != NULL) {
        size_t whole = (size_t)(run - p) + 2;
        put(s, p, whole);
        p += whole;
        n -= whole;
        while (n > 0 && *p == '\n') {
            p++;
            n--;
        }
    }
    put(s, p, n);
}

static unsigned mask_of(const struct template *t, const bool *keep)
{
    unsigned mask = 0;

    for (size_t i = 0; i < t->ntags; i++)
        mask |= (unsigned)keep[i] << i;
    return mask;
}

static bool is_kept(const struct span *s, unsigned mask)
{
    assert(mask < TEMPLATE_MASKS);
    return (s->kept[mask / 64] >> (mask % 64) & 1) != 0;
}

/* Whether replacing one name after the other could differ from replacing all at once. */
static bool needs_sequence(const struct template *t, const struct text *values)
{
    if (t->forming)
        return true;
    for (size_t i = 0; i < t->nnames; i++) {
        const struct text *v = &values[i];
        if (t->used[i] && v->n > 0 &&
            (memchr(v->p, '{', v->n) != NULL || memchr(v->p, '}', v->n) != NULL))
            return true;
    }
    return false;
}

static void render_at_once(const struct template *t, const struct text *values, unsigned mask,
                           struct hfc_buf *out)
{
    struct sink sink = {.out = out};
    bool first = true;

    for (uint32_t i = 0; i < t->nspans; i++) {
        const struct span *s = &t->spans[i];
        if (!is_kept(s, mask))
            continue;
        if (!first)
            put(&sink, "\n", 1);
        first = false;
        for (uint32_t k = 0; k < s->count; k++) {
            const struct piece *p = &t->pieces[s->first + k];
            put(&sink, p->lit, p->len);
            if (p->name != TEMPLATE_NO_NAME)
                put_collapsed(&sink, values[p->name].p, values[p->name].n);
        }
    }
}

/* The text with its placeholders, as it is before the first replacement. */
static void print_kept(const struct template *t, unsigned mask, struct hfc_buf *out)
{
    bool first = true;

    for (uint32_t i = 0; i < t->nspans; i++) {
        const struct span *s = &t->spans[i];
        if (!is_kept(s, mask))
            continue;
        hfc_buf_add(out, "\n", first ? 0 : 1);
        first = false;
        for (uint32_t k = 0; k < s->count; k++) {
            const struct piece *p = &t->pieces[s->first + k];
            hfc_buf_add(out, p->lit, p->len);
            if (p->name != TEMPLATE_NO_NAME)
                hfc_buf_printf(out, "{{%s}}", t->names[p->name]);
        }
    }
}

/* Copies `in` to `out` with every {{name}} replaced. Stops early when `out` is full, so that
 * values which double again and again cost no more than the cap. */
static void replace_name(const struct hfc_buf *in, const char *name, struct text value,
                         struct hfc_buf *out)
{
    size_t len = strlen(name);
    const char *from = in->data, *end = in->data + in->len;
    const char *p = from;

    while (!hfc_buf_failed(out) && (p = memchr(p, '{', (size_t)(end - p))) != NULL) {
        if ((size_t)(end - p) < len + 4 || p[1] != '{' || memcmp(p + 2, name, len) != 0 ||
            memcmp(p + 2 + len, "}}", 2) != 0) {
            p++;
            continue;
        }
        hfc_buf_add(out, from, (size_t)(p - from));
        hfc_buf_add(out, value.p, value.n);
        p += len + 4;
        from = p;
    }
    hfc_buf_add(out, from, (size_t)(end - from));
}

static void render_in_sequence(const struct template *t, const struct text *values, unsigned mask,
                               struct hfc_buf *out)
{
    hfc_autobuf struct hfc_buf one, two;
    struct hfc_buf *now = &one, *next = &two;

    hfc_buf_init(&one, out->max);
    hfc_buf_init(&two, out->max);
    print_kept(t, mask, now);
    for (size_t i = 0; i < t->nnames && !hfc_buf_failed(now); i++) {
        hfc_buf_reset(next);
        replace_name(now, t->names[i], values[i], next);
        struct hfc_buf *done = next;
        next = now;
        now = done;
    }
    if (hfc_buf_failed(now)) {
        out->failed = true;
        return;
    }
    struct sink sink = {.out = out};
    put_collapsed(&sink, now->data, now->len);
}

void template_render(const struct template *t, const struct text *values, const bool *keep,
                     struct hfc_buf *out)
{
    unsigned mask = mask_of(t, keep);

    if (needs_sequence(t, values))
        render_in_sequence(t, values, mask, out);
    else
        render_at_once(t, values, mask, out);
}

/* Length of a {{NAME}} at p, 0 if there is none. */
static size_t name_at(const char *p, const char *end)
{
    const char *q = p + 2;

    if (q >= end || p[1] != '{' || *q < 'A' || *q > 'Z')
        return 0;
    while (q < end && (*q == '_' || (*q >= 'A' && *q <= 'Z') || (*q >= '0' && *q <= '9')))
        q++;
    return end - q >= 2 && memcmp(q, "}}", 2) == 0 ? (size_t)(q - p) + 2 : 0;
}

const char *template_leftover(const char *text, size_t len, size_t *name_len)
{
    const char *end = text + len;

    /* memchr() is many times faster than memmem() with two bytes, and this reads every output. */
    for (const char *p = text; (p = memchr(p, '{', (size_t)(end - p))) != NULL; p++) {
        size_t n = name_at(p, end);
        if (n > 0) {
            *name_len = n;
            return p;
        }
    }
    return NULL;
}

struct srcpos template_find(const struct template *t, const bool *keep, const char *text,
                            size_t len)
{
    unsigned mask = mask_of(t, keep);

    for (uint32_t i = 0; i < t->nspans; i++) {
        const struct span *s = &t->spans[i];
        const char *at = memmem(t->src->text + s->start, s->end - s->start, text, len);
        if (at != NULL && is_kept(s, mask))
            return template_place(t->src, (size_t)(at - t->src->text));
    }
    return srcpos_file(t->src);
}
