/* cmd_list.c: `list`: what is in a bucket: models, commits, refs, and whether they are complete.
 *
 * Most comes from the index and the listing, which opening the bucket has joined. Only for
 * snapshots that these do not prove complete is anything read.
 */
#include <assert.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "bucket_tree.h"
#include "budget.h"
#include "cleanup.h"
#include "glyph.h"
#include "inspect.h"
#include "inventory.h"
#include "need.h"
#include "report_parts.h"

enum { OPT_IN = 1000, OPT_JSON, OPT_MEMORY, WORDS_MAX = 1000, CELL_MAX = 64 * 1024 };

struct list_arguments {
    const char *url;
    char *words[WORDS_MAX];
    size_t nwords;
    bool json;
    size_t memory;
};

static const struct argp_option options[] = {
    {"in", OPT_IN, "URL", 0, "the bucket: s3://BUCKET[/PREFIX] or file:///DIR", 1},
    {"json", OPT_JSON, NULL, 0, "print an array with an object for each snapshot", 1},
    {"memory", OPT_MEMORY, "N", 0, "for everything, such as 256Mi; default 64Mi", 1},
    {0},
};

static const char doc[] =
    "Shows what a bucket holds: for each snapshot its model, commit, files, size, state and the "
    "refs that name it. With names of models (ORG/NAME, datasets/ORG/NAME), only those.\v"
    "complete: the index and trees/COMMIT.json say so, and nothing has changed since. "
    "incomplete: something is missing. unverified: there are files, and nothing says whether they "
    "are all; so it is when another tool has put them there.\n\n"
    "Exit status: 0 all well, 1 the bucket can't be read or a model is not there, 2 wrong usage.";

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct list_arguments *a = state->input;

    switch (key) {
    case OPT_IN:
        command_bucket(state, "in", arg, &a->url);
        return 0;
    case OPT_JSON:
        a->json = true;
        return 0;
    case OPT_MEMORY:
        a->memory = command_memory(state, arg);
        return 0;
    case ARGP_KEY_ARG:
        if (a->nwords == WORDS_MAX)
            argp_error(state, "more than %d models", WORDS_MAX);
        a->words[a->nwords++] = arg;
        return 0;
    case ARGP_KEY_END:
        if (a->url == NULL)
            argp_error(state, "which bucket? --in URL");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* States. */

enum state { COMPLETE, INCOMPLETE, UNVERIFIED };
static const char *const state_names[] = {"complete", "incomplete", "unverified"};

/* A tree whose files are not all there makes a snapshot incomplete. One that can't be understood
 * proves nothing, and is no reason to show nothing. */
static int judge_by_tree(struct inspection *in, const struct inventory_repo *r,
                         const struct inventory_snapshot *s, enum state *state,
                         struct hfc_error *err)
{
    size_t nfolder = strlen(r->folder), ncommit = strlen(s->commit);
    hfc_autofree char *key = key_of_tree(r->folder, nfolder, s->commit, ncommit);
    hfc_autofree char *prefix = key_of_files(r->folder, nfolder, s->commit, ncommit);
    struct bucket_tree tree;
    struct hfc_error why = {0};

    if (bucket_tree_read(in, key, &tree, &why) < 0) {
        if (why.errnum != EBADMSG && why.errnum != EFBIG && why.errnum != ENOENT) {
            *err = why;
            return -1;
        }
        command_warning("%s %s", key, why.msg);
        return 0;
    }
    if (bucket_tree_missing(&tree, in->target->index, prefix) > 0)
        *state = INCOMPLETE;
    bucket_tree_free(&tree);
    return 0;
}

/* In target->index a snapshot line stands only if nothing of the snapshot has changed since; in the
 * published one it stands as it was written. */
static int judge(struct inspection *in, const struct inventory_repo *r,
                 const struct inventory_snapshot *s, enum state *state, struct hfc_error *err)
{
    const struct hfc_index *published;

    assert(s->files > 0 || s->bytes == 0);
    *state = INCOMPLETE;
    if (hfc_index_snapshot(in->target->index, r->folder, s->commit) != NULL) {
        *state = s->has_tree && s->files > 0 ? COMPLETE : INCOMPLETE;
        return 0;
    }
    if (s->files == 0)
        return 0;
    if (inspection_published(in, &published, err) < 0)
        return -1;
    if (hfc_index_snapshot(published, r->folder, s->commit) != NULL)
        return 0;
    *state = UNVERIFIED;
    return s->has_tree ? judge_by_tree(in, r, s, state, err) : 0;
}

/* Rows. */

/* What a column shows; the refs are last, as their width may be anything. */
enum { MODEL, COMMIT, FILES, SIZE, STATE, REFS, COLUMNS };
static const char *const titles[COLUMNS] = {"MODEL", "COMMIT", "FILES", "SIZE", "STATE", "REFS"};

struct row {
    const struct inventory_repo *repo;
    const struct inventory_snapshot *snapshot;
    enum state state;
};

struct rows {
    struct row *list;
    size_t n;
};

/* What people call it. */
static void add_name(const struct inventory_repo *r, struct hfc_buf *out)
{
    repo_name(r->folder, strlen(r->folder), out);
}

/* A line for each snapshot, in the order of the inventory: by folder, then by commit. */
static int take_rows(struct inspection *in, const struct inventory *inv, struct rows *rows,
                     struct hfc_error *err)
{
    for (size_t i = 0; i < inv->nrepos; i++)
        rows->n += inv->repos[i].nsnapshots;
    rows->list = need(calloc(rows->n + 1, sizeof(*rows->list)));
    struct row *row = rows->list;
    for (size_t i = 0; i < inv->nrepos; i++) {
        const struct inventory_repo *r = &inv->repos[i];
        if (r->broken_ref != NULL)
            command_warning("hub/%s/refs/%s is not the name of a commit", r->folder, r->broken_ref);
        for (size_t s = 0; s < r->nsnapshots; s++, row++) {
            *row = (struct row){.repo = r, .snapshot = &r->snapshots[s]};
            if (judge(in, r, row->snapshot, &row->state, err) < 0)
                return -1;
        }
    }
    return 0;
}

/* For people. */

/* The names are from outside, like that of the folder and the commit. */
static void add_refs(const struct inventory_snapshot *s, struct hfc_buf *out)
{
    if (s->nrefs == 0)
        hfc_buf_char(out, '-');
    for (size_t i = 0; i < s->nrefs; i++) {
        if (i > 0)
            hfc_buf_char(out, ',');
        hfc_glyph_add(out, s->refs[i], strlen(s->refs[i]));
    }
}

static void add_cell(const struct row *row, int column, struct hfc_buf *out)
{
    hfc_autobuf struct hfc_buf name = HFC_BUF(HFC_KEY_MAX);

    switch (column) {
    case MODEL:
        add_name(row->repo, &name);
        hfc_glyph_add(out, name.data, name.len);
        break;
    case COMMIT:
        hfc_glyph_add(out, row->snapshot->commit, strlen(row->snapshot->commit));
        break;
    case FILES:
        hfc_buf_printf(out, "%llu", (unsigned long long)row->snapshot->files);
        break;
    case SIZE:
        report_add_size(out, row->snapshot->bytes);
        break;
    case STATE:
        hfc_buf_str(out, state_names[row->state]);
        break;
    default:
        assert(column == REFS);
        add_refs(row->snapshot, out);
        break;
    }
}

/* `row` NULL: the titles. Numbers stand to the right. */
static void print_line(const struct row *row, const size_t *widths)
{
    for (int c = 0; c < COLUMNS; c++) {
        hfc_autobuf struct hfc_buf cell = HFC_BUF(CELL_MAX);
        if (row != NULL)
            add_cell(row, c, &cell);
        else
            hfc_buf_str(&cell, titles[c]);
        bool right = c == FILES || c == SIZE;
        if (c == REFS)
            printf("%s\n", cell.data);
        else
            printf("%*s  ", right ? (int)widths[c] : -(int)widths[c], cell.data);
    }
}

static const char *plural(uint64_t n)
{
    return n == 1 ? "" : "s";
}

/* The total, and what is not the cache's. */
static void print_sum(const struct inventory *inv, const struct rows *rows)
{
    hfc_autobuf struct hfc_buf size = HFC_BUF(64);
    hfc_autobuf struct hfc_buf other = HFC_BUF(64);
    uint64_t files = 0, bytes = 0;

    for (size_t i = 0; i < rows->n; i++) {
        files += rows->list[i].snapshot->files;
        bytes += rows->list[i].snapshot->bytes;
    }
    report_add_size(&size, bytes);
    printf("%zu snapshot%s of %zu model%s: %llu file%s, %s\n", rows->n, plural(rows->n),
           inv->nrepos, plural(inv->nrepos), (unsigned long long)files, plural(files), size.data);
    if (inv->other_objects == 0)
        return;
    report_add_size(&other, inv->other_bytes);
    printf("other: %llu object%s of no model, %s\n", (unsigned long long)inv->other_objects,
           plural(inv->other_objects), other.data);
}

/* Made twice, as the first pass is for the widths: cheaper than to keep all cells. */
static void print_table(const struct inventory *inv, const struct rows *rows)
{
    size_t widths[COLUMNS];

    for (int c = 0; c < COLUMNS; c++) {
        widths[c] = strlen(titles[c]);
        for (size_t i = 0; i < rows->n; i++) {
            hfc_autobuf struct hfc_buf cell = HFC_BUF(CELL_MAX);
            add_cell(&rows->list[i], c, &cell);
            widths[c] = cell.len > widths[c] ? cell.len : widths[c];
        }
    }
    if (rows->n > 0)
        print_line(NULL, widths);
    for (size_t i = 0; i < rows->n; i++)
        print_line(&rows->list[i], widths);
    print_sum(inv, rows);
}

/* For programs: an object a line. */

/* Escaped to ASCII: a terminal may be what reads it. */
static void print_object(json_t *object, bool first)
{
    fputs(first ? "\n" : ",\n", stdout);
    (void)json_dumpf(object, stdout, JSON_ENSURE_ASCII);
    json_decref(object);
}

/* The keys are an interface: add to them, never rename. */
static json_t *row_object(const struct row *row)
{
    const struct inventory_snapshot *s = row->snapshot;
    hfc_autobuf struct hfc_buf name = HFC_BUF(HFC_KEY_MAX);
    json_t *refs = need(json_array());

    assert(s->commit != NULL && row->state < HFC_ARRAY_LEN(state_names));
    for (size_t i = 0; i < s->nrefs; i++)
        (void)json_array_append_new(refs, json_string(s->refs[i]));
    add_name(row->repo, &name);
    return need(json_pack("{s:s,s:s,s:s,s:I,s:I,s:s,s:o}", "model", name.data, "folder",
                          row->repo->folder, "commit", s->commit, "files", (json_int_t)s->files,
                          "bytes", (json_int_t)s->bytes, "state", state_names[row->state], "refs",
                          refs));
}

static void print_json(const struct inventory *inv, const struct rows *rows)
{
    putchar('[');
    for (size_t i = 0; i < rows->n; i++)
        print_object(row_object(&rows->list[i]), i == 0);
    if (inv->other_objects > 0)
        print_object(
            need(json_pack("{s:n,s:I,s:I,s:s}", "model", "files", (json_int_t)inv->other_objects,
                           "bytes", (json_int_t)inv->other_bytes, "state", "other")),
            rows->n == 0);
    fputs("\n]\n", stdout);
}

static bool is_wanted(void *ctx, const char *folder, size_t n)
{
    return selection_has(ctx, folder, n);
}

/* Objects of no model are shown where no model is asked for. */
static int list(struct inspection *in, const struct list_arguments *a, struct selection *models)
{
    struct inventory inv;
    struct rows rows = {0};
    struct hfc_error err = {0};
    int rc = STATUS_OK;

    inventory_take(in->target->index, is_wanted, models, &inv);
    if (models->n > 0)
        inv.other_objects = 0;
    if (take_rows(in, &inv, &rows, &err) < 0)
        rc = inspection_failed(in, &err);
    else if (a->json)
        print_json(&inv, &rows);
    else
        print_table(&inv, &rows);
    free(rows.list);
    inventory_free(&inv);
    return rc != STATUS_OK ? rc : selection_missing(models);
}

static int run(int argc, char **argv)
{
    static const struct argp argp = {options, parse, "[MODEL...]", doc, NULL, NULL, NULL};
    struct list_arguments a = {.memory = BUDGET_DEFAULT};
    struct selection models;
    struct inspection in;
    int rc = STATUS_FAILED;

    command_parse(&argp, argc, argv, &a);
    if (selection_of(a.words, a.nwords, &models) < 0)
        return STATUS_USAGE;
    const struct inspection_options open = {
        .url = a.url, .use = TARGET_READ, .memory = a.memory, .jobs = INSPECTION_JOBS};
    if (inspection_open(&in, &open) == 0)
        rc = list(&in, &a, &models);
    inspection_close(&in);
    selection_free(&models);
    return rc;
}

const struct subcommand list_command = {"list", "show what a bucket holds", run};
