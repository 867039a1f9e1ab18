/* index.c: the index as a table in memory; see index.h. Text is read and written elsewhere
 * (index_read.c, index_write.c), through the public functions of this file.
 *
 * An entry is one block: the struct, then its strings. Blocks are cut off chunks, one behind the
 * other, and never move; freed ones are kept by size and cut up again. Large chunks are mappings of
 * their own in malloc(3), so that dropping an index gives the memory back to the system. The order
 * is kept in an array of pointers.
 */
#include "index.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "index_internal.h"
#include "key.h"

enum {
    ALIGN = 8,
    CHUNK_FIRST = 4096,
    CHUNK_MAX = 256 * 1024,
    TABLE_FIRST = 16,
    BLOCK_MAX = sizeof(struct hfc_entry) + HFC_KEY_MAX + 1 + HFC_ETAG_MAX + ALIGN,
};

/* A freed block: `next` stands in its first bytes. */
struct hole {
    struct hole *next;
};

struct chunk {
    struct chunk *next;
};

/* Pointers in order. The free slots lie in one gap, where the last change was: adding a run of
 * neighbours moves nothing. */
struct table {
    void **at;
    size_t n, cap;
    size_t gap; /* how many items stand before it */
};

struct hfc_index {
    size_t max, used; /* bytes */
    struct chunk *chunks;
    size_t chunk_size; /* of the next one */
    char *room;        /* what is left of the newest chunk */
    size_t room_left;
    struct hole *holes[BLOCK_MAX / ALIGN + 1]; /* by size */
    struct table entries, snapshots;
};

static_assert(sizeof(struct hole) <= ALIGN, "a hole fits the smallest block");
static_assert(sizeof(struct chunk) % ALIGN == 0, "blocks of a chunk are aligned");
static_assert(sizeof(struct hfc_snapshot) + HFC_INDEX_REPO_MAX + 1 + ALIGN <= BLOCK_MAX,
              "a snapshot is a block too");

struct hfc_index *hfc_index_new(size_t max_bytes)
{
    struct hfc_index *x = calloc(1, sizeof(*x));

    if (x == NULL)
        abort();
    x->max = max_bytes > sizeof(*x) ? max_bytes : sizeof(*x);
    x->used = sizeof(*x);
    x->chunk_size = CHUNK_FIRST;
    return x;
}

void hfc_index_free(struct hfc_index *x)
{
    if (x == NULL)
        return;
    while (x->chunks != NULL) {
        struct chunk *c = x->chunks;
        x->chunks = c->next;
        free(c);
    }
    free(x->entries.at);
    free(x->snapshots.at);
    free(x);
}

size_t hfc_index_memory(const struct hfc_index *x)
{
    return x->used;
}

static bool fits(const struct hfc_index *x, size_t n)
{
    assert(x->used <= x->max);
    return n <= x->max - x->used;
}

/* ---- Blocks. ---- */

static void put_hole(struct hfc_index *x, void *block, size_t size)
{
    struct hole *h = block;

    assert(size % ALIGN == 0 && size <= BLOCK_MAX);
    h->next = x->holes[size / ALIGN];
    x->holes[size / ALIGN] = h;
}

/* The smallest hole that is large enough; what is left of it becomes a hole of its own. */
static void *take_hole(struct hfc_index *x, size_t size)
{
    for (size_t have = size; have <= BLOCK_MAX; have += ALIGN) {
        struct hole *h = x->holes[have / ALIGN];
        if (h == NULL)
            continue;
        x->holes[have / ALIGN] = h->next;
        if (have > size)
            put_hole(x, (char *)h + size, have - size);
        return h;
    }
    return NULL;
}

/* A chunk for at least `size` more bytes. Near the cap chunks get smaller, so that something is
 * left for the table of pointers. */
static bool new_chunk(struct hfc_index *x, size_t size)
{
    size_t want = x->chunk_size, least = sizeof(struct chunk) + size;

    if (!fits(x, 4 * want))
        want = (x->max - x->used) / 4;
    if (want < least)
        want = least;
    struct chunk *c = fits(x, want) ? malloc(want) : NULL;
    if (c == NULL)
        return false;
    size_t left = x->room_left - x->room_left % ALIGN;
    if (left > 0 && left <= BLOCK_MAX)
        put_hole(x, x->room, left);
    c->next = x->chunks;
    x->chunks = c;
    x->used += want;
    x->room = (char *)(c + 1);
    x->room_left = want - sizeof(*c);
    if (x->chunk_size < CHUNK_MAX)
        x->chunk_size *= 2;
    return true;
}

static size_t rounded(size_t size)
{
    return (size + ALIGN - 1) / ALIGN * ALIGN;
}

/* NULL: the cap is reached. */
static void *new_block(struct hfc_index *x, size_t size)
{
    size = rounded(size);
    assert(size <= BLOCK_MAX);
    void *hole = take_hole(x, size);
    if (hole != NULL)
        return hole;
    if (size > x->room_left && !new_chunk(x, size))
        return NULL;
    void *block = x->room;
    x->room += size;
    x->room_left -= size;
    return block;
}

/* The block was made to measure. */
static char *copy_string(char *to, const char *text)
{
    return memcpy(to, text, strlen(text) + 1);
}

/* ---- Tables. ---- */

static void **table_slot(const struct table *t, size_t i)
{
    assert(i < t->n);
    return t->at + (i < t->gap ? i : i + (t->cap - t->n));
}

static void *table_item(const struct table *t, size_t i)
{
    return *table_slot(t, i);
}

static void move_gap(struct table *t, size_t i)
{
    size_t free_slots = t->cap - t->n;

    assert(i <= t->n && t->gap <= t->n);
    if (free_slots > 0 && i < t->gap)
        memmove(t->at + i + free_slots, t->at + i, (t->gap - i) * sizeof(void *));
    else if (free_slots > 0 && i > t->gap)
        memmove(t->at + t->gap, t->at + t->gap + free_slots, (i - t->gap) * sizeof(void *));
    t->gap = i;
}

/* Room for one more pointer; done before anything is changed. */
static bool table_reserve(struct hfc_index *x, struct table *t)
{
    if (t->n < t->cap)
        return true;
    size_t cap = t->cap == 0 ? TABLE_FIRST : t->cap * 2;
    if (!fits(x, (cap - t->cap) * sizeof(void *)))
        cap = t->cap + t->cap / 8 + 1;
    size_t more = (cap - t->cap) * sizeof(void *);
    void **at = fits(x, more) ? realloc(t->at, cap * sizeof(void *)) : NULL;
    if (at == NULL)
        return false;
    t->at = at;
    t->cap = cap;
    t->gap = t->n;
    x->used += more;
    return true;
}

static void table_insert(struct table *t, size_t i, void *item)
{
    assert(t->n < t->cap);
    move_gap(t, i);
    t->at[t->gap++] = item;
    t->n++;
}

static void table_remove(struct table *t, size_t i)
{
    assert(i < t->n);
    move_gap(t, i);
    t->n--;
}

/* The first item that is not below `a` (and `b`, where there is one). Looks at the last item first:
 * most are added in order. */
typedef int compare_fn(const void *item, const char *a, const char *b);
static size_t table_seek(const struct table *t, compare_fn *compare, const char *a, const char *b)
{
    size_t low = 0, high = t->n;

    if (high == 0 || compare(table_item(t, high - 1), a, b) < 0)
        return high;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare(table_item(t, middle), a, b) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* ---- What may stand in an index. ---- */

/* Why a mount could not show a key, or NULL. */
static const char *key_fault(const char *key)
{
    if (strncmp(key, HFC_OWN_PREFIX, strlen(HFC_OWN_PREFIX)) == 0)
        return "the key is below " HFC_OWN_PREFIX;
    return hfc_key_fault(key);
}

static bool is_commit(const char commit[HFC_COMMIT_SIZE])
{
    return strnlen(commit, HFC_COMMIT_SIZE) == HFC_COMMIT_SIZE - 1 &&
           strspn(commit, "0123456789abcdef") == HFC_COMMIT_SIZE - 1;
}

/* What an If-Match header can carry in quotes. */
static bool is_etag(const char *etag)
{
    size_t len = strnlen(etag, HFC_ETAG_MAX);

    for (size_t i = 0; i < len; i++)
        if (etag[i] < 0x21 || etag[i] > 0x7e || etag[i] == '"')
            return false;
    return len > 0 && len < HFC_ETAG_MAX;
}

const char *hfc_index_entry_fault(const struct hfc_entry *e)
{
    if (e->commit[0] != '\0')
        return is_commit(e->commit) ? key_fault(e->key) : "the commit is not 40 hex digits";
    if (e->size > INT64_MAX)
        return "the size is beyond 2^63-1";
    if (!is_etag(e->etag))
        return "the ETag is empty, too long or not printable";
    return key_fault(e->key);
}

const char *hfc_index_snapshot_fault(const struct hfc_snapshot *s)
{
    size_t len = strnlen(s->repo, HFC_INDEX_REPO_MAX + 1);

    if (len == 0 || len > HFC_INDEX_REPO_MAX || memchr(s->repo, '/', len) != NULL ||
        hfc_is_dots(s->repo, len) || !hfc_is_utf8(s->repo))
        return "the repository is not the name of a folder";
    return is_commit(s->commit) ? NULL : "the commit is not 40 hex digits";
}

/* ---- Entries. ---- */

static int no_room(const struct hfc_index *x, struct hfc_error *err)
{
    (void)hfc_error_set(err, 0, "the index takes more than %zu bytes of memory", x->max);
    if (err != NULL)
        err->errnum = ENOMEM;
    return -1;
}

static int compare_entry(const void *item, const char *key, const char *unused)
{
    (void)unused;
    return strcmp(((const struct hfc_entry *)item)->key, key);
}

static size_t entry_size(const struct hfc_entry *e)
{
    return sizeof(*e) + strlen(e->key) + 1 + strlen(e->etag) + 1;
}

/* Of a ref only key and commit count: the rest is the same for all of them. */
static struct hfc_entry *copy_entry(struct hfc_index *x, const struct hfc_entry *e)
{
    struct hfc_entry from = *e;

    if (e->commit[0] != '\0') {
        from = (struct hfc_entry){.key = e->key, .etag = "", .size = HFC_COMMIT_SIZE - 1};
        memcpy(from.commit, e->commit, sizeof(from.commit));
    }
    struct hfc_entry *to = new_block(x, entry_size(&from));
    if (to == NULL)
        return NULL;
    char *strings = (char *)(to + 1);
    *to = from;
    to->key = copy_string(strings, from.key);
    to->etag = copy_string(strings + strlen(from.key) + 1, from.etag);
    return to;
}

size_t hfc_index_count(const struct hfc_index *x)
{
    return x->entries.n;
}

const struct hfc_entry *hfc_index_at(const struct hfc_index *x, size_t i)
{
    return table_item(&x->entries, i);
}

size_t hfc_index_seek(const struct hfc_index *x, const char *key)
{
    return table_seek(&x->entries, compare_entry, key, NULL);
}

const struct hfc_entry *hfc_index_find(const struct hfc_index *x, const char *key)
{
    size_t i = hfc_index_seek(x, key);

    if (i == x->entries.n || compare_entry(table_item(&x->entries, i), key, NULL) != 0)
        return NULL;
    return table_item(&x->entries, i);
}

int hfc_index_put(struct hfc_index *x, const struct hfc_entry *e, struct hfc_error *err)
{
    const char *fault = hfc_index_entry_fault(e);

    return fault != NULL ? hfc_index_fault(err, EINVAL, fault) : hfc_index_put_checked(x, e, err);
}

/* The new entry is made before the old one goes: `e` may point into it. */
int hfc_index_put_checked(struct hfc_index *x, const struct hfc_entry *e, struct hfc_error *err)
{
    struct hfc_entry *made = table_reserve(x, &x->entries) ? copy_entry(x, e) : NULL;
    if (made == NULL)
        return no_room(x, err);
    size_t i = hfc_index_seek(x, made->key);
    struct hfc_entry *old = i < x->entries.n ? table_item(&x->entries, i) : NULL;
    if (old == NULL || strcmp(old->key, made->key) != 0) {
        table_insert(&x->entries, i, made);
        return 0;
    }
    *table_slot(&x->entries, i) = made;
    put_hole(x, old, rounded(entry_size(old)));
    return 0;
}

bool hfc_index_remove(struct hfc_index *x, const char *key)
{
    size_t i = hfc_index_seek(x, key);
    struct hfc_entry *e = i < x->entries.n ? table_item(&x->entries, i) : NULL;

    if (e == NULL || strcmp(e->key, key) != 0)
        return false;
    table_remove(&x->entries, i);
    put_hole(x, e, rounded(entry_size(e)));
    return true;
}

/* ---- Snapshots. ---- */

static int compare_snapshot(const void *item, const char *repo, const char *commit)
{
    const struct hfc_snapshot *s = item;
    int c = strcmp(s->repo, repo);

    return c != 0 ? c : strcmp(s->commit, commit);
}

/* Its place in the table; the table's end if there is none. */
static size_t find_snapshot(const struct hfc_index *x, const char *repo, const char *commit)
{
    size_t i = table_seek(&x->snapshots, compare_snapshot, repo, commit);

    if (i < x->snapshots.n && compare_snapshot(table_item(&x->snapshots, i), repo, commit) != 0)
        return x->snapshots.n;
    return i;
}

size_t hfc_index_snapshots(const struct hfc_index *x)
{
    return x->snapshots.n;
}

const struct hfc_snapshot *hfc_index_snapshot_at(const struct hfc_index *x, size_t i)
{
    return table_item(&x->snapshots, i);
}

const struct hfc_snapshot *hfc_index_snapshot(const struct hfc_index *x, const char *repo,
                                              const char *commit)
{
    size_t i = find_snapshot(x, repo, commit);

    return i < x->snapshots.n ? table_item(&x->snapshots, i) : NULL;
}

/* A filter that is not there is all zero, so that equal snapshots are equal bytes. */
static void set_filter(struct hfc_snapshot *to, const struct hfc_snapshot *from)
{
    uint8_t filter[HFC_SHA256_SIZE] = {0};

    if (from->has_filter)
        memcpy(filter, from->filter, sizeof(filter));
    to->has_filter = from->has_filter;
    memcpy(to->filter, filter, sizeof(filter));
}

int hfc_index_put_snapshot(struct hfc_index *x, const struct hfc_snapshot *s, struct hfc_error *err)
{
    const char *fault = hfc_index_snapshot_fault(s);

    return fault != NULL ? hfc_index_fault(err, EINVAL, fault)
                         : hfc_index_put_snapshot_checked(x, s, err);
}

int hfc_index_put_snapshot_checked(struct hfc_index *x, const struct hfc_snapshot *s,
                                   struct hfc_error *err)
{
    size_t i = find_snapshot(x, s->repo, s->commit);
    if (i < x->snapshots.n) {
        set_filter(table_item(&x->snapshots, i), s);
        return 0;
    }
    struct hfc_snapshot *made = NULL;
    if (table_reserve(x, &x->snapshots))
        made = new_block(x, sizeof(*s) + strlen(s->repo) + 1);
    if (made == NULL)
        return no_room(x, err);
    *made = *s;
    made->repo = copy_string((char *)(made + 1), s->repo);
    set_filter(made, s);
    i = table_seek(&x->snapshots, compare_snapshot, made->repo, made->commit);
    table_insert(&x->snapshots, i, made);
    return 0;
}

bool hfc_index_remove_snapshot(struct hfc_index *x, const char *repo, const char *commit)
{
    size_t i = find_snapshot(x, repo, commit);

    if (i == x->snapshots.n)
        return false;
    struct hfc_snapshot *s = table_item(&x->snapshots, i);
    table_remove(&x->snapshots, i);
    put_hole(x, s, rounded(sizeof(*s) + strlen(s->repo) + 1));
    return true;
}
