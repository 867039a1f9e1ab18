/* template.c: compiles a template: checks its UTF-8, finds markers, cuts the text between them into
 * literal pieces and placeholders, and reports what looks wrong. See template.h for the rules and
 * template_internal.h for the result.
 *
 * Everything works on the bytes of the source, line by line: a line ends at LF, CR or CR LF, so it
 * holds none of them and its bytes are those of the normalised text. Places in diagnostics are
 * therefore plain offsets.
 */
#include <assert.h>
#include <ctype.h>
#include <string.h>

#include "cleanup.h"
#include "template_internal.h"
#include "utf8.h"

struct compiler {
    struct arena *a;
    struct template *t;
    const char *const *tags;
    template_report *report;
    void *ctx;
    char *lit; /* end of the literal text so far */
    bool *used;
    bool in_span;
    uint8_t inside[TEMPLATE_MASKS];    /* per mask: bit i: a pass for tag i would be in its block */
    size_t open_at[TEMPLATE_TAGS_MAX]; /* offset of the BEGIN + 1; 0: no block is open */
    bool crossed[TEMPLATE_TAGS_MAX];   /* an outer block ended inside this one */
};

struct line {
    size_t start, end; /* without the line break */
};

struct srcpos template_place(const struct source *src, size_t offset)
{
    uint32_t lo = 0, hi = source_lines(src);

    while (hi - lo > 1) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (source_line_start(src, mid + 1) <= offset)
            lo = mid;
        else
            hi = mid;
    }
    uint32_t col = 1;
    for (size_t i = source_line_start(src, lo + 1); i < offset; i++)
        col += ((unsigned char)src->text[i] & 0xc0) != 0x80;
    return (struct srcpos){.src = src, .line = lo + 1, .col = col};
}

static void tell(const struct compiler *c, enum template_issue issue, size_t offset,
                 const char *tag, size_t tag_len)
{
    c->report(c->ctx, issue, template_place(c->t->src, offset), tag, tag_len);
}

/* The white space set is wide: a marker pasted from a document may carry a no-break space. */
static struct line trim(const char *text, struct line l)
{
    const char *p = text + l.start;
    size_t n = l.end - l.start;

    utf8_trim(&p, &n);
    return (struct line){(size_t)(p - text), (size_t)(p - text) + n};
}

static bool is_name_char(char ch)
{
    return ch == '_' || isalnum((unsigned char)ch);
}

/* The index of the word in a table ended by NULL; its size if it is not there. */
static size_t look_up(const char *const *table, const char *word, size_t len, bool any_case)
{
    size_t i = 0;

    for (; table[i] != NULL; i++) {
        if (strlen(table[i]) == len &&
            (any_case ? strncasecmp(table[i], word, len) : memcmp(table[i], word, len)) == 0)
            break;
    }
    return i;
}

static bool takes(const char **p, const char *end, const char *word)
{
    size_t n = strlen(word);

    if ((size_t)(end - *p) < n || strncasecmp(*p, word, n) != 0)
        return false;
    *p += n;
    return true;
}

/* A comment that was probably meant to be a marker: "#BEGIN_X", "# END_x", "# BEGIN_X note". */
static void check_near_marker(const struct compiler *c, const char *p, const char *end, size_t at)
{
    if (p == end || *p != '#')
        return;
    while (p < end && (*p == '#' || *p == ' ' || *p == '\t'))
        p++;
    if (!takes(&p, end, "BEGIN_") && !takes(&p, end, "END_"))
        return;
    const char *tag = p;
    while (p < end && is_name_char(*p))
        p++;
    size_t i = look_up(c->tags, tag, (size_t)(p - tag), true);
    if (i < c->t->ntags)
        tell(c, TEMPLATE_NEAR_MARKER, at, c->tags[i], strlen(c->tags[i]));
}

/* Whether all of a nonempty word could be a tag. */
static bool is_tag(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!is_name_char(p[i]) || islower((unsigned char)p[i]))
            return false;
    }
    return n > 0;
}

/* The tag of a marker line, or ntags if the line is ordinary text. */
static size_t read_marker(const struct compiler *c, struct line l, bool *begin)
{
    const char *p = c->t->src->text + l.start;
    size_t n = l.end - l.start;
    size_t skip = 0;

    if (n >= 8 && memcmp(p, "# BEGIN_", 8) == 0)
        skip = 8;
    else if (n >= 6 && memcmp(p, "# END_", 6) == 0)
        skip = 6;
    *begin = skip == 8;
    if (skip > 0) {
        size_t tag = look_up(c->tags, p + skip, n - skip, false);
        if (tag < c->t->ntags)
            return tag;
        if (is_tag(p + skip, n - skip) &&
            look_up(c->tags, p + skip, n - skip, true) == c->t->ntags) {
            tell(c, TEMPLATE_UNKNOWN_TAG, l.start, p + skip, n - skip);
            return c->t->ntags;
        }
    }
    check_near_marker(c, p, p + n, l.start);
    return c->t->ntags;
}

/* Reports a marker that does not fit the markers before it. */
static void check_balance(struct compiler *c, size_t tag, bool begin, size_t at)
{
    const char *name = c->tags[tag];
    size_t opened = c->open_at[tag];

    if (begin && opened > 0) {
        tell(c, TEMPLATE_NESTED, at, name, strlen(name));
        return;
    }
    if (begin) {
        c->open_at[tag] = at + 1;
        c->crossed[tag] = false;
        return;
    }
    if (opened == 0)
        tell(c, TEMPLATE_UNOPENED, at, name, strlen(name));
    else if (c->crossed[tag])
        tell(c, TEMPLATE_OVERLAP, at, name, strlen(name));
    /* Whether a block inside this one that is still open overlaps, or has no end at all and will
     * be reported as that, shows later. */
    for (size_t i = 0; opened > 0 && i < c->t->ntags; i++)
        c->crossed[i] |= c->open_at[i] > opened;
    c->open_at[tag] = 0;
}

/* What a marker does to the passes. There is one pass for each tag, in the order of the table; the
 * pass sees the marker only if no earlier pass has stripped it. */
static void apply_marker(struct compiler *c, size_t tag, bool begin)
{
    unsigned bit = 1U << tag;

    for (unsigned mask = 0; mask < 1U << c->t->ntags; mask++) {
        unsigned stripped_by = c->inside[mask] & ~mask;
        if ((stripped_by & (bit - 1)) != 0)
            continue;
        if (begin)
            c->inside[mask] = (uint8_t)(c->inside[mask] | bit);
        else
            c->inside[mask] = (uint8_t)(c->inside[mask] & ~bit);
    }
}

static void open_span(struct compiler *c, size_t start)
{
    struct template *t = c->t;
    struct span *s = &t->spans[t->nspans++];

    assert(!c->in_span);
    s->first = t->npieces;
    s->start = (uint32_t)start;
    for (unsigned mask = 0; mask < 1U << t->ntags; mask++) {
        if ((c->inside[mask] & ~mask) == 0)
            s->kept[mask / 64] |= (uint64_t)1 << (mask % 64);
    }
    t->pieces[t->npieces++] = (struct piece){.lit = c->lit, .name = TEMPLATE_NO_NAME};
    c->in_span = true;
}

static void close_span(struct compiler *c)
{
    struct template *t = c->t;

    if (!c->in_span)
        return;
    assert(t->nspans > 0);
    struct span *s = &t->spans[t->nspans - 1];
    s->count = t->npieces - s->first;
    c->in_span = false;
}

/* Adds a byte to the last piece, unless it would be the third LF of a run. */
static void add_char(struct compiler *c, char ch)
{
    struct piece *p = &c->t->pieces[c->t->npieces - 1];

    if (ch == '\n' && p->len >= 2 && memcmp(c->lit - 2, "\n\n", 2) == 0)
        return;
    *c->lit++ = ch;
    p->len++;
}

static void add_name(struct compiler *c, size_t name)
{
    struct template *t = c->t;

    t->pieces[t->npieces - 1].name = (uint32_t)name;
    c->used[name] = true;
    t->pieces[t->npieces++] = (struct piece){.lit = c->lit, .name = TEMPLATE_NO_NAME};
}

/* Reports "{{ VCPU }}" and "{{vcpu}}"; p is behind the opening braces. */
static void check_near_name(const struct compiler *c, const char *p, const char *end, size_t at)
{
    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    const char *name = p;
    while (p < end && is_name_char(*p))
        p++;
    size_t len = (size_t)(p - name);
    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    if (end - p < 2 || memcmp(p, "}}", 2) != 0)
        return;
    size_t i = look_up(c->t->names, name, len, true);
    if (i < c->t->nnames)
        tell(c, TEMPLATE_NEAR_NAME, at, c->t->names[i], strlen(c->t->names[i]));
}

/* Reads a placeholder at p; returns its length, or 0 if there is none. */
static size_t read_placeholder(struct compiler *c, const char *p, const char *end, size_t at)
{
    if (end - p < 2 || p[0] != '{' || p[1] != '{')
        return 0;
    const char *name = p + 2;
    const char *q = name;
    while (q < end && *q != '{' && *q != '}')
        q++;
    if (end - q >= 2 && memcmp(q, "}}", 2) == 0) {
        size_t i = look_up(c->t->names, name, (size_t)(q - name), false);
        if (i < c->t->nnames) {
            add_name(c, i);
            return (size_t)(q - p) + 2;
        }
    }
    check_near_name(c, name, end, at);
    return 0;
}

static void compile_text(struct compiler *c, struct line l)
{
    const char *text = c->t->src->text;

    if (c->in_span)
        add_char(c, '\n');
    else
        open_span(c, l.start);
    for (size_t i = l.start; i < l.end;) {
        size_t n = read_placeholder(c, text + i, text + l.end, i);
        if (n == 0)
            add_char(c, text[i++]);
        i += n;
    }
    c->t->spans[c->t->nspans - 1].end = (uint32_t)l.end;
}

static void compile_line(struct compiler *c, struct line l)
{
    bool begin;
    struct line inner = trim(c->t->src->text, l);
    size_t tag = read_marker(c, inner, &begin);

    if (tag == c->t->ntags) {
        compile_text(c, l);
        return;
    }
    close_span(c);
    check_balance(c, tag, begin, inner.start);
    apply_marker(c, tag, begin);
}

static void compile_lines(struct compiler *c)
{
    const struct source *src = c->t->src;

    for (size_t start = 0;;) {
        size_t end = start;
        while (end < src->len && src->text[end] != '\n' && src->text[end] != '\r')
            end++;
        compile_line(c, (struct line){start, end});
        if (end == src->len)
            break;
        bool crlf = src->text[end] == '\r' && end + 1 < src->len && src->text[end + 1] == '\n';
        start = end + (crlf ? 2 : 1);
    }
    close_span(c);
    for (size_t i = 0; i < c->t->ntags; i++) {
        if (c->open_at[i] > 0)
            tell(c, TEMPLATE_UNCLOSED, c->open_at[i] - 1, c->tags[i], strlen(c->tags[i]));
    }
}

/* How much of a "{{NAME}}" has been seen, of which at least one part is a value. A value may be
 * empty, so it never interrupts a row of braces. */
struct forming {
    unsigned opened, closed; /* braces */
    bool in_name, has_value;
};

/* Feeds one character of literal text. Whatever is no brace counts as part of a name: too careful
 * at worst. Returns true when a placeholder has been formed. */
static bool form_char(struct forming *f, char ch)
{
    if (ch == '{') {
        if (f->in_name || f->closed > 0)
            *f = (struct forming){0};
        f->opened++;
    } else if (f->opened < 2 || ch == '\n' || (ch != '}' && f->closed > 0)) {
        *f = (struct forming){0};
    } else if (ch != '}') {
        f->in_name = true;
    } else if (++f->closed == 2) {
        if (f->has_value)
            return true;
        *f = (struct forming){0};
    }
    return false;
}

/* Whether values without braces, put between the literal texts, could give a new placeholder, as
 * "{{{{A}}}}" does. */
static bool may_form(const struct template *t, const struct span *s)
{
    struct forming f = {0};

    for (uint32_t i = 0; i < s->count; i++) {
        const struct piece *p = &t->pieces[s->first + i];
        for (const char *q = p->lit, *end = q + p->len; q < end; q++) {
            /* Outside of braces only the next one matters. */
            if (f.opened == 0 && (q = memchr(q, '{', (size_t)(end - q))) == NULL)
                break;
            if (form_char(&f, *q))
                return true;
        }
        f.has_value = f.opened > 0;
    }
    return false;
}

/* Upper bounds, so that the arrays need not grow: a span ends at a marker, and a marker holds a
 * '#'; a placeholder holds two braces. */
static void reserve(struct compiler *c)
{
    struct template *t = c->t;
    size_t hashes = 0, braces = 0;

    for (size_t i = 0; i < t->src->len; i++) {
        hashes += t->src->text[i] == '#';
        braces += t->src->text[i] == '{';
    }
    t->spans = arena_array_of(c->a, struct span, hashes + 1);
    t->pieces = arena_array_of(c->a, struct piece, hashes + 1 + braces / 2);
    c->lit = arena_alloc(c->a, t->src->len + 1);
    c->used = arena_array_of(c->a, bool, t->nnames + 1);
    t->used = c->used;
}

static size_t count_words(const char *const *table)
{
    size_t n = 0;

    for (; table[n] != NULL; n++)
        assert(*table[n] != '\0' && strpbrk(table[n], "{}\r\n") == NULL);
    return n;
}

const struct template *template_compile(struct arena *a, const struct source *src,
                                        const char *const *tags, const char *const *names,
                                        template_report *report, void *ctx)
{
    struct template *t = arena_new_of(a, struct template);
    struct compiler c = {.a = a, .t = t, .tags = tags, .report = report, .ctx = ctx};

    *t = (struct template){
        .src = src, .names = names, .ntags = count_words(tags), .nnames = count_words(names)};
    assert(t->ntags <= TEMPLATE_TAGS_MAX && src->len <= SOURCE_MAX);
    size_t bad = utf8_check(src->text, src->len);
    if (bad < src->len) {
        tell(&c, TEMPLATE_BAD_UTF8, bad, "", 0);
        return NULL;
    }
    reserve(&c);
    compile_lines(&c);
    for (uint32_t i = 0; i < t->nspans; i++)
        t->forming |= may_form(t, &t->spans[i]);
    return t;
}
