/* inputs.c: input files and folders, cached by path; see inputs.h. */
#include "inputs.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <string.h>

#include <uthash.h>

#include "cleanup.h"

/* In the arena and never moved: callers keep pointers to what is in it for the whole run. */
struct file_slot {
    struct input file;
    bool looked_at;
    UT_hash_handle hh;
};

struct dir_slot {
    struct input_dir dir;
    UT_hash_handle hh;
};

struct inputs {
    struct arena *arena;
    struct file_slot *files; /* by file.path */
    struct dir_slot *dirs;   /* by dir.path */
};

struct inputs *inputs_new(struct arena *a)
{
    struct inputs *in = arena_new_of(a, struct inputs);

    in->arena = a;
    return in;
}

void inputs_free(struct inputs *in)
{
    if (in == NULL)
        return;
    HASH_CLEAR(hh, in->files);
    HASH_CLEAR(hh, in->dirs);
}

static void load(struct arena *a, struct input *file)
{
    struct hfc_error err = {0};
    const struct source *src;

    if (source_load(a, file->path, &src, &err) < 0) {
        file->state = INPUT_UNREADABLE;
        /* Without the path, which the finding shows anyway. */
        file->why = arena_strdup(a, err.errnum != 0 ? strerrordesc_np(err.errnum) : err.msg);
        /* A place to point at; the file has no lines. */
        file->doc.src = source_from_text(a, file->path, "", 0);
        return;
    }
    file->doc.src = src;
    file->state = yaml_parse(a, src, &file->doc, &file->yerr) < 0 ? INPUT_SYNTAX : INPUT_OK;
}

const struct input *inputs_file(struct inputs *in, const char *path)
{
    struct file_slot *slot;

    HASH_FIND_STR(in->files, path, slot);
    if (slot != NULL)
        return &slot->file;
    slot = arena_new_of(in->arena, struct file_slot);
    slot->file.path = arena_strdup(in->arena, path);
    const char *slash = strrchr(slot->file.path, '/');
    slot->file.name = slash != NULL ? slash + 1 : slot->file.path;
    load(in->arena, &slot->file);
    HASH_ADD_KEYPTR(hh, in->files, slot->file.path, strlen(slot->file.path), slot);
    return &slot->file;
}

bool inputs_dir_report(const struct input_dir *dir, struct diags *d)
{
    for (size_t i = 0; i < dir->nignored; i++)
        diags_addf(d, W_IGNORED_FILE, (struct srcpos){0}, "%s/%s is not read: only *.yaml is",
                   dir->path, dir->ignored[i]);
    if (dir->why == NULL)
        return true;
    diags_addf(d, D_UNREADABLE, (struct srcpos){0}, "cannot read the folder %s: %s", dir->path,
               dir->why);
    return false;
}

bool inputs_first_look(struct inputs *in, const struct input *file)
{
    struct file_slot *slot;

    HASH_FIND_STR(in->files, file->path, slot);
    assert(slot != NULL);
    bool first = !slot->looked_at;
    slot->looked_at = true;
    return first;
}

/* Hidden names are definitions, `.yml` and `.YAML` are none: the same files that the deployed
 * runners have been made from. */
static bool ends_with(const char *name, const char *end, bool any_case)
{
    size_t n = strlen(name), k = strlen(end);

    return n >= k && (any_case ? strcasecmp : strcmp)(name + n - k, end) == 0;
}

/* What is, or was probably meant to be, a definition. */
static int is_candidate(const struct dirent *e)
{
    return ends_with(e->d_name, ".yaml", true) || ends_with(e->d_name, ".yml", true);
}

int inputs_by_bytes(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* A folder that is not there is an empty one: where definitions are needed, having none is
 * reported. */
static void list(struct inputs *in, struct input_dir *dir)
{
    struct dirent **entries = NULL;
    int n = scandir(dir->path, &entries, is_candidate, inputs_by_bytes);

    if (n < 0 && errno != ENOENT)
        dir->why = arena_strdup(in->arena, strerrordesc_np(errno));
    const struct input **files = arena_array_of(in->arena, const struct input *, n > 0 ? n : 0);
    const char **ignored = arena_array_of(in->arena, const char *, n > 0 ? n : 0);
    for (int i = 0; i < n; i++) {
        const char *name = entries[i]->d_name;
        if (ends_with(name, ".yaml", false))
            files[dir->n++] = inputs_file(in, arena_printf(in->arena, "%s/%s", dir->path, name));
        else
            ignored[dir->nignored++] = arena_strdup(in->arena, name);
        free(entries[i]);
    }
    free(entries);
    dir->files = files;
    dir->ignored = ignored;
}

const struct input_dir *inputs_dir(struct inputs *in, const char *path)
{
    struct dir_slot *slot;

    HASH_FIND_STR(in->dirs, path, slot);
    if (slot != NULL)
        return &slot->dir;
    slot = arena_new_of(in->arena, struct dir_slot);
    slot->dir.path = arena_strdup(in->arena, path);
    list(in, &slot->dir);
    HASH_ADD_KEYPTR(hh, in->dirs, slot->dir.path, strlen(slot->dir.path), slot);
    return &slot->dir;
}

/* Where the construct began is often nearer to the mistake than where it could not go on. */
static void report_syntax(const struct input *file, enum diag_code code, struct diags *d)
{
    const struct yerror *e = &file->yerr;
    struct diag item = {.code = code,
                        .at = {file->doc.src, e->line, e->col},
                        .message = arena_strdup(diags_arena(d), e->problem)};

    if (e->context[0] != '\0')
        item.hint = arena_printf(diags_arena(d), "%s, which began at line %u, column %u",
                                 e->context, e->context_line, e->context_col);
    diags_add(d, &item);
}

bool input_report(const struct input *file, enum diag_code syntax, struct diags *d)
{
    if (file->state == INPUT_UNREADABLE) {
        diags_addf(d, D_UNREADABLE, srcpos_file(file->doc.src), "cannot read the file: %s",
                   file->why);
        return false;
    }
    if (file->state == INPUT_SYNTAX) {
        report_syntax(file, syntax, d);
        return false;
    }
    /* YAML readers keep the last of two values without a word, and a reviewer sees the first. */
    for (size_t i = 0; i < file->doc.ndups; i++) {
        const struct ydup *dup = &file->doc.dups[i];
        diags_addf(d, D_DUPLICATE_KEY, ynode_pos(dup->again),
                   "key '%s' stands here again; the first is at line %u",
                   dup->again->type == Y_STR ? dup->again->text : "?", dup->first->line);
    }
    return true;
}
