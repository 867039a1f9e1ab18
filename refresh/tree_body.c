/* tree_body.c: trees/COMMIT.json; see tree_body.h.
 *
 * The text is made file by file, once to know its length and hash and once for each time it is
 * sent, so that a repository of many thousand files costs one bit a file.
 */
#include "tree_body.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "need.h"

enum { PIECE_MAX = 8 * HFC_KEY_MAX };

struct tree_body {
    const struct snapshot *s;
    bool *listed; /* for each file of the snapshot */
    size_t next;  /* the file whose text comes next; nfiles is the end's */
    bool first;   /* nothing is listed yet */
    bool ended;
    uint64_t offset; /* of the first byte of `piece` */
    struct hfc_buf piece;
    uint64_t size;
    uint8_t sha256[HFC_SHA256_SIZE];
};

static void add_string(struct hfc_buf *out, const char *text)
{
    hfc_buf_char(out, '"');
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < ' ')
            hfc_buf_printf(out, "\\u%04x", (unsigned char)*text);
        else if (*text == '"' || *text == '\\')
            hfc_buf_printf(out, "\\%c", *text);
        else
            hfc_buf_char(out, *text);
    }
    hfc_buf_char(out, '"');
}

static void add_file(struct hfc_buf *out, const struct wanted *w)
{
    char hex[HFC_HEX_MAX];

    add_string(out, w->path);
    hfc_hex(w->id.git_sha1, sizeof(w->id.git_sha1), hex);
    hfc_buf_printf(out, ":{\"size\":%llu,\"blob_id\":\"%s\"", (unsigned long long)w->id.size, hex);
    if (w->id.lfs) {
        hfc_hex(w->id.sha256, sizeof(w->id.sha256), hex);
        hfc_buf_printf(out, ",\"lfs_sha256\":\"%s\",\"lfs_size\":%llu", hex,
                       (unsigned long long)w->id.size);
    }
    hfc_buf_char(out, '}');
}

static void rewind_text(struct tree_body *b)
{
    b->next = 0;
    b->first = true;
    b->ended = false;
    b->offset = 0;
    hfc_buf_reset(&b->piece);
    hfc_buf_str(&b->piece, "{\"format_version\":1,\"files\":{");
}

/* Replaces the piece by the next one. False: there is none. */
static bool next_piece(struct tree_body *b)
{
    b->offset += b->piece.len;
    hfc_buf_reset(&b->piece);
    while (b->next < b->s->nfiles && !b->listed[b->next])
        b->next++;
    if (b->next < b->s->nfiles) {
        if (!b->first)
            hfc_buf_char(&b->piece, ',');
        add_file(&b->piece, &b->s->files[b->next++]);
        b->first = false;
        return true;
    }
    if (b->ended)
        return false;
    b->ended = true;
    hfc_buf_str(&b->piece, "}}");
    return true;
}

static ssize_t read_text(void *ctx, uint64_t offset, void *to, size_t n)
{
    struct tree_body *b = ctx;
    size_t done = 0;

    if (offset < b->offset)
        rewind_text(b);
    while (done < n) {
        if (offset + done >= b->offset + b->piece.len) {
            if (!next_piece(b))
                break;
            continue;
        }
        size_t skip = (size_t)(offset + done - b->offset);
        size_t take = b->piece.len - skip < n - done ? b->piece.len - skip : n - done;
        memcpy((char *)to + done, b->piece.data + skip, take);
        done += take;
    }
    assert(done > 0 && !hfc_buf_failed(&b->piece));
    return (ssize_t)done;
}

static void measure(struct tree_body *b)
{
    hfc_autohash struct hfc_hash *hash = hfc_hash_new(HFC_SHA256);

    rewind_text(b);
    do {
        hfc_hash_add(hash, b->piece.data, b->piece.len);
        b->size += b->piece.len;
    } while (next_piece(b));
    hfc_hash_finish(hash, b->sha256);
    rewind_text(b);
}

static bool has_file(const struct snapshot *s, const struct target *t, const struct wanted *w)
{
    hfc_autobuf struct hfc_buf key = HFC_BUF(2 * HFC_KEY_MAX);

    snapshot_key(s, w->path, &key);
    const struct hfc_entry *e = hfc_index_find(t->index, key.data);
    return e != NULL && content_matches(&w->id, e->size, &e->meta);
}

struct tree_body *tree_body_new(const struct snapshot *s, const struct target *t)
{
    struct tree_body *b = need(calloc(1, sizeof(*b)));

    b->s = s;
    b->listed = need(calloc(s->nfiles + 1, sizeof(*b->listed)));
    hfc_buf_init(&b->piece, PIECE_MAX);
    for (size_t i = 0; i < s->nfiles; i++)
        b->listed[i] = has_file(s, t, &s->files[i]);
    measure(b);
    return b;
}

struct hfc_body tree_body_source(struct tree_body *b)
{
    return (struct hfc_body){.read = read_text, .ctx = b, .size = b->size, .sha256 = b->sha256};
}

bool tree_body_is_whole(const struct tree_body *b)
{
    for (size_t i = 0; i < b->s->nfiles; i++)
        if (b->s->files[i].wanted && !b->listed[i])
            return false;
    return true;
}

void tree_body_free(struct tree_body *b)
{
    if (b == NULL)
        return;
    hfc_buf_free(&b->piece);
    free(b->listed);
    free(b);
}
