/* diag.c: the collection of findings and the table of codes; printing is in diag_format.c.
 *
 * Findings are kept in the order of report, beside an open-addressing set of their indices. The
 * set makes one finding of what many clusters run into, and keeps that cheap when a broken input
 * is reported tens of thousands of times.
 */
#include "diag.h"

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

enum { FIRST_SLOTS = 64 }; /* a power of two; half of them are used at most */

struct diags {
    struct arena *arena;
    struct diag *items;
    uint32_t *slots; /* index into items, plus one; 0: free */
    size_t count, nslots;
    size_t errors;
};

#define DIGIT(number, unit) ((char)('0' + (number) / (unit) % 10))

static const struct code_info {
    char id[7];
    enum diag_severity severity;
    const char *title;
} code_table[] = {
#define DIAG(name, number, severity, title)                                                        \
    [name] = {{'H', 'F', 'G', DIGIT(number, 100), DIGIT(number, 10), DIGIT(number, 1), '\0'},      \
              severity,                                                                            \
              title},
#include "diag_codes.def"
#undef DIAG
};

const char *diag_code_id(enum diag_code code)
{
    assert(code < DIAG_CODES);
    return code_table[code].id;
}

enum diag_severity diag_code_severity(enum diag_code code)
{
    assert(code < DIAG_CODES);
    return code_table[code].severity;
}

const char *diag_code_title(enum diag_code code)
{
    assert(code < DIAG_CODES);
    return code_table[code].title;
}

/* The old arrays stay in the arena when the collection grows: at most as much again. */
static void make_room(struct diags *d, size_t nslots)
{
    struct diag *items = arena_array_of(d->arena, struct diag, nslots / 2);

    if (d->count > 0)
        memcpy(items, d->items, d->count * sizeof(*items));
    d->items = items;
    d->slots = arena_array_of(d->arena, uint32_t, nslots);
    d->nslots = nslots;
}

struct diags *diags_new(void)
{
    struct arena *arena = arena_new();
    struct diags *d = arena_new_of(arena, struct diags);

    d->arena = arena;
    make_room(d, FIRST_SLOTS);
    return d;
}

void diags_free(struct diags *d)
{
    if (d != NULL)
        arena_free(d->arena);
}

struct arena *diags_arena(struct diags *d)
{
    return d->arena;
}

/* FNV-1a. */
static uint64_t hash_bytes(uint64_t h, const void *bytes, size_t n)
{
    const unsigned char *p = bytes;

    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 0x100000001b3U;
    return h;
}

/* Two loads of one file are the same place. */
static const char *place_path(const struct diag *item)
{
    return item->at.src != NULL ? item->at.src->path : "";
}

static uint64_t hash_of(const struct diag *item)
{
    uint32_t numbers[] = {(uint32_t)item->code, item->at.line, item->at.col};
    uint64_t h = hash_bytes(0xcbf29ce484222325U, numbers, sizeof(numbers));

    h = hash_bytes(h, place_path(item), strlen(place_path(item)));
    h = hash_bytes(h, item->message, strlen(item->message));
    return h ^ h >> 32;
}

static bool same(const struct diag *a, const struct diag *b)
{
    return a->code == b->code && a->at.line == b->at.line && a->at.col == b->at.col &&
           strcmp(place_path(a), place_path(b)) == 0 && strcmp(a->message, b->message) == 0;
}

/* The slot that holds an equal finding, or the free one where it belongs. */
static uint32_t *find_slot(const struct diags *d, const struct diag *item)
{
    size_t i = (size_t)hash_of(item) & (d->nslots - 1);

    assert(d->count <= d->nslots / 2);
    while (d->slots[i] != 0 && !same(&d->items[d->slots[i] - 1], item))
        i = (i + 1) & (d->nslots - 1);
    return &d->slots[i];
}

static void grow(struct diags *d)
{
    assert(d->nslots < UINT32_MAX / 2);
    make_room(d, d->nslots * 2);
    for (size_t i = 0; i < d->count; i++)
        *find_slot(d, &d->items[i]) = (uint32_t)(i + 1);
}

void diags_add(struct diags *d, const struct diag *item)
{
    assert(item->code < DIAG_CODES);
    assert(item->message != NULL);
    assert(item->at.line == 0 || item->at.col > 0);
    if (d->count == d->nslots / 2)
        grow(d);
    uint32_t *slot = find_slot(d, item);
    if (*slot != 0)
        return;
    d->items[d->count++] = *item;
    *slot = (uint32_t)d->count;
    if (diag_code_severity(item->code) == DIAG_ERROR)
        d->errors++;
}

void diags_addf(struct diags *d, enum diag_code code, struct srcpos at, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    assert(n >= 0);
    char *message = arena_alloc(d->arena, (size_t)n + 1);
    va_start(ap, fmt);
    (void)vsnprintf(message, (size_t)n + 1, fmt, ap);
    va_end(ap);
    struct diag item = {.code = code, .at = at, .message = message};
    diags_add(d, &item);
}

size_t diags_errors(const struct diags *d)
{
    return d->errors;
}

size_t diags_warnings(const struct diags *d)
{
    return d->count - d->errors;
}

size_t diags_drop_warnings(struct diags *d)
{
    size_t kept = 0, dropped = diags_warnings(d);

    for (size_t i = 0; i < d->count; i++)
        if (diag_code_severity(d->items[i].code) == DIAG_ERROR)
            d->items[kept++] = d->items[i];
    d->count = kept;
    /* The table of what has been seen points at old places: nothing may be added from here on. */
    d->nslots = 0;
    return dropped;
}

size_t diags_count(const struct diags *d)
{
    return d->count;
}

const struct diag *diags_get(const struct diags *d, size_t i)
{
    assert(i < d->count);
    return &d->items[i];
}
