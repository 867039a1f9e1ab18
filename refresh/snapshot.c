/* snapshot.c: names, counts and ends of a snapshot; see snapshot.h. */
#include "snapshot.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "need.h"

static char *name_of(const struct model *model)
{
    hfc_autobuf struct hfc_buf name = HFC_BUF(HFC_KEY_MAX);

    hfc_buf_printf(&name, "%s%s", model->kind == REPO_DATASET ? "datasets/" : "", model->repo);
    return need_copy(name.data, name.len);
}

struct snapshot *snapshot_new(struct run *run, const struct model *model)
{
    struct snapshot *s = need(calloc(1, sizeof(*s)));
    hfc_autobuf struct hfc_buf folder = HFC_BUF(HFC_KEY_MAX);

    s->run = run;
    s->model = model;
    s->name = name_of(model);
    model_folder(model, &folder);
    s->folder = need_copy(folder.data, folder.len);
    model_filter(model, s->filter);
    s->began = hfc_now_ms();
    return s;
}

void snapshot_free(struct snapshot *s)
{
    if (s == NULL)
        return;
    assert(s->under_way == 0);
    for (size_t i = 0; i < s->nfiles; i++)
        free(s->files[i].path);
    free(s->files);
    free(s->name);
    free(s->folder);
    free(s->id);
    free(s);
}

void snapshot_key(const struct snapshot *s, const char *path, struct hfc_buf *out)
{
    hfc_buf_printf(out, "hub/%s/snapshots/%s/%s", s->folder, s->commit, path);
}

void snapshot_tree_key(const struct snapshot *s, struct hfc_buf *out)
{
    hfc_buf_printf(out, "hub/%s/trees/%s.json", s->folder, s->commit);
}

void snapshot_ref_key(const struct snapshot *s, struct hfc_buf *out)
{
    hfc_buf_printf(out, "hub/%s/refs/%s", s->folder, s->model->revision);
}

struct hfc_meta wanted_meta(const struct wanted *w, const uint8_t *sha256)
{
    struct hfc_meta meta = {.has_sha256 = w->id.lfs || sha256 != NULL, .has_git_sha1 = !w->id.lfs};

    if (meta.has_sha256)
        memcpy(meta.sha256, w->id.lfs ? w->id.sha256 : sha256, sizeof(meta.sha256));
    if (meta.has_git_sha1)
        memcpy(meta.git_sha1, w->id.git_sha1, sizeof(meta.git_sha1));
    return meta;
}

void snapshot_fail(struct snapshot *s, size_t i, const struct hfc_error *why)
{
    assert(i < s->run->ntargets);
    if (s->in[i].standing != STANDING_FAILED)
        s->in[i].error = *why;
    s->in[i].standing = STANDING_FAILED;
}

void snapshot_file_ended(struct snapshot *s, struct wanted *w, size_t i, enum file_outcome outcome,
                         const struct hfc_error *why)
{
    struct snapshot_target *in = &s->in[i];

    assert((outcome == FILE_FAILED) == (why != NULL));
    in->files[outcome]++;
    in->bytes[outcome] += w->id.size;
    if (outcome == FILE_FAILED)
        snapshot_fail(s, i, why);
    else
        w->missing &= ~(1U << i);
    report_file(s->run->report, &(struct file_report){.model = s->name,
                                                      .path = w->path,
                                                      .target = target_url(s->run->targets[i]),
                                                      .size = w->id.size,
                                                      .outcome = outcome,
                                                      .error = why});
}

static enum model_outcome outcome_of(const struct snapshot *s, const struct snapshot_target *in)
{
    if (in->standing == STANDING_FAILED || s->error.msg[0] != '\0')
        return MODEL_FAILED;
    if (in->standing == STANDING_UNCHANGED)
        return MODEL_UNCHANGED;
    return s->run->dry_run ? MODEL_PLANNED : MODEL_PUBLISHED;
}

/* A failure of the Hub is one line, not one for each bucket. */
void snapshot_report(const struct snapshot *s)
{
    struct model_report m = {.model = s->name,
                             .revision = s->model->revision,
                             .commit = s->commit,
                             .milliseconds = hfc_now_ms() - s->began};

    if (s->error.msg[0] != '\0') {
        m.outcome = MODEL_FAILED;
        m.error = &s->error;
        report_model(s->run->report, &m);
        return;
    }
    for (size_t i = 0; i < s->run->ntargets; i++) {
        const struct snapshot_target *in = &s->in[i];
        m.target = target_url(s->run->targets[i]);
        m.outcome = outcome_of(s, in);
        m.error = m.outcome == MODEL_FAILED ? &in->error : NULL;
        memcpy(m.files, in->files, sizeof(m.files));
        memcpy(m.bytes, in->bytes, sizeof(m.bytes));
        report_model(s->run->report, &m);
    }
}
