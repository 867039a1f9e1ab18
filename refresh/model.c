/* model.c: what is derived from one line of models.txt: folder, filter; and its end. */
#include <assert.h>
#include <string.h>

#include "models.h"
#include "need.h"

static void free_texts(char **texts, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(texts[i]);
    free(texts);
}

void model_free(struct model *model)
{
    free(model->repo);
    free(model->revision);
    free_texts(model->allow, model->nallow);
    free_texts(model->ignore, model->nignore);
    *model = (struct model){0};
}

void models_free(struct models *models)
{
    for (size_t i = 0; i < models->n; i++)
        model_free(&models->list[i]);
    free(models->list);
    *models = (struct models){0};
}

/* Ids have no "--", so no two ids share a folder. */
void model_folder(const struct model *model, struct hfc_buf *out)
{
    assert(model_id_fault(model->repo) == NULL);
    hfc_buf_str(out, model->kind == REPO_DATASET ? "datasets--" : "models--");
    for (const char *p = model->repo; *p != '\0'; p++)
        if (*p == '/')
            hfc_buf_str(out, "--");
        else
            hfc_buf_char(out, *p);
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Each glob once, in byte order, with a NUL behind; another NUL ends the list. */
static void add_globs(struct hfc_hash *h, char *const *globs, size_t n)
{
    const char *sorted[MODEL_GLOBS_MAX];

    assert(n <= MODEL_GLOBS_MAX);
    for (size_t i = 0; i < n; i++)
        sorted[i] = globs[i];
    if (n > 0)
        qsort(sorted, n, sizeof(sorted[0]), compare_texts);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || strcmp(sorted[i - 1], sorted[i]) != 0)
            hfc_hash_add(h, sorted[i], strlen(sorted[i]) + 1);
    hfc_hash_add(h, "", 1);
}

void model_filter(const struct model *model, uint8_t digest[HFC_SHA256_SIZE])
{
    hfc_autohash struct hfc_hash *h = hfc_hash_new(HFC_SHA256);

    add_globs(h, model->allow, model->nallow);
    add_globs(h, model->ignore, model->nignore);
    hfc_hash_add(h, model->config_only ? "1" : "0", 1);
    hfc_hash_finish(h, digest);
}
