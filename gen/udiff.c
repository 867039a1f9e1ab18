/* udiff.c: unified diffs; see udiff.h.
 *
 * Lines become numbers, equal lines the same one. Myers' algorithm, searching from both ends at
 * once, finds a point in the middle of a shortest script and then solves both sides of it, in
 * linear space. A stretch that takes more than COST_MAX rounds is given up and replaced whole.
 */
#include "udiff.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "arena.h"

enum {
    CONTEXT = 3,
    COST_MAX = 4096, /* rounds of one search; the work is quadratic in it */
};

struct line {
    const char *p;
    size_t n; /* with its LF */
};

struct side {
    struct line *lines;
    long *ids;
    bool *changed; /* not in the other text */
    long n;
};

struct diff {
    struct side a, b;
    long *fwd, *bwd; /* per diagonal x - y: how far the searches have come, as x */
};

struct point {
    long x, y;
};

/* A stretch of both texts, ends excluded. */
struct box {
    struct point lo, hi;
};

/* The diagonals that a search has reached. */
struct range {
    long min, max;
};

static void split_lines(struct arena *ar, const struct udiff_text *t, struct side *s)
{
    long n = 0;
    const char *end = t->p + t->n;

    for (size_t i = 0; i < t->n; i++)
        n += t->p[i] == '\n' || i == t->n - 1;
    s->lines = arena_array_of(ar, struct line, n);
    s->ids = arena_array_of(ar, long, n);
    s->changed = arena_array_of(ar, bool, n + 1); /* one more, so that runs end */
    for (const char *p = t->p; s->n < n; s->n++) {
        const char *lf = memchr(p, '\n', (size_t)(end - p));
        const char *next = lf == NULL ? end : lf + 1;
        s->lines[s->n] = (struct line){p, (size_t)(next - p)};
        p = next;
    }
}

struct table {
    const struct line **slots;
    size_t size; /* a power of two, at least twice the number of lines */
};

/* The slot of a line is its number. */
static long number_of(struct table *t, const struct line *l)
{
    uint64_t hash = 14695981039346656037U; /* FNV-1a */

    for (size_t i = 0; i < l->n; i++)
        hash = (hash ^ (unsigned char)l->p[i]) * 1099511628211U;
    size_t at = (hash ^ hash >> 32) & (t->size - 1);
    for (; t->slots[at] != NULL; at = (at + 1) & (t->size - 1)) {
        const struct line *other = t->slots[at];
        if (other->n == l->n && memcmp(other->p, l->p, l->n) == 0)
            return (long)at;
    }
    t->slots[at] = l;
    return (long)at;
}

static void number_lines(struct arena *ar, struct diff *d)
{
    struct table t = {.size = 16};

    while (t.size < 2 * (size_t)(d->a.n + d->b.n))
        t.size *= 2;
    t.slots = arena_array_of(ar, const struct line *, t.size);
    for (long i = 0; i < d->a.n; i++)
        d->a.ids[i] = number_of(&t, &d->a.lines[i]);
    for (long i = 0; i < d->b.n; i++)
        d->b.ids[i] = number_of(&t, &d->b.lines[i]);
}

/* Widens the reached diagonals by one on each side, or narrows them at the edge of the box, where
 * paths would leave it. `unset` marks the diagonals just outside as worse than any. */
static void widen(struct range *r, const struct range *limit, long *ends, long unset)
{
    if (r->min > limit->min)
        ends[--r->min - 1] = unset;
    else
        r->min++;
    if (r->max < limit->max)
        ends[++r->max + 1] = unset;
    else
        r->max--;
}

/* One round from the start of the box. True: met the other search in *at. */
static bool search_forward(const struct diff *d, const struct box *box, const struct range *mine,
                           const struct range *other, bool may_meet, struct point *at)
{
    assert(mine->min <= mine->max + 2);
    for (long k = mine->max; k >= mine->min; k -= 2) {
        long below = d->fwd[k - 1], above = d->fwd[k + 1];
        long x = below < above ? above : below + 1;
        while (x < box->hi.x && x - k < box->hi.y && d->a.ids[x] == d->b.ids[x - k])
            x++;
        d->fwd[k] = x;
        if (may_meet && other->min <= k && k <= other->max && d->bwd[k] <= x) {
            *at = (struct point){x, x - k};
            return true;
        }
    }
    return false;
}

/* The same from the end. */
static bool search_backward(const struct diff *d, const struct box *box, const struct range *mine,
                            const struct range *other, bool may_meet, struct point *at)
{
    for (long k = mine->max; k >= mine->min; k -= 2) {
        long below = d->bwd[k - 1], above = d->bwd[k + 1];
        long x = below < above ? below : above - 1;
        while (x > box->lo.x && x - k > box->lo.y && d->a.ids[x - 1] == d->b.ids[x - k - 1])
            x--;
        d->bwd[k] = x;
        if (may_meet && other->min <= k && k <= other->max && x <= d->fwd[k]) {
            *at = (struct point){x, x - k};
            return true;
        }
    }
    return false;
}

/* A point that a shortest script passes through, about half way. False: too much work. */
static bool find_middle(const struct diff *d, const struct box *box, struct point *at)
{
    const struct range limit = {box->lo.x - box->hi.y, box->hi.x - box->lo.y};
    long start = box->lo.x - box->lo.y, end = box->hi.x - box->hi.y;
    struct range fwd = {start, start}, bwd = {end, end};
    bool odd = ((start - end) & 1) != 0;

    d->fwd[start] = box->lo.x;
    d->bwd[end] = box->hi.x;
    for (long cost = 0; cost < COST_MAX; cost++) {
        widen(&fwd, &limit, d->fwd, -1);
        if (search_forward(d, box, &fwd, &bwd, odd, at))
            return true;
        widen(&bwd, &limit, d->bwd, INT32_MAX);
        if (search_backward(d, box, &bwd, &fwd, !odd, at))
            return true;
    }
    return false;
}

static void mark(struct side *s, long from, long to)
{
    assert(from <= to && to <= s->n);
    memset(s->changed + from, true, (size_t)(to - from));
}

/* Marks the lines of a shortest script in the box. The depth of the recursion is the logarithm of
 * the script's length, as each half has half of it. */
static void solve(struct diff *d, struct box box)
{
    struct point mid;

    while (box.lo.x < box.hi.x && box.lo.y < box.hi.y && d->a.ids[box.lo.x] == d->b.ids[box.lo.y]) {
        box.lo.x++;
        box.lo.y++;
    }
    while (box.lo.x < box.hi.x && box.lo.y < box.hi.y &&
           d->a.ids[box.hi.x - 1] == d->b.ids[box.hi.y - 1]) {
        box.hi.x--;
        box.hi.y--;
    }
    if (box.lo.x == box.hi.x || box.lo.y == box.hi.y || !find_middle(d, &box, &mid)) {
        mark(&d->a, box.lo.x, box.hi.x);
        mark(&d->b, box.lo.y, box.hi.y);
        return;
    }
    solve(d, (struct box){box.lo, mid});
    solve(d, (struct box){mid, box.hi});
}

/* Moves lines that only go, or only come, down as far as they can: of a repeated block the last
 * one then counts as the new one. `here` is the side that has them. */
static void slide(struct side *here, const struct side *there, long *from, long *to, long *other)
{
    while (*to < here->n && !here->changed[*to] && !there->changed[*other] &&
           here->ids[*from] == here->ids[*to]) {
        here->changed[(*from)++] = false;
        here->changed[(*to)++] = true;
        (*other)++;
    }
}

/* Finds the next change at or after *at and moves *at behind it. */
static bool next_change(struct diff *d, struct point *at, struct box *change)
{
    struct point p = *at;

    while (p.x < d->a.n && !d->a.changed[p.x] && !d->b.changed[p.y]) {
        p.x++;
        p.y++;
    }
    struct point end = p;
    while (d->a.changed[end.x])
        end.x++;
    while (d->b.changed[end.y])
        end.y++;
    if (end.x > p.x && end.y == p.y) {
        slide(&d->a, &d->b, &p.x, &end.x, &p.y);
        end.y = p.y;
    } else if (end.y > p.y && end.x == p.x) {
        slide(&d->b, &d->a, &p.y, &end.y, &p.x);
        end.x = p.x;
    }
    *change = (struct box){p, end};
    *at = end;
    return end.x > p.x || end.y > p.y;
}

struct style {
    const char *header, *range, *del, *ins, *off;
};

static void put_line(struct hfc_buf *out, const char *color, const char *off, char sign,
                     const struct line *l)
{
    assert(l->n > 0);
    bool lf = l->p[l->n - 1] == '\n';

    hfc_buf_str(out, color);
    hfc_buf_char(out, sign);
    hfc_buf_add(out, l->p, l->n - lf);
    hfc_buf_str(out, *color != '\0' ? off : "");
    hfc_buf_str(out, lf ? "\n" : "\n\\ No newline at end of file\n");
}

/* "3,7"; the count is left out if it is 1, and an empty stretch is named by the line before it. */
static void put_range(struct hfc_buf *out, char sign, long from, long to)
{
    if (to - from == 1)
        hfc_buf_printf(out, "%c%ld", sign, from + 1);
    else
        hfc_buf_printf(out, "%c%ld,%ld", sign, from == to ? from : from + 1, to - from);
}

static void put_hunk(const struct diff *d, const struct style *s, const struct box *h,
                     struct hfc_buf *out)
{
    hfc_buf_printf(out, "%s@@ ", s->range);
    put_range(out, '-', h->lo.x, h->hi.x);
    hfc_buf_char(out, ' ');
    put_range(out, '+', h->lo.y, h->hi.y);
    hfc_buf_printf(out, " @@%s\n", s->off);
    for (struct point p = h->lo; p.x < h->hi.x || p.y < h->hi.y;) {
        if (d->a.changed[p.x]) {
            put_line(out, s->del, s->off, '-', &d->a.lines[p.x++]);
        } else if (d->b.changed[p.y]) {
            put_line(out, s->ins, s->off, '+', &d->b.lines[p.y++]);
        } else {
            put_line(out, "", s->off, ' ', &d->a.lines[p.x++]);
            p.y++;
        }
    }
}

static void put_hunks(struct diff *d, const struct style *s, struct hfc_buf *out)
{
    struct point at = {0, 0};
    struct box change, hunk;
    bool more = next_change(d, &at, &change);

    while (more) {
        long lead = change.lo.x < CONTEXT ? change.lo.x : CONTEXT;
        hunk = change;
        hunk.lo.x -= lead;
        hunk.lo.y -= lead;
        while ((more = next_change(d, &at, &change)) && change.lo.x - hunk.hi.x <= 2 * CONTEXT)
            hunk.hi = change.hi;
        long tail = d->a.n - hunk.hi.x < CONTEXT ? d->a.n - hunk.hi.x : CONTEXT;
        hunk.hi.x += tail;
        hunk.hi.y += tail;
        put_hunk(d, s, &hunk, out);
    }
}

void udiff(const struct udiff_text *from, const struct udiff_text *to, bool color,
           struct hfc_buf *out)
{
    static const struct style plain = {"", "", "", "", ""};
    static const struct style colored = {"\033[1m", "\033[36m", "\033[31m", "\033[32m", "\033[0m"};
    const struct style *s = color ? &colored : &plain;
    struct diff d = {0};

    if (from->n == to->n && (from->n == 0 || memcmp(from->p, to->p, from->n) == 0))
        return;
    struct arena *ar = arena_new();
    split_lines(ar, from, &d.a);
    split_lines(ar, to, &d.b);
    number_lines(ar, &d);
    /* Diagonals run from -b.n to a.n, and one more on each side. */
    d.fwd = arena_array_of(ar, long, d.a.n + d.b.n + 3) + d.b.n + 1;
    d.bwd = arena_array_of(ar, long, d.a.n + d.b.n + 3) + d.b.n + 1;
    solve(&d, (struct box){{0, 0}, {d.a.n, d.b.n}});
    hfc_buf_printf(out, "%s--- %s%s\n", s->header, from->name, s->off);
    hfc_buf_printf(out, "%s+++ %s%s\n", s->header, to->name, s->off);
    put_hunks(&d, s, out);
    arena_free(ar);
}
