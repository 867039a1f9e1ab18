/* placeholder.c: the table of placeholders; see placeholder.h.
 *
 * Most of them are a field as it is. The snippets are lines of YAML whose indentation fits the
 * place where the template has them; they begin with a line break where they continue a line.
 */
#include "placeholder.h"

#include <assert.h>
#include <string.h>

typedef struct text make_text(struct arena *a, const struct runner *r);

/* prefix + field + suffix, or nothing if the field is not present. */
static struct text wrap(struct arena *a, const struct field_value *f, const char *prefix,
                        const char *suffix)
{
    hfc_autobuf struct hfc_buf b = HFC_BUF(SOURCE_MAX);

    if (!f->present)
        return text_of("");
    hfc_buf_str(&b, prefix);
    hfc_buf_add(&b, f->text.p, f->text.n);
    hfc_buf_str(&b, suffix);
    return (struct text){arena_strndup(a, b.data, b.len), b.len};
}

/* Names of Kubernetes objects hold no dots (Helm) and no underscores. */
static struct text normalized_name(struct arena *a, const struct runner *r)
{
    struct text name = r->f[F_NAME].text;
    char *copy = arena_strndup(a, name.p, name.n);

    for (size_t i = 0; i < name.n; i++)
        if (copy[i] == '.' || copy[i] == '_')
            copy[i] = '-';
    return (struct text){copy, name.n};
}

/* The unit is printed behind empty text too. */
static struct text disk_size(struct arena *a, const struct runner *r)
{
    struct field_value f = r->f[F_DISK];

    f.present = true;
    return wrap(a, &f, "", "Gi");
}

static struct text gpu_tolerations(struct arena *a, const struct runner *r)
{
    (void)a;
    return text_of(r->f[F_GPU].present ? "\n        - key: nvidia.com/gpu"
                                         "\n          operator: Equal"
                                         "\n          value: \"true\""
                                         "\n          effect: NoSchedule"
                                       : "");
}

static struct text gpu_affinity(struct arena *a, const struct runner *r)
{
    (void)a;
    return text_of(r->f[F_GPU].present ? "\n                  - key: nvidia.com/gpu"
                                         "\n                    operator: In"
                                         "\n                    values:"
                                         "\n                      - \"true\""
                                       : "");
}

/* Request and limit share it: Kubernetes wants them equal for devices. */
static struct text gpu_resource(struct arena *a, const struct runner *r)
{
    return wrap(a, &r->f[F_GPU], "\n              nvidia.com/gpu: \"", "\"");
}

static struct text imex_env(struct arena *a, const struct runner *r)
{
    return wrap(a, &r->f[F_IMEX],
                "\n            - name: NVIDIA_IMEX_CHANNELS\n              value: \"", "\"");
}

#define CLASS_TERMS                                                                                \
    "          requiredDuringSchedulingIgnoredDuringExecution:\n"                                  \
    "            nodeSelectorTerms:\n"                                                             \
    "              - matchExpressions:\n"                                                          \
    "                  - key: osdc.io/runner-class\n"                                              \
    "                    operator: "

/* Runners of a class only on its nodes, all others nowhere else but there. */
static struct text class_affinity(struct arena *a, const struct runner *r)
{
    if (!r->f[F_CLASS].present)
        return text_of(CLASS_TERMS "DoesNotExist\n");
    return wrap(a, &r->f[F_CLASS],
                CLASS_TERMS "In\n                    values:\n                      - \"", "\"\n");
}

/* The key as well, since without a maximum it must not be there at all. */
static struct text max_runners_line(struct arena *a, const struct runner *r)
{
    return wrap(a, &r->f[F_MAX], "maxRunners: ", "");
}

/* Alone on its line in the template. Left empty, it adds to a run of blank lines, and those are
 * collapsed. */
static struct text scheduler_line(struct arena *a, const struct runner *r)
{
    return wrap(a, &r->f[F_SCHEDULER], "      schedulerName: ", "");
}

/* `field` decides the value even where `make` gives it its form: `explain` asks for it. */
struct placeholder {
    const char *name;
    enum field field;
    make_text *make; /* NULL: the field as it is */
};

#define ALL_PLACEHOLDERS(P)                                                                        \
    P(GITHUB_CONFIG_URL, F_URL, NULL)                                                              \
    P(GITHUB_SECRET_NAME, F_SECRET, NULL)                                                          \
    P(RUNNER_NAME_PREFIX, F_PREFIX, NULL)                                                          \
    P(RUNNER_NAME, F_NAME, NULL)                                                                   \
    P(RUNNER_NAME_NORMALIZED, F_NAME, normalized_name)                                             \
    P(INSTANCE_TYPE, F_INSTANCE_TYPE, NULL)                                                        \
    P(NODE_FLEET, F_FLEET, NULL)                                                                   \
    P(VCPU, F_VCPU, NULL)                                                                          \
    P(MEMORY, F_MEMORY, NULL)                                                                      \
    P(MEMORY_BYTES, F_MEMORY_BYTES, NULL)                                                          \
    P(DISK_SIZE, F_DISK, disk_size)                                                                \
    P(GPU_JOB_TOLERATIONS, F_GPU, gpu_tolerations)                                                 \
    P(GPU_NODE_SELECTOR_AFFINITY, F_GPU, gpu_affinity)                                             \
    P(GPU_REQUEST, F_GPU, gpu_resource)                                                            \
    P(GPU_LIMIT, F_GPU, gpu_resource)                                                              \
    P(IMEX_ENV, F_IMEX, imex_env)                                                                  \
    P(MODULE_NAME, F_MODULE, NULL)                                                                 \
    P(RUNNER_IMAGE, F_IMAGE, NULL)                                                                 \
    P(HF_CACHE_BUCKET, F_BUCKET, NULL)                                                             \
    P(HF_CACHE_REGION, F_REGION, NULL)                                                             \
    P(RUNNER_GROUP, F_GROUP, NULL)                                                                 \
    P(RUNNER_CLASS_JOB_AFFINITY, F_CLASS, class_affinity)                                          \
    P(MAX_RUNNERS_LINE, F_MAX, max_runners_line)                                                   \
    P(GPU_COUNT, F_GPU, NULL)                                                                      \
    P(RUNNER_CLASS, F_CLASS, NULL)                                                                 \
    P(PROACTIVE_CAPACITY, F_PROACTIVE, NULL)                                                       \
    P(MAX_BURST_CAPACITY, F_BURST, NULL)                                                           \
    P(HUD_FAILURE_BASE_CAPACITY, F_HUD, NULL)                                                      \
    P(SCHEDULER_NAME_LINE, F_SCHEDULER, scheduler_line)                                            \
    P(SCHEDULER_NAME, F_SCHEDULER, NULL)                                                           \
    P(CAPACITY_AWARE_CLUSTER_INDEX, F_SHARD_INDEX, NULL)                                           \
    P(CAPACITY_AWARE_CLUSTER_COUNT, F_SHARD_COUNT, NULL)                                           \
    P(CAPACITY_AWARE_AGE_THRESHOLD_SECONDS, F_AGE, NULL)                                           \
    P(CAPACITY_AWARE_FRESH_MULTIPLIER, F_MULTIPLIER, NULL)                                         \
    P(HF_HUB_OFFLINE, F_OFFLINE, NULL)

#define AS_ENTRY(name, field, make) {#name, field, make},
static const struct placeholder placeholders[] = {ALL_PLACEHOLDERS(AS_ENTRY)};

#define AS_NAME(name, field, make) #name,
const char *const placeholder_names[PLACEHOLDERS + 1] = {ALL_PLACEHOLDERS(AS_NAME) NULL};

_Static_assert(sizeof(placeholders) / sizeof(placeholders[0]) == PLACEHOLDERS,
               "PLACEHOLDERS must count the table");

void placeholder_values(struct arena *a, const struct runner *r, struct text *values)
{
    for (size_t i = 0; i < PLACEHOLDERS; i++) {
        const struct placeholder *p = &placeholders[i];
        values[i] = p->make != NULL ? p->make(a, r) : r->f[p->field].text;
        assert(values[i].p != NULL);
    }
    assert(placeholders[PLACEHOLDER_NAME_NORMALIZED].make == normalized_name);
}

enum field placeholder_field(size_t i)
{
    assert(i < PLACEHOLDERS);
    return placeholders[i].field;
}
