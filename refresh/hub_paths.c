/* hub_paths.c: names of files in a repository: which are refused, and which clash.
 *
 * Names are arbitrary UTF-8 and are taken as they are. Refused, never repaired, is what would not
 * stay below the snapshot's folder.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "hub_internal.h"
#include "hub_json.h"
#include "need.h"
#include "unicode.h"

static const char *segment_fault(const char *s, size_t n)
{
    if (n == 0)
        return "has an empty part in its name";
    if (n == 1 && s[0] == '.')
        return "has the part \".\" in its name";
    if (n == 2 && s[0] == '.' && s[1] == '.')
        return "has the part \"..\" in its name";
    return NULL;
}

const char *hub_path_fault(const char *path, size_t n)
{
    if (n == 0)
        return "has no name";
    if (memchr(path, '\0', n) != NULL)
        return "has a NUL in its name";
    if (!unicode_valid(path, n))
        return "has a name that is not UTF-8";
    if (path[0] == '/')
        return "has an absolute name";
    if (n > HUB_PATH_MAX)
        return "has a name that is too long for a key";
    const char *fault = NULL;
    for (const char *p = path, *end = path + n; fault == NULL && p <= end;) {
        const char *slash = p < end ? memchr(p, '/', (size_t)(end - p)) : NULL;
        size_t len = slash != NULL ? (size_t)(slash - p) : (size_t)(end - p);
        fault = segment_fault(p, len);
        p += len + 1;
    }
    return fault;
}

/* FNV-1a, and a finisher so that the low bits are as good as the others. */
uint64_t hub_hash(const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    uint64_t h = 0xcbf29ce484222325u;

    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 0x100000001b3u;
    h ^= h >> 32;
    h *= 0xd6e8feb86659fd93u;
    return h ^ h >> 32;
}

void hub_paths_free(struct hub_paths *p)
{
    free(p->slots);
    *p = (struct hub_paths){0};
}

/* The slot that has this hash, whatever its kind, or the free one where it would go. */
static uint64_t *find(uint64_t *slots, size_t size, uint64_t key)
{
    size_t i = (size_t)(key >> 8) & (size - 1);

    while (slots[i] != 0 && (slots[i] | 1) != (key | 1))
        i = (i + 1) & (size - 1);
    return &slots[i];
}

static void grow(struct hub_paths *p)
{
    size_t size = p->size == 0 ? 1024 : 2 * p->size;
    uint64_t *slots = need(calloc(size, sizeof(*slots)));

    assert((size & (size - 1)) == 0);
    for (size_t i = 0; i < p->size; i++)
        if (p->slots[i] != 0)
            *find(slots, size, p->slots[i]) = p->slots[i];
    free(p->slots);
    p->slots = slots;
    p->size = size;
}

/* Free slots must stay: find() would not end without one. */
static const char *add(struct hub_paths *p, const char *path, size_t n, bool directory)
{
    if (4 * (p->used + 1) > 3 * p->size)
        grow(p);
    /* 2: so that the hash of nothing is a free slot's value. */
    uint64_t key = ((hub_hash(path, n) | 2) & ~(uint64_t)1) | directory;
    uint64_t *slot = find(p->slots, p->size, key);
    if (*slot == 0) {
        *slot = key;
        p->used++;
        return NULL;
    }
    if (*slot != key)
        return "is a file and a directory";
    return directory ? NULL : "comes twice";
}

const char *hub_paths_add(struct hub_paths *p, const char *path, bool directory)
{
    const char *wrong = add(p, path, strlen(path), directory);

    for (const char *slash = strchr(path, '/'); wrong == NULL && slash != NULL;
         slash = strchr(slash + 1, '/')) {
        if (p->used > 2 * (size_t)HUB_ENTRIES_MAX)
            return "is one of too many";
        wrong = add(p, path, (size_t)(slash - path), true);
    }
    return wrong;
}

const char *hub_paths_add_text(struct hub_paths *p, const char *text)
{
    return add(p, text, strlen(text), false);
}

int hub_path_error(struct hfc_error *err, int errnum, const char *path, size_t n, const char *what)
{
    hfc_autobuf struct hfc_buf shown = HFC_BUF(HFC_ERROR_MAX);

    unicode_show(&shown, path, n);
    return hub_fail(err, errnum, "file \"%s\" of the listing %s", shown.data, what);
}
