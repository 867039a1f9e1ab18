/* cmd_gc.c: `gc`: deletes what nobody needs: snapshots no ref names, uploads left behind.
 *
 *   lock and look -> plan -> show -> ask -> delete
 *
 * What can be deleted is prune.h's and strays.h's business; here is what is told and asked. A dry
 * run takes no lock, so that it needs no right to write.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "budget.h"
#include "cleanup.h"
#include "inspect.h"
#include "inventory.h"
#include "need.h"
#include "prune.h"
#include "report_parts.h"
#include "strays.h"

enum { OPT_IN = 1000, OPT_KEEP, OPT_UNREFERENCED, OPT_DRY_RUN, OPT_YES, OPT_LOCK_WAIT, OPT_MEMORY };
enum {
    CONNECTIONS = 8, /* no more requests than that are under way */
    KEEP_MAX = 1000000,
    LOCK_WAIT_S_MAX = 86400,
    ANSWER_MAX = 64,
};

struct gc_arguments {
    const char *url;
    unsigned long keep;
    bool unreferenced, dry_run, yes;
    int64_t lock_wait_ms;
    size_t memory;
};

static const struct argp_option options[] = {
    {"in", OPT_IN, "URL", 0, "the bucket: s3://BUCKET[/PREFIX] or file:///DIR", 1},
    {"keep", OPT_KEEP, "N", 0, "keep the N newest of a model's snapshots that no ref names", 2},
    {"unreferenced", OPT_UNREFERENCED, NULL, 0, "delete models that have no refs at all, too", 2},
    {"dry-run", OPT_DRY_RUN, NULL, 0, "only say what would be deleted", 3},
    {"yes", OPT_YES, NULL, 0, "do not ask", 3},
    {"lock-wait", OPT_LOCK_WAIT, "SECONDS", 0,
     "how long to wait for another run on the same bucket; default 150", 3},
    {"memory", OPT_MEMORY, "N", 0, "for everything, such as 256Mi; default 64Mi", 3},
    {0},
};

static const char doc[] =
    "Deletes snapshots that no ref of their model names, with their trees, and parts of uploads "
    "that were never completed. Shows what would go, and asks. What a ref names is never deleted. "
    "Readers that have such a snapshot open lose it: keep some with --keep.\v"
    "Exit status: 0 all well, 1 something failed, 2 wrong usage.";

static error_t parse_option(int key, char *arg, struct argp_state *state, struct gc_arguments *a)
{
    switch (key) {
    case OPT_IN:
        command_bucket(state, "in", arg, &a->url);
        return 0;
    case OPT_KEEP:
        a->keep = command_number(state, "keep", arg, 0, KEEP_MAX);
        return 0;
    case OPT_UNREFERENCED:
        a->unreferenced = true;
        return 0;
    case OPT_DRY_RUN:
        a->dry_run = true;
        return 0;
    case OPT_YES:
        a->yes = true;
        return 0;
    case OPT_LOCK_WAIT:
        a->lock_wait_ms =
            1000 * (int64_t)command_number(state, "lock-wait", arg, 0, LOCK_WAIT_S_MAX);
        return 0;
    case OPT_MEMORY:
        a->memory = command_memory(state, arg);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct gc_arguments *a = state->input;

    switch (key) {
    case ARGP_KEY_ARG:
        argp_error(state, "'%s' is not an option, and gc looks at the whole bucket", arg);
        return 0;
    case ARGP_KEY_END:
        if (a->url == NULL)
            argp_error(state, "which bucket? --in URL");
        if (a->yes && a->dry_run)
            argp_error(state, "either --yes or --dry-run, not both");
        return 0;
    default:
        return parse_option(key, arg, state, a);
    }
}

struct gc {
    struct inspection in;
    const struct gc_arguments *arguments;
    struct prune_plan *plan;
    struct strays strays;
};

/* Snapshots. */

/* A run that died between index and ref: readers of the index see the new ref already. */
static int keep_published(struct gc *gc, struct hfc_error *err)
{
    const struct hfc_index *published;

    if (inspection_published(&gc->in, &published, err) < 0)
        return -1;
    for (size_t i = 0; i < hfc_index_count(published); i++) {
        const struct hfc_entry *e = hfc_index_at(published, i);
        const struct key_parts k = key_split(e->key);
        if (k.kind != KEY_REF || e->commit[0] == '\0')
            continue;
        hfc_autofree char *folder = need_copy(k.folder, k.nfolder);
        prune_keep(gc->plan, folder, e->commit, "a ref of the index names it");
    }
    return 0;
}

/* Everything that takes requests comes before the question. */
static int find(struct gc *gc, struct hfc_error *err)
{
    if (prune_find(gc->in.target, NULL, gc->arguments->unreferenced, &gc->plan) < 0 ||
        keep_published(gc, err) < 0)
        return -1;
    if (gc->arguments->keep > 0 &&
        prune_keep_newest(gc->in.target, gc->plan, gc->arguments->keep, err) < 0)
        return -1;
    return strays_find(&gc->strays, gc->in.target, gc->arguments->dry_run, err);
}

/* What is told. Names of snapshots are names of folders, which anybody may have made. */

static void print_snapshot(const struct prune_snapshot *s)
{
    hfc_autobuf struct hfc_buf name = HFC_BUF(HFC_KEY_MAX);
    hfc_autobuf struct hfc_buf size = HFC_BUF(64);

    repo_name(s->folder, strlen(s->folder), &name);
    report_add_size(&size, s->bytes);
    fputs(s->kept != NULL ? "kept    " : "delete  ", stdout);
    print_visible(stdout, name.data);
    putchar(' ');
    print_visible(stdout, s->commit);
    printf("  %llu object%s, %s", (unsigned long long)s->objects, s->objects == 1 ? "" : "s",
           size.data);
    printf(s->kept != NULL ? ": %s\n" : "\n", s->kept);
}

static void print_stray(const struct stray *s)
{
    hfc_autobuf struct hfc_buf size = HFC_BUF(64);

    report_add_size(&size, s->bytes);
    fputs("abort   upload of ", stdout);
    print_visible(stdout, s->key);
    printf("  %s\n", size.data);
}

/* "12 objects and 1 upload, 3.4 GiB". */
static void add_sum(const struct gc *gc, struct hfc_buf *out)
{
    uint64_t bytes = prune_bytes(gc->plan), count = prune_count(gc->plan);

    for (size_t i = 0; i < gc->strays.n; i++)
        bytes += gc->strays.list[i].bytes;
    hfc_buf_printf(out, "%llu object%s", (unsigned long long)count, count == 1 ? "" : "s");
    if (gc->strays.n > 0)
        hfc_buf_printf(out, " and %zu upload%s", gc->strays.n, gc->strays.n == 1 ? "" : "s");
    hfc_buf_str(out, ", ");
    report_add_size(out, bytes);
}

static void print_plan(const struct gc *gc)
{
    for (size_t i = 0; i < prune_snapshots(gc->plan); i++)
        print_snapshot(prune_snapshot_at(gc->plan, i));
    for (size_t i = 0; i < gc->strays.n; i++)
        print_stray(&gc->strays.list[i]);
    (void)fflush(stdout);
}

/* Asking. The loop goes on meanwhile: the lock has to be renewed. */

struct question {
    struct hfc_watch watch;
    struct hfc_stop_hook hook;
    bool answered;
};

static void answer_there(void *ctx)
{
    ((struct question *)ctx)->answered = true;
}

/* A line was typed: until then nothing can be read from a terminal. Only a clear yes is one. */
static bool read_answer(void)
{
    char answer[ANSWER_MAX];
    ssize_t n = read(STDIN_FILENO, answer, sizeof(answer));

    n = n > 0 && answer[n - 1] == '\n' ? n - 1 : n;
    return (n == 1 && strncasecmp(answer, "y", 1) == 0) ||
           (n == 3 && strncasecmp(answer, "yes", 3) == 0);
}

/* 1: yes, 0: no. Both streams are looked at: the question is to be seen, the answer to be given. */
static int ask(struct gc *gc, const char *sum, struct hfc_error *err)
{
    struct question q = {0};

    assert(!gc->arguments->yes && !gc->arguments->dry_run);
    if (isatty(STDIN_FILENO) != 1 || isatty(STDERR_FILENO) != 1)
        return hfc_error_set(
            err, 0, "nothing was deleted: there is no terminal, and so nobody to ask; use --yes");
    fprintf(stderr, "delete %s? [y/N] ", sum);
    (void)fflush(stderr);
    hfc_stop_hook_add(gc->in.loop, &q.hook, answer_there, &q);
    hfc_watch_start(gc->in.loop, &q.watch, STDIN_FILENO, answer_there, &q);
    int rc = hfc_loop_run(gc->in.loop, &q.answered, err);
    hfc_watch_stop(&q.watch);
    hfc_stop_hook_remove(&q.hook);
    if (rc == 0 && hfc_loop_stopped(gc->in.loop)) {
        fputc('\n', stderr);
        rc = hfc_error_set(err, ECANCELED, "stopped");
    }
    return rc < 0 ? -1 : read_answer();
}

/* Deleting. What was done is told also if something failed. */
static int delete_all(struct gc *gc, struct hfc_error *err)
{
    const struct target *t = gc->in.target;
    int rc = 0;

    if (t->failed) { /* while the question was open: the lock is lost */
        *err = t->error;
        return -1;
    }
    assert(!gc->arguments->dry_run && t->lock != NULL);
    if (prune_count(gc->plan) > 0)
        rc = prune_run(gc->in.target, gc->plan, NULL, NULL, err);
    if (rc == 0)
        rc = strays_abort(&gc->strays, err);
    printf("deleted %llu object%s, aborted %zu upload%s\n", (unsigned long long)t->pruned,
           t->pruned == 1 ? "" : "s", gc->strays.aborted, gc->strays.aborted == 1 ? "" : "s");
    return rc;
}

/* Closing a target aborts what is left over; here that is up to the answer. */
static void leave_uploads(struct target *t)
{
    for (size_t i = 0; i < t->nleftovers; i++)
        t->leftovers[i].taken = true;
}

static int collect(struct gc *gc, struct hfc_error *err)
{
    hfc_autobuf struct hfc_buf sum = HFC_BUF(200);
    int answer = gc->arguments->yes ? 1 : 0;

    leave_uploads(gc->in.target);
    if (find(gc, err) < 0)
        return -1;
    print_plan(gc);
    add_sum(gc, &sum);
    if (prune_count(gc->plan) == 0 && gc->strays.n == 0) {
        puts("nothing to delete");
        return 0;
    }
    if (gc->arguments->dry_run) {
        printf("would delete %s\n", sum.data);
        return 0;
    }
    if (!gc->arguments->yes)
        answer = ask(gc, sum.data, err);
    if (answer == 0)
        puts("nothing was deleted");
    return answer > 0 ? delete_all(gc, err) : answer;
}

static int run(int argc, char **argv)
{
    static const struct argp argp = {options, parse, NULL, doc, NULL, NULL, NULL};
    struct gc_arguments a = {.memory = BUDGET_DEFAULT, .lock_wait_ms = LOCK_WAIT_MS};
    struct gc gc = {.arguments = &a};
    struct hfc_error err = {0};
    int rc = STATUS_FAILED;

    command_parse(&argp, argc, argv, &a);
    const struct inspection_options open = {.url = a.url,
                                            .use = a.dry_run ? TARGET_READ : TARGET_WRITE,
                                            .memory = a.memory,
                                            .jobs = CONNECTIONS,
                                            .lock_wait_ms = a.lock_wait_ms};
    if (inspection_open(&gc.in, &open) == 0)
        rc = collect(&gc, &err) == 0 ? STATUS_OK : inspection_failed(&gc.in, &err);
    strays_free(&gc.strays);
    prune_free(gc.plan);
    inspection_close(&gc.in);
    return rc;
}

const struct subcommand gc_command = {"gc", "delete what no ref names, and uploads left behind",
                                      run};
