/* fuzz_models.c: any list of models is read or refused with places inside it; what was read keeps
 * the rules, and reads the same when it is written down again.
 *
 * Input: a path, NUL, models.txt. The path is matched against the globs that were read.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "models.h"
#include "pattern.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct finding {
    const char *text;
    size_t n, count;
};

static void check_place(void *ctx, unsigned line, unsigned column, const char *message,
                        const char *hint)
{
    struct finding *f = ctx;
    size_t lines = 1;

    for (size_t i = 0; i < f->n; i++)
        lines += f->text[i] == '\n';
    assert(line >= 1 && line <= lines && column >= 1 && column <= f->n + 1);
    assert(message[0] != '\0' && strchr(message, '\n') == NULL &&
           (hint == NULL || hint[0] != '\0'));
    f->count++;
}

static void write_down(const struct model *m, struct hfc_buf *out)
{
    hfc_buf_printf(out, "%s@%s%s%s", m->repo, m->revision,
                   m->kind == REPO_DATASET ? " kind=dataset" : "",
                   m->config_only ? " config-only" : "");
    for (size_t i = 0; i < m->nallow; i++)
        hfc_buf_printf(out, " allow=%s", m->allow[i]);
    for (size_t i = 0; i < m->nignore; i++)
        hfc_buf_printf(out, " ignore=%s", m->ignore[i]);
    hfc_buf_char(out, '\n');
}

static void check_model(const struct model *m, const char *path)
{
    hfc_autobuf struct hfc_buf folder = HFC_BUF(1024), text = HFC_BUF(1 << 20);
    struct models again;
    uint8_t a[HFC_SHA256_SIZE], b[HFC_SHA256_SIZE];

    assert(model_id_fault(m->repo) == NULL && strlen(m->revision) <= MODEL_REVISION_MAX);
    model_folder(m, &folder);
    assert(!hfc_buf_failed(&folder) && strchr(folder.data, '/') == NULL);
    write_down(m, &text);
    assert(models_parse(text.data, text.len, &again, NULL, NULL) == 0 && again.n == 1);
    model_filter(m, a);
    model_filter(&again.list[0], b);
    assert(memcmp(a, b, sizeof(a)) == 0);
    assert(model_wants(m, path) == model_wants(&again.list[0], path));
    models_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const uint8_t *nul = memchr(data, 0, size);
    const char *path = nul != NULL ? (const char *)data : "config.json";
    size_t skip = nul != NULL ? (size_t)(nul - data) + 1 : 0;
    struct finding f = {(const char *)data + skip, size - skip, 0};
    struct models models;
    struct model one;

    size_t findings = models_parse(f.text, f.n, &models, check_place, &f);
    assert(findings == f.count && (findings == 0 || models.n == 0));
    for (size_t i = 0; i < models.n; i++)
        check_model(&models.list[i], path);
    models_free(&models);
    if (model_parse_argument(path, &one, NULL) == 0) {
        check_model(&one, path);
        model_free(&one);
    }
    return 0;
}
