/* model_walk.c: the order of a model's files; see model_walk.h.
 *
 * A folder's names are in byte order, so the place of a name is found by halving. Paths are
 * compared name by name, not as bytes: that is the order in which folders are gone through.
 */
#include "model_walk.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Path of a walk while it goes down: what is behind `n` is not yet part of it. */
struct walk {
    const struct nametree *tree;
    char *path;
    size_t n;
};

int walk_folder(const char *model, char to[MODEL_FOLDER_MAX], struct hfc_error *err)
{
    static const char datasets[] = "datasets/";
    bool dataset = strncmp(model, datasets, sizeof(datasets) - 1) == 0;
    const char *name = dataset ? model + sizeof(datasets) - 1 : model;
    const char *slash = strchr(name, '/');
    size_t n = slash != NULL ? (size_t)(slash - name) : strlen(name);

    if (n == 0 || name[0] == '.' ||
        (slash != NULL && (slash[1] == '\0' || slash[1] == '.' || strchr(slash + 1, '/') != NULL)))
        return hfc_error_set(err, 0, "'%.100s' is no model: expected ORG/NAME or datasets/ORG/NAME",
                             model);
    if (strchr(name, '@') != NULL)
        return hfc_error_set(
            err, 0, "'%.100s': a model is taken as a whole: leave out the revision", model);
    int len = snprintf(to, MODEL_FOLDER_MAX, "hub/%s--%.*s%s%s", dataset ? "datasets" : "models",
                       (int)n, name, slash != NULL ? "--" : "", slash != NULL ? slash + 1 : "");
    if (len < 0 || len >= MODEL_FOLDER_MAX)
        return hfc_error_set(err, ENAMETOOLONG, "'%.100s...'", model);
    return 0;
}

/* < 0: the node's name comes before the n bytes. */
static int compare(const struct node *at, const char *name, size_t n)
{
    int order = memcmp(at->name, name, at->name_len < n ? at->name_len : n);

    return order != 0 ? order : (at->name_len > n) - (at->name_len < n);
}

/* The first name of a folder that is not before the n bytes; it may be beyond the last. */
static uint32_t find(const struct nametree *t, const struct node *dir, const char *name, size_t n)
{
    uint32_t low = 0, step = 1;
    struct node at;

    while (nametree_child(t, dir, low + step - 1, &at) && compare(&at, name, n) < 0) {
        low += step;
        step *= 2;
    }
    /* It is in low .. low + step - 1, the last one included. */
    for (uint32_t count = step - 1; count > 0;) {
        uint32_t half = count / 2;
        if (nametree_child(t, dir, low + half, &at) && compare(&at, name, n) < 0) {
            low += half + 1;
            count -= half + 1;
        } else {
            count = half;
        }
    }
    return low;
}

/* Adds a name to the path; false: it gets longer than any key. */
static bool enter(struct walk *w, const struct node *at)
{
    size_t slash = w->n > 0 ? 1 : 0;

    if (w->n + slash + at->name_len > HFC_KEY_MAX)
        return false;
    if (slash != 0)
        w->path[w->n++] = '/';
    memcpy(w->path + w->n, at->name, at->name_len);
    w->n += at->name_len;
    w->path[w->n] = '\0';
    return true;
}

static bool next_below(struct walk *w, const struct node *dir, const char *after, struct node *n);

/* The i-th name of a folder, or what is in it behind `after`. False: go on with the next name. */
static bool take(struct walk *w, const struct node *at, const char *after, struct node *n)
{
    size_t before = w->n;

    if (at->is_ref || !enter(w, at))
        return false;
    if (!at->is_directory) {
        *n = *at;
        return true;
    }
    if (next_below(w, at, after, n))
        return true;
    w->n = before;
    w->path[before] = '\0';
    return false;
}

/* `after`: a path relative to this folder, NULL: from its begin. */
static bool next_below(struct walk *w, const struct node *dir, const char *after, struct node *n)
{
    size_t len = after != NULL ? strcspn(after, "/") : 0;
    uint32_t i = after != NULL ? find(w->tree, dir, after, len) : 0;
    struct node at;

    if (after != NULL && nametree_child(w->tree, dir, i, &at) && compare(&at, after, len) == 0) {
        /* Through this name the last path went. */
        if (after[len] == '/' && at.is_directory && take(w, &at, after + len + 1, n))
            return true;
        i++;
    }
    for (; nametree_child(w->tree, dir, i, &at); i++)
        if (take(w, &at, NULL, n))
            return true;
    return false;
}

bool model_next(const struct nametree *t, const char *folder, char path[HFC_KEY_MAX + 1],
                struct node *n)
{
    char after[HFC_KEY_MAX + 1] = "";
    struct walk w = {.tree = t, .path = path};
    struct node dir;

    if (t == NULL || !nametree_path(t, folder, &dir) || !dir.is_directory)
        return false;
    assert(strlen(path) <= HFC_KEY_MAX);
    memcpy(after, path, strlen(path) + 1);
    path[0] = '\0';
    if (next_below(&w, &dir, after[0] != '\0' ? after : NULL, n))
        return true;
    memcpy(path, after, sizeof(after));
    return false;
}
