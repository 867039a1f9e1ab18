/* index_read.c: the text of an index into its table, or line by line to whoever takes it; see
 * index.h and docs/index-format.md.
 *
 * The text comes from a bucket that others may write, so it is input: every deviation from the
 * format is refused with its line. Lines that lie whole in the caller's bytes are parsed there;
 * only a line that is cut by the end of a piece is put together in a buffer.
 */
#include "index.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "index_internal.h"

struct hfc_index_parser {
    const struct hfc_index_sink *sink;
    void *ctx;
    struct hfc_hash *hash; /* of all lines so far */
    struct hfc_buf cut;    /* the begin of a line whose end has not come */
    size_t lines;          /* that are done */
    bool ended;            /* the end line was read */
    bool failed;
    struct hfc_error why; /* what every call says from then on */

    /* The last line of each kind, for the order: "" if there was none. */
    char repo[HFC_INDEX_REPO_MAX + 1], commit[HFC_COMMIT_SIZE];
    char keys[2][HFC_KEY_MAX + 1]; /* the last key, and room for the next one */
    unsigned last_key;
};

/* What is left of a line. */
struct text {
    const char *at, *end;
};

static int table_snapshot(void *ctx, const struct hfc_snapshot *s, struct hfc_error *err)
{
    return hfc_index_put_snapshot_checked(ctx, s, err);
}

static int table_entry(void *ctx, const struct hfc_entry *e, struct hfc_error *err)
{
    return hfc_index_put_checked(ctx, e, err);
}

struct hfc_index_parser *hfc_index_parser_new(struct hfc_index *into)
{
    static const struct hfc_index_sink table = {table_snapshot, table_entry};

    assert(hfc_index_count(into) == 0 && hfc_index_snapshots(into) == 0);
    return hfc_index_parser_new_sink(&table, into);
}

struct hfc_index_parser *hfc_index_parser_new_sink(const struct hfc_index_sink *sink, void *ctx)
{
    struct hfc_index_parser *p = calloc(1, sizeof(*p));

    if (p == NULL)
        abort();
    assert(sink->entry != NULL);
    p->sink = sink;
    p->ctx = ctx;
    p->hash = hfc_hash_new(HFC_SHA256);
    hfc_buf_init(&p->cut, HFC_INDEX_LINE_MAX);
    return p;
}

void hfc_index_parser_free(struct hfc_index_parser *p)
{
    if (p == NULL)
        return;
    hfc_hash_free(p->hash);
    hfc_buf_free(&p->cut);
    free(p);
}

static int bad(struct hfc_error *err, const char *text)
{
    return hfc_index_fault(err, EBADMSG, text);
}

/* ---- Fields. ---- */

/* Cuts the next field off. False: there is none, or it is empty. */
static bool next_field(struct text *line, struct text *field)
{
    if (line->at == NULL)
        return false;
    const char *space = memchr(line->at, ' ', (size_t)(line->end - line->at));
    *field = (struct text){line->at, space != NULL ? space : line->end};
    line->at = space != NULL ? space + 1 : NULL;
    return field->at < field->end;
}

static bool last_field(struct text *line, struct text *field)
{
    return next_field(line, field) && line->at == NULL;
}

static bool is_text(struct text field, const char *text)
{
    size_t n = strlen(text);

    return (size_t)(field.end - field.at) == n && memcmp(field.at, text, n) == 0;
}

/* Decimal, without a sign or a needless zero, at most 2^63-1. */
static bool number(struct text field, uint64_t *value)
{
    uint64_t v = 0;

    if (*field.at == '0' && field.end - field.at > 1)
        return false;
    for (const char *c = field.at; c < field.end; c++) {
        uint64_t digit = (uint64_t)(*c - '0');
        if (*c < '0' || *c > '9' || v > (INT64_MAX - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    *value = v;
    return true;
}

/* n bytes as lower-case hex; "-" means that they are not known, where `known` is given. */
static bool digest(struct text field, uint8_t *bytes, size_t n, bool *known)
{
    char hex[HFC_HEX_MAX];
    size_t len = (size_t)(field.end - field.at);

    assert(2 * n < sizeof(hex));
    if (known != NULL)
        *known = !is_text(field, "-");
    if (known != NULL && !*known)
        return true;
    if (len != 2 * n)
        return false;
    memcpy(hex, field.at, len);
    hex[len] = '\0';
    return strspn(hex, "0123456789abcdef") == len && hfc_unhex(hex, bytes, n);
}

static bool commit(struct text field, char to[HFC_COMMIT_SIZE])
{
    if (field.end - field.at != HFC_COMMIT_SIZE - 1)
        return false;
    memcpy(to, field.at, HFC_COMMIT_SIZE - 1);
    to[HFC_COMMIT_SIZE - 1] = '\0';
    return true;
}

static int hex_value(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The byte of "%XX" at `at`; -1: not an escape, or one that the writer would not have made. */
static int escape(const char *at, const char *end)
{
    if (end - at < 3 || hex_value(at[1]) < 0 || hex_value(at[2]) < 0)
        return -1;
    int byte = hex_value(at[1]) << 4 | hex_value(at[2]);
    return byte != 0 && hfc_index_escaped((unsigned char)byte) ? byte : -1;
}

/* The field decoded into to[size], with a NUL. A text has one encoding only. */
static bool decode(struct text field, char *to, size_t size)
{
    size_t n = 0;

    for (const char *c = field.at; c < field.end; c++) {
        int byte = *c == '%' ? escape(c, field.end) : (unsigned char)*c;
        if (byte < 0 || n + 1 == size)
            return false;
        c += *c == '%' ? 2 : 0;
        to[n++] = (char)byte;
    }
    to[n] = '\0';
    return true;
}

/* ---- Lines. ---- */

static int header_line(struct text line, struct hfc_error *err)
{
    size_t n = strlen(HFC_INDEX_MAGIC);
    struct text version = {line.at + n, line.end};
    uint64_t v;

    if ((size_t)(line.end - line.at) <= n || memcmp(line.at, HFC_INDEX_MAGIC, n) != 0 ||
        !number(version, &v))
        return bad(err, "this is no index: it does not begin with '" HFC_INDEX_MAGIC "1'");
    if (v != HFC_INDEX_VERSION)
        return bad(err, "the index has a version that this program does not know");
    return 0;
}

/* Checks its order, too, and remembers it. */
static int give_snapshot(struct hfc_index_parser *p, const struct hfc_snapshot *s,
                         struct hfc_error *err)
{
    int order = strcmp(p->repo, s->repo);
    const char *fault = hfc_index_snapshot_fault(s);

    if (p->keys[p->last_key][0] != '\0')
        return bad(err, "a snapshot line stands behind an object or a ref");
    if (order > 0 || (order == 0 && strcmp(p->commit, s->commit) >= 0))
        return bad(err, "the snapshot is not above the one before it");
    if (fault != NULL)
        return bad(err, fault);
    memcpy(p->repo, s->repo, strlen(s->repo) + 1);
    memcpy(p->commit, s->commit, sizeof(p->commit));
    return p->sink->snapshot != NULL ? p->sink->snapshot(p->ctx, s, err) : 0;
}

static int snapshot_line(struct hfc_index_parser *p, struct text line, struct hfc_error *err)
{
    struct hfc_snapshot s = {0};
    char repo[HFC_INDEX_REPO_MAX + 1];
    struct text f[3];

    if (!next_field(&line, &f[0]) || !next_field(&line, &f[1]) || !last_field(&line, &f[2]))
        return bad(err, "a snapshot line has three fields: REPO COMMIT FILTER");
    if (!decode(f[0], repo, sizeof(repo)))
        return bad(err, "the repository is too long or not encoded as it should be");
    if (!commit(f[1], s.commit))
        return bad(err, "the commit is not 40 hex digits");
    if (!digest(f[2], s.filter, sizeof(s.filter), &s.has_filter))
        return bad(err, "the filter is neither a SHA-256 in lower-case hex nor '-'");
    s.repo = repo;
    return give_snapshot(p, &s, err);
}

/* The key behind the last one; what the sink gets points into the parser. */
static int give_entry(struct hfc_index_parser *p, struct text key_field, struct hfc_entry *e,
                      struct hfc_error *err)
{
    unsigned next = 1 - p->last_key;
    char *key = p->keys[next];

    if (!decode(key_field, key, sizeof(p->keys[next])))
        return bad(err, "the key is too long or not encoded as it should be");
    if (strcmp(p->keys[p->last_key], key) >= 0)
        return bad(err, "the key is not above the one before it");
    e->key = key;
    const char *fault = hfc_index_entry_fault(e);
    if (fault != NULL)
        return bad(err, fault);
    p->last_key = next;
    return p->sink->entry(p->ctx, e, err);
}

static int object_line(struct hfc_index_parser *p, struct text line, struct hfc_error *err)
{
    struct hfc_entry e = {0};
    char etag[HFC_ETAG_MAX];
    struct text f[5];

    for (unsigned i = 0; i < 4; i++)
        if (!next_field(&line, &f[i]))
            return bad(err, "an object line has five fields: SIZE ETAG SHA256 GITSHA1 KEY");
    if (!last_field(&line, &f[4]))
        return bad(err, "an object line has five fields: SIZE ETAG SHA256 GITSHA1 KEY");
    if (!number(f[0], &e.size))
        return bad(err, "the size is not a decimal number up to 2^63-1");
    if (!decode(f[1], etag, sizeof(etag)))
        return bad(err, "the ETag is too long or not encoded as it should be");
    if (!digest(f[2], e.meta.sha256, HFC_SHA256_SIZE, &e.meta.has_sha256))
        return bad(err, "the SHA-256 is neither 64 lower-case hex digits nor '-'");
    if (!digest(f[3], e.meta.git_sha1, HFC_SHA1_SIZE, &e.meta.has_git_sha1))
        return bad(err, "the git SHA-1 is neither 40 lower-case hex digits nor '-'");
    e.etag = etag;
    return give_entry(p, f[4], &e, err);
}

static int ref_line(struct hfc_index_parser *p, struct text line, struct hfc_error *err)
{
    struct hfc_entry e = {.etag = "", .size = HFC_COMMIT_SIZE - 1};
    struct text f[2];

    if (!next_field(&line, &f[0]) || !last_field(&line, &f[1]))
        return bad(err, "a ref line has two fields: COMMIT KEY");
    if (!commit(f[0], e.commit))
        return bad(err, "the commit is not 40 hex digits");
    return give_entry(p, f[1], &e, err);
}

static int end_line(struct hfc_index_parser *p, struct text line, struct hfc_error *err)
{
    uint8_t said[HFC_SHA256_SIZE], is[HFC_SHA256_SIZE];
    struct text f[2];
    uint64_t lines;

    if (!next_field(&line, &f[0]) || !last_field(&line, &f[1]) || !number(f[0], &lines) ||
        !digest(f[1], said, sizeof(said), NULL))
        return bad(err, "the end line has two fields: LINES SHA256");
    if (lines != p->lines)
        return bad(err, "the end line counts other lines than there are");
    hfc_hash_finish(p->hash, is);
    if (memcmp(said, is, sizeof(is)) != 0)
        return bad(err, "the SHA-256 of the lines is not what the end line says");
    p->ended = true;
    return 0;
}

/* Words of later versions that older readers may pass over. */
static bool is_word(struct text word)
{
    for (const char *c = word.at; c < word.end; c++)
        if ((*c < 'a' || *c > 'z') && (c == word.at || (*c != '-' && (*c < '0' || *c > '9'))))
            return false;
    return true;
}

static bool has_control(struct text line)
{
    for (const char *c = line.at; c < line.end; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return true;
    return false;
}

static int one_line(struct hfc_index_parser *p, struct text line, struct hfc_error *err)
{
    struct text word;

    if (p->ended)
        return bad(err, "something stands behind the end line");
    if (has_control(line))
        return bad(err, "a control character");
    if (p->lines == 0)
        return header_line(line, err);
    if (!next_field(&line, &word) || !is_word(word))
        return bad(err, "the line does not begin with a word");
    if (is_text(word, "object"))
        return object_line(p, line, err);
    if (is_text(word, "ref"))
        return ref_line(p, line, err);
    if (is_text(word, "snapshot"))
        return snapshot_line(p, line, err);
    if (is_text(word, "end"))
        return end_line(p, line, err);
    return 0;
}

/* ---- Pieces. ---- */

static int fail(struct hfc_index_parser *p, struct hfc_error *err)
{
    (void)hfc_error_prefix(&p->why, "line %zu", p->lines + 1);
    p->failed = true;
    if (err != NULL)
        *err = p->why;
    return -1;
}

/* A whole line, `n` bytes with its newline. */
static int take_line(struct hfc_index_parser *p, const char *bytes, size_t n, struct hfc_error *err)
{
    if (n > HFC_INDEX_LINE_MAX) {
        (void)bad(&p->why, "the line is longer than 4096 bytes");
        return fail(p, err);
    }
    if (one_line(p, (struct text){bytes, bytes + n - 1}, &p->why) < 0)
        return fail(p, err);
    hfc_hash_add(p->hash, bytes, n);
    p->lines++;
    return 0;
}

/* Adds to the cut line; parses it if its end has come. */
static int take_piece(struct hfc_index_parser *p, const char *bytes, size_t n, bool whole,
                      struct hfc_error *err)
{
    hfc_buf_add(&p->cut, bytes, n);
    if (hfc_buf_failed(&p->cut)) {
        (void)bad(&p->why, "the line is longer than 4096 bytes");
        return fail(p, err);
    }
    if (!whole)
        return 0;
    int rc = take_line(p, p->cut.data, p->cut.len, err);
    hfc_buf_reset(&p->cut);
    return rc;
}

int hfc_index_parse(struct hfc_index_parser *p, const void *bytes, size_t n, struct hfc_error *err)
{
    const char *at = bytes, *end = at + n;

    if (p->failed) {
        if (err != NULL)
            *err = p->why;
        return -1;
    }
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *next = newline != NULL ? newline + 1 : end;
        bool in_place = p->cut.len == 0 && newline != NULL;
        int rc = in_place ? take_line(p, at, (size_t)(next - at), err)
                          : take_piece(p, at, (size_t)(next - at), newline != NULL, err);
        if (rc < 0)
            return -1;
        at = next;
    }
    return 0;
}

int hfc_index_parser_finish(struct hfc_index_parser *p, struct hfc_error *err)
{
    if (!p->failed && p->cut.len > 0) {
        (void)bad(&p->why, p->ended ? "something stands behind the end line"
                                    : "the text ends within the line");
        return fail(p, err);
    }
    if (!p->failed && !p->ended) {
        (void)bad(&p->why, "the text ends without its end line");
        return fail(p, err);
    }
    return hfc_index_parse(p, "", 0, err);
}
