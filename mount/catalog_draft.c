/* catalog_draft.c: a tree in the making: the text of an index as it arrives, or the objects of a
 * listing; see catalog_internal.h.
 *
 * Either way the tree is built and the copy written at once, so that a bucket's names are never in
 * memory as text. What does not fit the memory is still read to its end, so that the message can
 * tell how much it takes. Belongs to the loop's thread.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "catalog_internal.h"
#include "cleanup.h"

/* A full piece, and one line more. */
enum { TEXT_MAX = COPY_PIECE + 4096 };

/* One that is too large is no failure yet, but it needs no copy any more. */
static int take_entry(void *ctx, const struct hfc_entry *e, struct hfc_error *err)
{
    struct draft *d = ctx;
    struct hfc_error why = {0};

    if (nametree_add(d->builder, e, &why) == 0)
        return 0;
    catalog_copy_drop(&d->copy);
    if (why.errnum == ENOMEM)
        return 0;
    *err = why;
    return -1;
}

struct draft *catalog_draft_new(size_t tree_max, int directory, bool listing)
{
    static const struct hfc_index_sink sink = {.entry = take_entry};
    struct draft *d = calloc(1, sizeof(*d));

    if (d == NULL)
        abort();
    d->builder = nametree_builder_new(tree_max);
    catalog_copy_begin(&d->copy, directory);
    hfc_buf_init(&d->text, TEXT_MAX);
    if (listing)
        d->lines = hfc_index_lines_new(&d->text);
    else
        d->parser = hfc_index_parser_new_sink(&sink, d);
    return d;
}

void catalog_draft_free(struct draft *d)
{
    if (d == NULL)
        return;
    nametree_builder_free(d->builder);
    hfc_index_parser_free(d->parser);
    hfc_index_lines_free(d->lines);
    hfc_buf_free(&d->text);
    catalog_copy_drop(&d->copy);
    hfc_hash_free(d->copy.hash);
    free(d);
}

bool catalog_draft_text(struct draft *d, const void *bytes, size_t n)
{
    assert(d->parser != NULL);
    if (!d->failed && hfc_index_parse(d->parser, bytes, n, &d->why) < 0)
        d->failed = true;
    if (!d->failed)
        catalog_copy_add(&d->copy, bytes, n);
    return !d->failed;
}

static void flush(struct draft *d)
{
    if (hfc_buf_failed(&d->text))
        abort(); /* memory: lines are shorter than what was left for one */
    catalog_copy_add(&d->copy, d->text.data, d->text.len);
    hfc_buf_reset(&d->text);
}

/* Names of our own, and empty objects by which some tools mark a folder, are no loss. */
static bool is_no_file(const char *key)
{
    size_t n = strlen(key);

    return strncmp(key, HFC_OWN_PREFIX, strlen(HFC_OWN_PREFIX)) == 0 ||
           (n > 0 && key[n - 1] == '/');
}

void catalog_draft_object(struct draft *d, const char *key, const struct hfc_object *object)
{
    const struct hfc_entry e = {
        .key = key, .etag = object->etag, .size = object->size, .meta = object->meta};
    struct hfc_error err = {0};

    assert(d->lines != NULL);
    if (d->failed || is_no_file(key))
        return;
    if (hfc_index_lines_add(d->lines, &e, &err) == 0) {
        d->failed = take_entry(d, &e, &d->why) < 0;
    } else if (err.errnum == EINVAL) {
        d->left_out++;
    } else {
        d->why = err;
        d->failed = true;
    }
    if (d->text.len >= COPY_PIECE)
        flush(d);
}

struct nametree *catalog_draft_finish(struct draft *d, const char *version, struct hfc_error *err)
{
    if (d->parser != NULL && !d->failed)
        d->failed = hfc_index_parser_finish(d->parser, &d->why) < 0;
    if (d->failed) {
        *err = d->why;
        return NULL;
    }
    if (d->lines != NULL) {
        hfc_index_lines_end(d->lines);
        flush(d);
    }
    catalog_copy_end(&d->copy);
    return nametree_finish(hfc_steal_ptr(&d->builder), version, err);
}
