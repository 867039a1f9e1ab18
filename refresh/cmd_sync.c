/* cmd_sync.c: `sync`: brings buckets up to date with a list of models. */
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "clusters.h"
#include "commands.h"
#include "sync.h"
#include "upload.h"

enum {
    OPT_MODELS = 1000,
    OPT_TO,
    OPT_CLUSTER,
    OPT_ALL_CLUSTERS,
    OPT_PRUNE,
    OPT_DRY_RUN,
    OPT_JOBS,
    OPT_MEMORY,
    OPT_LOCK_WAIT,
    OPT_REPORT,
    OPT_LISTEN,
    OPT_PUSH,
    OPT_BLOCK_SIZE,
};

enum { REPORTS_MAX = 8, WORDS_MAX = 1000, JOBS_MAX = 1000, LOCK_WAIT_S_MAX = 86400 };

struct sync_arguments {
    const char *models_file;
    char *words[WORDS_MAX];
    size_t nwords;
    char *urls[TARGETS_MAX];
    char *clusters[TARGETS_MAX];
    size_t nurls, nclusters;
    bool all_clusters, prune, dry_run, quiet, verbose;
    unsigned jobs;
    size_t memory, block_size;
    int64_t lock_wait_ms;
    const char *reports[REPORTS_MAX + 1];
    size_t nreports;
    const char *listen, *push;
};

static const struct argp_option options[] = {
    {"models", OPT_MODELS, "FILE", 0, "the list of models; or name them as MODEL[@REVISION]", 1},
    {"to", OPT_TO, "URL", 0, "a bucket: s3://BUCKET[/PREFIX] or file:///DIR; may be repeated", 2},
    {"cluster", OPT_CLUSTER, "ID", 0, "the bucket of a cluster of clusters.yaml; may be repeated",
     2},
    {"all-clusters", OPT_ALL_CLUSTERS, NULL, 0, "those of all clusters that enable hf-cache", 2},
    {"prune", OPT_PRUNE, NULL, 0, "delete snapshots of these models that no ref names", 3},
    {"dry-run", OPT_DRY_RUN, NULL, 0, "only say what would be done", 3},
    {"jobs", OPT_JOBS, "N", 0, "files at once; default: what --memory allows", 3},
    {"memory", OPT_MEMORY, "N", 0, "for everything, sockets included, such as 256Mi; default 64Mi",
     3},
    {"lock-wait", OPT_LOCK_WAIT, "SECONDS", 0,
     "how long to wait for another run on the same bucket; default 150", 3},
    {"report", OPT_REPORT, "FILE", 0,
     "write a report: JSON, or Prometheus' text format if FILE ends in .prom; may be repeated", 4},
    {"listen", OPT_LISTEN, "ADDR:PORT", 0, "serve /metrics while it runs", 4},
    {"push", OPT_PUSH, "URL", 0, "push metrics to a Pushgateway", 4},
    {"quiet", 'q', NULL, 0, "errors and the last line only", 4},
    {"verbose", 'v', NULL, 0, "retries and waits, too", 4},
    {"block-size", OPT_BLOCK_SIZE, "BYTES", OPTION_HIDDEN, "for tests: see budget_cut()", 4},
    {0},
};

static const char doc[] =
    "Brings buckets up to date with a list of models, straight from the Hub: no local copy, every "
    "byte verified, refs last. What is in a bucket already is not sent again, so an interrupted "
    "run is completed by running the same command again.\v"
    "Exit status: 0 all well, 1 something failed (the rest was done), 2 wrong usage.\n\n"
    "Environment: HF_TOKEN and HF_ENDPOINT; AWS_* as for the AWS SDKs; HFCACHE_GEN, the generator "
    "that knows the clusters.";

static void add(struct argp_state *state, char **list, size_t *n, size_t max, char *text,
                const char *what)
{
    if (*n == max)
        argp_error(state, "more than %zu %s", max, what);
    list[(*n)++] = text;
}

static void check(struct argp_state *state, const struct sync_arguments *a)
{
    if (a->models_file != NULL && a->nwords > 0)
        argp_error(state, "either --models or the names of models, not both");
    if (a->models_file == NULL && a->nwords == 0)
        argp_error(state, "which models? --models FILE, or names");
    if (a->nurls == 0 && a->nclusters == 0 && !a->all_clusters)
        argp_error(state, "where to? --to URL, --cluster ID or --all-clusters");
    if (a->all_clusters && a->nclusters > 0)
        argp_error(state, "either --cluster or --all-clusters, not both");
}

/* Options that take no value. */
static bool parse_flag(int key, struct sync_arguments *a)
{
    bool *const flag = key == OPT_ALL_CLUSTERS ? &a->all_clusters
                       : key == OPT_PRUNE      ? &a->prune
                       : key == OPT_DRY_RUN    ? &a->dry_run
                       : key == 'q'            ? &a->quiet
                       : key == 'v'            ? &a->verbose
                                               : NULL;
    if (flag != NULL)
        *flag = true;
    return flag != NULL;
}

static error_t parse_list(int key, char *arg, struct argp_state *state, struct sync_arguments *a)
{
    switch (key) {
    case OPT_TO:
        add(state, a->urls, &a->nurls, TARGETS_MAX, arg, "buckets");
        return 0;
    case OPT_CLUSTER:
        add(state, a->clusters, &a->nclusters, TARGETS_MAX, arg, "clusters");
        return 0;
    case OPT_REPORT:
        if (a->nreports == REPORTS_MAX)
            argp_error(state, "more than %d reports", REPORTS_MAX);
        a->reports[a->nreports++] = arg;
        return 0;
    case ARGP_KEY_ARG:
        add(state, a->words, &a->nwords, WORDS_MAX, arg, "models; use --models FILE");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct sync_arguments *a = state->input;

    if (parse_flag(key, a))
        return 0;
    switch (key) {
    case OPT_MODELS:
        a->models_file = arg;
        return 0;
    case OPT_JOBS:
        a->jobs = (unsigned)command_number(state, "jobs", arg, 1, JOBS_MAX);
        return 0;
    case OPT_MEMORY:
        a->memory = command_memory(state, arg);
        return 0;
    case OPT_LOCK_WAIT:
        a->lock_wait_ms =
            1000 * (int64_t)command_number(state, "lock-wait", arg, 0, LOCK_WAIT_S_MAX);
        return 0;
    case OPT_BLOCK_SIZE:
        a->block_size = command_number(state, "block-size", arg, 1, HFC_PART_MIN);
        return 0;
    case OPT_LISTEN:
        a->listen = arg;
        return 0;
    case OPT_PUSH:
        a->push = arg;
        return 0;
    case ARGP_KEY_END:
        check(state, a);
        return 0;
    default:
        return parse_list(key, arg, state, a);
    }
}

/* The models. */

static void report_finding(void *ctx, unsigned line, unsigned column, const char *message,
                           const char *hint)
{
    fprintf(stderr, "%s:%u:%u: error: ", *(const char *const *)ctx, line, column);
    print_visible(stderr, message);
    fputc('\n', stderr);
    if (hint == NULL)
        return;
    fputs("  hint: ", stderr);
    print_visible(stderr, hint);
    fputc('\n', stderr);
}

static int read_models(struct sync_arguments *a, struct models *out)
{
    struct hfc_error err = {0};

    if (a->models_file == NULL)
        return inspection_models(a->words, a->nwords, out) < 0 ? STATUS_USAGE : STATUS_OK;
    if (models_read(a->models_file, out, report_finding, &a->models_file, &err) == 0)
        return STATUS_OK;
    return command_error("%s", err.msg);
}

/* What the run's parts have to say goes to the report. */

static void say_detail(void *ctx, const char *line)
{
    report_line(ctx, REPORT_DETAIL, "%s", line);
}

/* The buckets. */

struct places {
    struct target *list[TARGETS_MAX];
    size_t n;
};

/* But for slashes at the end. */
static bool is_same(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);

    while (n > 0 && a[n - 1] == '/')
        n--;
    while (m > 0 && b[m - 1] == '/')
        m--;
    return n == m && memcmp(a, b, n) == 0;
}

static int add_place(struct places *p, struct hfc_loop *loop, const char *url, const char *region,
                     const struct hfc_store_config *base)
{
    struct hfc_store_config config = *base;
    struct hfc_error err = {0};

    for (size_t i = 0; i < p->n; i++)
        if (is_same(target_url(p->list[i]), url))
            return command_error("%s is named twice", url);
    if (p->n == TARGETS_MAX)
        return command_error("more than %d buckets", TARGETS_MAX);
    config.region = region;
    struct target *t = target_new(loop, url, &config, &err);
    if (t == NULL)
        return command_error("%s", err.msg);
    p->list[p->n++] = t;
    return STATUS_OK;
}

static void warn_cluster(void *ctx, const char *text)
{
    (void)ctx;
    command_warning("%s", text);
}

static int find_clusters(struct sync_arguments *a, struct cluster_bucket **out, size_t *n)
{
    struct hfc_error err = {0};

    *out = NULL;
    *n = 0;
    if (a->nclusters == 0 && !a->all_clusters)
        return STATUS_OK;
    if (clusters_resolve(a->clusters, a->nclusters, a->all_clusters, out, n, warn_cluster, NULL,
                         &err) == 0)
        return STATUS_OK;
    return command_error("%s", err.msg);
}

static int add_places(struct places *p, const struct run *run, const struct sync_arguments *a,
                      const struct cluster_bucket *clusters, size_t nclusters)
{
    struct hfc_store_config config = {.http = run->budget.store,
                                      .retry = HFC_RETRY_DEFAULT,
                                      .log = say_detail,
                                      .log_ctx = run->report};
    int rc = STATUS_OK;

    for (size_t i = 0; i < a->nurls && rc == STATUS_OK; i++)
        rc = add_place(p, run->loop, a->urls[i], NULL, &config);
    for (size_t i = 0; i < nclusters && rc == STATUS_OK; i++)
        rc = add_place(p, run->loop, clusters[i].url, clusters[i].region, &config);
    return rc;
}

/* The run. */

struct parts {
    struct run run;
    struct stopper *stopper;
    struct places places;
};

static int start_hub(struct parts *p, struct hfc_error *err)
{
    struct hub_config config = {.http = p->run.budget.hub,
                                .retry = HFC_RETRY_DEFAULT,
                                .log = say_detail,
                                .log_ctx = p->run.report};
    char *token;

    if (hub_find_token(&token, err) < 0)
        return -1;
    config.token = token;
    p->run.hub = hub_new(p->run.loop, &config, err);
    hub_token_free(token);
    return p->run.hub != NULL ? 0 : -1;
}

/* In the order in which one needs the other. */
static int start(struct parts *p, const struct sync_arguments *a, size_t ntargets,
                 struct hfc_error *err)
{
    const struct report_options report = {.quiet = a->quiet,
                                          .verbose = a->verbose,
                                          .dry_run = a->dry_run,
                                          .files = a->reports,
                                          .listen = a->listen,
                                          .push = a->push};

    p->run.dry_run = a->dry_run;
    p->run.prune = a->prune;
    if (budget_divide(&p->run.budget, a->memory, (unsigned)ntargets, a->jobs, err) < 0)
        return -1;
    if (a->block_size > 0)
        budget_cut(&p->run.budget, a->block_size);
    p->run.loop = hfc_loop_new(err);
    if (p->run.loop == NULL)
        return -1;
    p->stopper = stop_on_signals(p->run.loop, err);
    if (p->stopper == NULL)
        return -1;
    p->run.report = report_new(p->run.loop, &report, err);
    return p->run.report != NULL ? start_hub(p, err) : -1;
}

static void stop(struct parts *p)
{
    hub_free(p->run.hub);
    report_free(p->run.report);
    stopper_free(p->stopper);
    hfc_loop_free(p->run.loop);
}

static int bring(struct parts *p, const struct sync_arguments *a, const struct models *models,
                 const struct cluster_bucket *clusters, size_t nclusters)
{
    const struct sync_options sync = {.models = models, .lock_wait_ms = a->lock_wait_ms};
    int rc = add_places(&p->places, &p->run, a, clusters, nclusters);

    if (rc != STATUS_OK) {
        targets_close(p->places.list, p->places.n);
        return rc;
    }
    p->run.targets = p->places.list;
    p->run.ntargets = p->places.n;
    bool whole = sync_run(&p->run, &sync);
    rc = report_finish(p->run.report, !whole && hfc_loop_stopped(p->run.loop));
    return whole ? rc : STATUS_FAILED;
}

static int sync_models(struct sync_arguments *a, const struct models *models)
{
    struct parts p = {0};
    struct hfc_error err = {0};
    struct cluster_bucket *clusters;
    size_t nclusters;
    int rc = find_clusters(a, &clusters, &nclusters);

    if (rc == STATUS_OK && a->nurls + nclusters > TARGETS_MAX)
        rc = command_error("more than %d buckets", TARGETS_MAX);
    if (rc == STATUS_OK) {
        rc = start(&p, a, a->nurls + nclusters, &err) < 0
                 ? command_error("%s", err.msg)
                 : bring(&p, a, models, clusters, nclusters);
        stop(&p);
    }
    clusters_free(clusters, nclusters);
    return rc;
}

static int run(int argc, char **argv)
{
    static const struct argp argp = {options, parse, "[MODEL[@REVISION]...]", doc, NULL,
                                     NULL,    NULL};
    struct sync_arguments a = {.memory = BUDGET_DEFAULT, .lock_wait_ms = LOCK_WAIT_MS};
    struct models models;

    command_parse(&argp, argc, argv, &a);
    int rc = read_models(&a, &models);
    if (rc != STATUS_OK)
        return rc;
    if (models.n == 0)
        fprintf(stderr, "%s names no models: nothing to do\n", a.models_file);
    else
        rc = sync_models(&a, &models);
    models_free(&models);
    return rc;
}

const struct subcommand sync_command = {"sync", "bring buckets up to date with a list of models",
                                        run};
