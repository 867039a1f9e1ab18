/* index_write.c: the text of an index, line by line: of a table as it is asked for, or of entries
 * as they come; see index.h.
 *
 * Making a writer of a table goes over all lines once, for size and digests. Reading then makes
 * them again: what is in memory is one line, however large the index.
 */
#include "index.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "http.h"
#include "index_internal.h"

struct hfc_index_writer {
    const struct hfc_index *index;
    uint64_t size;
    uint8_t sha256[HFC_SHA256_SIZE];
    uint8_t lines_sha256[HFC_SHA256_SIZE]; /* what the end line says */

    /* Where the reading is. */
    uint64_t offset;
    size_t next_line;
    struct hfc_buf line;
    size_t line_read; /* of `line` */
};

static void add_encoded(struct hfc_buf *out, const char *text)
{
    for (; *text != '\0'; text++)
        if (hfc_index_escaped((unsigned char)*text))
            hfc_buf_printf(out, "%%%02X", (unsigned)(unsigned char)*text);
        else
            hfc_buf_char(out, *text);
}

static void add_digest(struct hfc_buf *out, bool known, const uint8_t *digest, size_t n)
{
    char hex[HFC_HEX_MAX];

    assert(2 * n < sizeof(hex));
    hfc_hex(digest, n, hex);
    hfc_buf_str(out, known ? hex : "-");
}

static void snapshot_line(struct hfc_buf *out, const struct hfc_snapshot *s)
{
    hfc_buf_str(out, "snapshot ");
    add_encoded(out, s->repo);
    hfc_buf_printf(out, " %s ", s->commit);
    add_digest(out, s->has_filter, s->filter, sizeof(s->filter));
    hfc_buf_char(out, '\n');
}

static void entry_line(struct hfc_buf *out, const struct hfc_entry *e)
{
    if (e->commit[0] != '\0') {
        hfc_buf_printf(out, "ref %s ", e->commit);
    } else {
        hfc_buf_printf(out, "object %" PRIu64 " ", e->size);
        add_encoded(out, e->etag);
        hfc_buf_char(out, ' ');
        add_digest(out, e->meta.has_sha256, e->meta.sha256, HFC_SHA256_SIZE);
        hfc_buf_char(out, ' ');
        add_digest(out, e->meta.has_git_sha1, e->meta.git_sha1, HFC_SHA1_SIZE);
        hfc_buf_char(out, ' ');
    }
    add_encoded(out, e->key);
    hfc_buf_char(out, '\n');
}

static void header_line(struct hfc_buf *out)
{
    hfc_buf_printf(out, HFC_INDEX_MAGIC "%d\n", HFC_INDEX_VERSION);
}

static void end_line(struct hfc_buf *out, size_t lines, const uint8_t sha256[HFC_SHA256_SIZE])
{
    hfc_buf_printf(out, "end %zu ", lines);
    add_digest(out, true, sha256, HFC_SHA256_SIZE);
    hfc_buf_char(out, '\n');
}

/* How many lines stand before the end line. */
static size_t line_count(const struct hfc_index *x)
{
    return 1 + hfc_index_snapshots(x) + hfc_index_count(x);
}

/* Puts line `i` into w->line. */
static void make_line(struct hfc_index_writer *w, size_t i)
{
    size_t snapshots = hfc_index_snapshots(w->index);

    hfc_buf_reset(&w->line);
    if (i == 0)
        header_line(&w->line);
    else if (i <= snapshots)
        snapshot_line(&w->line, hfc_index_snapshot_at(w->index, i - 1));
    else if (i < line_count(w->index))
        entry_line(&w->line, hfc_index_at(w->index, i - 1 - snapshots));
    else
        end_line(&w->line, i, w->lines_sha256);
    if (hfc_buf_failed(&w->line))
        abort(); /* memory: a line of what the table takes has less than HFC_INDEX_LINE_MAX */
}

struct hfc_index_writer *hfc_index_writer_new(const struct hfc_index *x)
{
    struct hfc_index_writer *w = calloc(1, sizeof(*w));

    if (w == NULL)
        abort();
    w->index = x;
    hfc_buf_init(&w->line, HFC_INDEX_LINE_MAX);
    struct hfc_hash *lines = hfc_hash_new(HFC_SHA256), *all = hfc_hash_new(HFC_SHA256);
    for (size_t i = 0; i <= line_count(x); i++) {
        if (i == line_count(x))
            hfc_hash_finish(lines, w->lines_sha256);
        make_line(w, i);
        hfc_hash_add(lines, w->line.data, w->line.len);
        hfc_hash_add(all, w->line.data, w->line.len);
        w->size += w->line.len;
    }
    hfc_hash_finish(all, w->sha256);
    hfc_hash_free(lines);
    hfc_hash_free(all);
    hfc_buf_reset(&w->line);
    return w;
}

void hfc_index_writer_free(struct hfc_index_writer *w)
{
    if (w == NULL)
        return;
    hfc_buf_free(&w->line);
    free(w);
}

static void rewind_writer(struct hfc_index_writer *w)
{
    w->offset = 0;
    w->next_line = 0;
    w->line_read = 0;
    hfc_buf_reset(&w->line);
}

/* Goes on where it was, or from the begin; nothing else is ever asked of a body. */
static ssize_t read_text(void *ctx, uint64_t offset, void *to, size_t n)
{
    struct hfc_index_writer *w = ctx;
    size_t done = 0;

    if (offset == 0)
        rewind_writer(w);
    if (offset != w->offset)
        return HFC_READ_STOP;
    while (done < n) {
        if (w->line_read == w->line.len) {
            if (w->next_line > line_count(w->index))
                break;
            make_line(w, w->next_line++);
            w->line_read = 0;
        }
        size_t left = w->line.len - w->line_read;
        size_t take = left < n - done ? left : n - done;
        memcpy((char *)to + done, w->line.data + w->line_read, take);
        w->line_read += take;
        done += take;
    }
    w->offset += done;
    return (ssize_t)done;
}

struct hfc_body hfc_index_body(struct hfc_index_writer *w)
{
    return (struct hfc_body){.read = read_text, .ctx = w, .size = w->size, .sha256 = w->sha256};
}

/* ---- Lines without a table. ---- */

struct hfc_index_lines {
    struct hfc_buf *to;
    struct hfc_buf line;
    struct hfc_hash *hash;
    size_t n;                   /* lines */
    char last[HFC_KEY_MAX + 1]; /* key; "" if there was none */
};

/* Gives l->line on, and counts it. */
static void give_line(struct hfc_index_lines *l)
{
    if (hfc_buf_failed(&l->line))
        abort(); /* memory, as above */
    hfc_hash_add(l->hash, l->line.data, l->line.len);
    hfc_buf_add(l->to, l->line.data, l->line.len);
    hfc_buf_reset(&l->line);
    l->n++;
}

struct hfc_index_lines *hfc_index_lines_new(struct hfc_buf *to)
{
    struct hfc_index_lines *l = calloc(1, sizeof(*l));

    if (l == NULL)
        abort();
    l->to = to;
    l->hash = hfc_hash_new(HFC_SHA256);
    hfc_buf_init(&l->line, HFC_INDEX_LINE_MAX);
    header_line(&l->line);
    give_line(l);
    return l;
}

int hfc_index_lines_add(struct hfc_index_lines *l, const struct hfc_entry *e, struct hfc_error *err)
{
    const char *fault = hfc_index_entry_fault(e);

    if (fault != NULL)
        return hfc_index_fault(err, EINVAL, fault);
    if (strcmp(l->last, e->key) >= 0)
        return hfc_index_fault(err, EBADMSG, "the key is not above the one before it");
    memcpy(l->last, e->key, strlen(e->key) + 1);
    entry_line(&l->line, e);
    give_line(l);
    return 0;
}

void hfc_index_lines_end(struct hfc_index_lines *l)
{
    uint8_t sha256[HFC_SHA256_SIZE];

    hfc_hash_finish(l->hash, sha256);
    end_line(&l->line, l->n, sha256);
    give_line(l);
}

void hfc_index_lines_free(struct hfc_index_lines *l)
{
    if (l == NULL)
        return;
    hfc_hash_free(l->hash);
    hfc_buf_free(&l->line);
    free(l);
}
