/* hub_json.c: parses the Hub's answers; see hub_json.h.
 *
 * A listing is decoded one entry at a time, so that the tree which jansson builds stays small.
 */
#include "hub_json.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include <jansson.h>

#include "cleanup.h"
#include "hub_internal.h"
#include "need.h"
#include "unicode.h"

static void free_json(json_t **j)
{
    json_decref(*j);
}

#define autojson __attribute__((cleanup(free_json)))

void json_skim(struct json_skim *s, const char *bytes, size_t n, struct hfc_buf *out)
{
    for (size_t i = 0; i < n; i++) {
        char c = bytes[i];
        bool quoted = s->in_string, inner = s->depth > 1;
        if (s->escaped)
            s->escaped = false;
        else if (quoted)
            s->escaped = c == '\\', s->in_string = c != '"';
        else if (c == '"')
            s->in_string = true;
        else if (c == '{' || c == '[')
            s->depth++;
        else if ((c == '}' || c == ']') && s->depth > 0)
            s->depth--;
        if (!inner && s->depth > 1)
            hfc_buf_str(out, "null");
        else if (!inner)
            hfc_buf_char(out, c);
    }
}

/* `text` may be cut off anywhere, and a message wants the reason, not jansson's place in it. */
static int not_json(struct hfc_error *err, const char *text, size_t n, const json_error_t *e)
{
    size_t blank = 0;

    while (blank < n && strchr(" \t\r\n", text[blank]) != NULL && text[blank] != '\0')
        blank++;
    if (blank < n && text[blank] == '<')
        return hub_fail(err, EPROTO,
                        "the answer is HTML, not the Hub's JSON (a proxy or login page?)");
    hfc_autobuf struct hfc_buf why = HFC_BUF(HFC_ERROR_MAX);
    unicode_show(&why, e->text, strlen(e->text));
    return hub_fail(err, EPROTO, "the answer is not the Hub's JSON (%s)", why.data);
}

static bool is_hex(const char *text, size_t digits)
{
    return text != NULL && strlen(text) == digits && strspn(text, "0123456789abcdef") == digits;
}

static bool is_set(const json_t *value)
{
    return json_is_true(value) || json_is_string(value);
}

int json_info_parse(const char *text, size_t n, struct json_info *info, struct hfc_error *err)
{
    json_error_t e = {.text = ""};
    autojson json_t *root = json_loadb(text, n, JSON_REJECT_DUPLICATES, &e);

    *info = (struct json_info){.id = NULL};
    if (root == NULL)
        return not_json(err, text, n, &e);
    const char *sha = json_string_value(json_object_get(root, "sha"));
    const char *id = json_string_value(json_object_get(root, "id"));
    if (!is_hex(sha, HUB_COMMIT))
        return hub_fail(err, EPROTO, "the answer names no commit (\"sha\"): not the Hub");
    if (id != NULL && model_id_fault(id) != NULL)
        return hub_fail(err, EPROTO, "the Hub calls the repository by a name that %s",
                        model_id_fault(id));
    memcpy(info->commit, sha, HUB_COMMIT + 1);
    info->id = id != NULL ? need_copy(id, strlen(id)) : NULL;
    info->private = json_is_true(json_object_get(root, "private"));
    info->gated = is_set(json_object_get(root, "gated"));
    info->disabled = json_is_true(json_object_get(root, "disabled"));
    return 0;
}

static int bad_entry(struct hfc_error *err, int errnum, const json_t *path, const char *what)
{
    return hub_path_error(err, errnum, json_string_value(path), json_string_length(path), what);
}

/* Size and hashes; `lfs` is the entry's member of that name, if it is an object. */
static const char *read_content(const json_t *entry, const json_t *lfs, struct hub_file *file)
{
    const json_t *size = json_object_get(entry, "size"), *lfs_size = json_object_get(lfs, "size");
    const char *oid = json_string_value(json_object_get(entry, "oid"));

    if (!json_is_integer(size) || json_integer_value(size) < 0)
        return "has no size";
    file->size = (uint64_t)json_integer_value(size);
    if (!is_hex(oid, 2 * (size_t)HFC_SHA1_SIZE))
        return "has no git id (\"oid\")";
    bool good = hfc_unhex(oid, file->git_sha1, HFC_SHA1_SIZE);
    file->lfs = json_is_object(lfs);
    if (file->lfs) {
        const char *sha256 = json_string_value(json_object_get(lfs, "oid"));
        if (!is_hex(sha256, 2 * (size_t)HFC_SHA256_SIZE))
            return "has no SHA-256 (\"lfs.oid\")";
        good = good && hfc_unhex(sha256, file->sha256, HFC_SHA256_SIZE);
        if (lfs_size != NULL && json_integer_value(lfs_size) != json_integer_value(size))
            return "has two different sizes";
    }
    assert(good);
    return NULL;
}

static int read_entry(const json_t *e, struct json_entry *entry, struct hfc_error *err)
{
    const json_t *path = json_object_get(e, "path"), *lfs = json_object_get(e, "lfs");
    const char *type = json_string_value(json_object_get(e, "type"));

    *entry = (struct json_entry){.directory = type != NULL && strcmp(type, "directory") == 0};
    if (!json_is_string(path))
        return hub_fail(err, EPROTO, "an entry of the listing has no path: not the Hub");
    const char *fault = hub_path_fault(json_string_value(path), json_string_length(path));
    if (fault != NULL)
        return bad_entry(err, EINVAL, path, fault);
    entry->file.path = json_string_value(path);
    if (entry->directory)
        return 0;
    if (type == NULL || strcmp(type, "file") != 0)
        return bad_entry(err, EPROTO, path, "is neither file nor directory");
    if (lfs != NULL && !json_is_object(lfs) && !json_is_null(lfs))
        return bad_entry(err, EPROTO, path, "has an \"lfs\" that is no object");
    const char *wrong = read_content(e, lfs, &entry->file);
    return wrong != NULL ? bad_entry(err, EBADMSG, path, wrong) : 0;
}

static const char *skip_blanks(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\r' || *p == '\n'))
        p++;
    return p;
}

/* Behind the list's end there may be blanks only. */
static int expect_end(const char *p, const char *end, const char *text, struct hfc_error *err)
{
    json_error_t e = {.text = "text behind its end"};

    return skip_blanks(p, end) == end ? 0 : not_json(err, text, (size_t)(end - text), &e);
}

int json_tree_parse(const char *text, size_t n, json_entry_fn *entry, void *ctx,
                    struct hfc_error *err)
{
    const char *end = text + n, *p = skip_blanks(text, end);
    json_error_t e = {.text = "not a list"};

    if (p == end || *p != '[')
        return not_json(err, text, n, &e);
    p = skip_blanks(p + 1, end);
    if (p < end && *p == ']')
        return expect_end(p + 1, end, text, err);
    for (;;) {
        autojson json_t *item =
            json_loadb(p, (size_t)(end - p),
                       JSON_DISABLE_EOF_CHECK | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &e);
        struct json_entry read;
        if (item == NULL)
            return not_json(err, text, n, &e);
        if (read_entry(item, &read, err) < 0)
            return -1;
        if (!entry(ctx, &read))
            return 0;
        assert(e.position > 0 && e.position <= end - p);
        p = skip_blanks(p + e.position, end);
        if (p < end && *p == ']')
            return expect_end(p + 1, end, text, err);
        (void)snprintf(e.text, sizeof(e.text), "neither , nor ] behind an entry");
        if (p == end || *p != ',')
            return not_json(err, text, n, &e);
        p++;
    }
}
