/* clusters.c: asks hfcache-gen about clusters; see clusters.h.
 *
 *   config --list                     the ids, one a line
 *   config ID has-module hf-cache     exit status 0 or 1
 *   config ID region                  a line
 *
 * Ids are texts of a file that somebody wrote: they become part of a bucket's name only if they are
 * labels, and are looked up in the list before they are arguments.
 */
#include "clusters.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "buf.h"
#include "cleanup.h"
#include "names.h"
#include "need.h"

enum {
    ANSWER_MAX = 1024 * 1024,
    COMPLAINT_MAX = 8 * 1024, /* more is not shown */
    PROGRAM_MAX = 4096,
    ID_MAX = 63 - (int)sizeof(HFC_BUCKET_PREFIX) + 1,
};

/* Calling hfcache-gen. */

struct answer {
    struct hfc_buf out, err;
    int status; /* its exit status */
};

/* What it wrote, and how it ended. */
static void answer_init(struct answer *a)
{
    *a = (struct answer){0};
    hfc_buf_init(&a->out, ANSWER_MAX);
    hfc_buf_init(&a->err, COMPLAINT_MAX);
}

static void answer_free(struct answer *a)
{
    hfc_buf_free(&a->out);
    hfc_buf_free(&a->err);
}

/* A path with a slash, or a name to be looked for on PATH. */
static const char *program(char path[PROGRAM_MAX])
{
    static const char name[] = "hfcache-gen";
    const char *given = getenv("HFCACHE_GEN");
    ssize_t n = readlink("/proc/self/exe", path, PROGRAM_MAX - sizeof(name));

    if (given != NULL && *given != '\0')
        return given;
    if (n <= 0)
        return name;
    path[n] = '\0';
    char *slash = strrchr(path, '/');
    if (slash == NULL)
        return name;
    memcpy(slash + 1, name, sizeof(name));
    return access(path, X_OK) == 0 ? path : name;
}

/* The environment without what is none of its business. */
static char **clean_environment(void)
{
    static const char *const secrets[] = {"HF_TOKEN=", "HUGGING_FACE_HUB_TOKEN="};
    size_t n = 0, kept = 0;

    while (environ[n] != NULL)
        n++;
    char **clean = need(calloc(n + 1, sizeof(*clean)));
    for (size_t i = 0; i < n; i++) {
        bool secret = false;
        for (size_t s = 0; s < HFC_ARRAY_LEN(secrets); s++)
            secret |= strncmp(environ[i], secrets[s], strlen(secrets[s])) == 0;
        if (!secret)
            clean[kept++] = environ[i];
    }
    return clean;
}

/* Signals that this program has blocked are not to be blocked there. */
static int spawn(const char *file, char *const *argv, const int *out, const int *errors, pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    hfc_autofree char **environment = clean_environment();
    sigset_t none;

    (void)sigemptyset(&none);
    (void)posix_spawnattr_init(&attributes);
    (void)posix_spawnattr_setsigmask(&attributes, &none);
    (void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    (void)posix_spawn_file_actions_init(&actions);
    (void)posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    (void)posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    (void)posix_spawn_file_actions_adddup2(&actions, errors[1], STDERR_FILENO);
    int rc = posix_spawnp(pid, file, &actions, &attributes, argv, environment);
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)posix_spawnattr_destroy(&attributes);
    return rc;
}

/* One read. True: the end. What a full buffer does not take is read all the same, so that the
 * writer comes to its end. */
static bool drain(int fd, struct hfc_buf *to)
{
    char bytes[4096];
    ssize_t n = read(fd, bytes, sizeof(bytes));

    if (n > 0)
        hfc_buf_add(to, bytes, (size_t)n);
    return n == 0 || (n < 0 && errno != EINTR);
}

static void read_both(int out, int errors, struct answer *a)
{
    struct pollfd fds[] = {{.fd = out, .events = POLLIN}, {.fd = errors, .events = POLLIN}};
    struct hfc_buf *const to[] = {&a->out, &a->err};

    while (fds[0].fd >= 0 || fds[1].fd >= 0) {
        (void)poll(fds, HFC_ARRAY_LEN(fds), -1);
        for (size_t i = 0; i < HFC_ARRAY_LEN(fds); i++)
            if (fds[i].fd >= 0 && fds[i].revents != 0 && drain(fds[i].fd, to[i]))
                fds[i].fd = -1;
    }
}

/* A signal is no answer at all. */
static int wait_for(pid_t pid, struct answer *a, struct hfc_error *err)
{
    int status;

    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return hfc_error_set(err, errno, "hfcache-gen");
    if (!WIFEXITED(status))
        return hfc_error_set(err, 0, "hfcache-gen was ended by signal %d", WTERMSIG(status));
    a->status = WEXITSTATUS(status);
    return 0;
}

/* Not inherited by whatever else is started meanwhile. */
static int make_pipe(int *ends, struct hfc_error *err)
{
    return pipe2(ends, O_CLOEXEC) < 0 ? hfc_error_set(err, errno, "pipe to hfcache-gen") : 0;
}

/* Runs `hfcache-gen config FIRST [SECOND [THIRD]]`; its exit status is the caller's to judge. */
static int call(struct answer *a, const char *first, const char *second, const char *third,
                struct hfc_error *err)
{
    const char *const words[] = {"hfcache-gen", "config", first, second, third};
    char path[PROGRAM_MAX], *argv[HFC_ARRAY_LEN(words) + 1] = {NULL};
    const char *file = program(path);
    int out[2], errors[2];
    pid_t pid;

    if (make_pipe(out, err) < 0)
        return -1;
    hfc_autoclose int out_read = out[0];
    if (make_pipe(errors, err) < 0) {
        (void)close(out[1]);
        return -1;
    }
    hfc_autoclose int errors_read = errors[0];
    for (size_t i = 0; i < HFC_ARRAY_LEN(words) && words[i] != NULL; i++)
        argv[i] = need_copy(words[i], strlen(words[i]));
    int failed = spawn(file, argv, out, errors, &pid);
    (void)close(out[1]);
    (void)close(errors[1]);
    for (size_t i = 0; argv[i] != NULL; i++)
        free(argv[i]);
    if (failed != 0)
        return hfc_error_set(err, failed, "%s, which knows the clusters", file);
    read_both(out_read, errors_read, a);
    return wait_for(pid, a, err);
}

/* Its answers. */

/* What it says on stderr goes into the message: it knows what is wrong. */
static int refused(const struct answer *a, const char *what, struct hfc_error *err)
{
    static const char own[] = "hfcache-gen: error: ";
    const char *text = a->err.data;
    size_t n = a->err.len;

    if (n >= strlen(own) && strncmp(text, own, strlen(own)) == 0) {
        text += strlen(own);
        n -= strlen(own);
    }
    while (n > 0 && text[n - 1] == '\n')
        n--;
    if (n == 0)
        return hfc_error_set(err, 0, "hfcache-gen, asked for %s, ended with exit status %d", what,
                             a->status);
    return hfc_error_set(err, 0, "hfcache-gen, asked for %s: %.*s", what, (int)n, text);
}

/* A list that was cut would make clusters unknown. */
static int ask_ids(struct answer *a, struct hfc_error *err)
{
    if (call(a, "--list", NULL, NULL, err) < 0)
        return -1;
    if (hfc_buf_failed(&a->out))
        return hfc_error_set(err, EFBIG, "hfcache-gen, asked for the clusters");
    return a->status != 0 ? refused(a, "the clusters", err) : 0;
}

/* 1: the cluster has the module, 0: it has not. Exit status 1 is a no unless an error is told. */
static int ask_module(const char *id, struct hfc_error *err)
{
    struct answer a;

    answer_init(&a);
    int rc = call(&a, id, "has-module", HFC_MODULE, err);
    if (rc == 0 && a.status != 0 && (a.status != 1 || strstr(a.err.data, "error") != NULL))
        rc = refused(&a, "the cluster's modules", err);
    int has = rc < 0 ? -1 : a.status == 0;
    answer_free(&a);
    return has;
}

/* Part of a host's name. */
static bool is_label(const char *text)
{
    size_t n = strlen(text);

    return n > 0 && n <= ID_MAX && text[0] != '-' && text[n - 1] != '-' &&
           strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

/* It goes into host names and signatures. */
static int ask_region(const char *id, char **region, struct hfc_error *err)
{
    struct answer a;

    answer_init(&a);
    int rc = call(&a, id, "region", NULL, err);
    if (rc == 0 && a.status != 0)
        rc = refused(&a, "the cluster's region", err);
    while (a.out.len > 0 && a.out.data[a.out.len - 1] == '\n')
        a.out.data[--a.out.len] = '\0';
    if (rc == 0 && (strlen(a.out.data) != a.out.len || !is_label(a.out.data)))
        rc = hfc_error_set(err, 0, "'%s' is no region", a.out.data);
    if (rc == 0)
        *region = need_copy(a.out.data, a.out.len);
    answer_free(&a);
    return rc;
}

/* Clusters. */

struct buckets {
    struct cluster_bucket *list;
    size_t n;
};

/* An id that is named twice is one bucket. */
static bool is_added(const struct buckets *b, const char *id)
{
    for (size_t i = 0; i < b->n; i++)
        if (strcmp(b->list[i].id, id) == 0)
            return true;
    return false;
}

static int add(struct buckets *b, const char *id, struct hfc_error *err)
{
    struct cluster_bucket c = {0};

    assert(!is_added(b, id));
    if (!is_label(id))
        return hfc_error_set(err, 0,
                             "it can't name a bucket: expected at most %d lower-case "
                             "letters, digits and '-'",
                             ID_MAX);
    if (ask_region(id, &c.region, err) < 0)
        return -1;
    if (asprintf(&c.url, "s3://" HFC_BUCKET_PREFIX "%s", id) < 0)
        abort();
    c.id = need_copy(id, strlen(id));
    b->list = need(reallocarray(b->list, b->n + 1, sizeof(*b->list)));
    b->list[b->n++] = c;
    return 0;
}

/* Whether the id is a line of the list. */
static bool is_known(const struct hfc_buf *list, const char *id)
{
    size_t n = strlen(id);

    for (const char *line = list->data; *line != '\0'; line += line[0] == '\n') {
        size_t len = strcspn(line, "\n");
        if (len == n && memcmp(line, id, n) == 0)
            return n > 0;
        line += len;
    }
    return false;
}

/* The list is cut where the message would be. */
static int unknown(const struct hfc_buf *list, struct hfc_error *err)
{
    hfc_autobuf struct hfc_buf known = HFC_BUF(HFC_ERROR_MAX / 2);

    for (size_t i = 0; i + 1 < list->len; i++)
        if (list->data[i] == '\n')
            hfc_buf_str(&known, ", ");
        else
            hfc_buf_char(&known, list->data[i]);
    return hfc_error_set(err, 0, "there is no such cluster; known: %s", known.data);
}

/* Named without the module: somebody knows better, so it is used. */
static int add_named(struct buckets *b, const struct hfc_buf *list, const char *id,
                     clusters_warn *warn, void *ctx, struct hfc_error *err)
{
    char text[HFC_ERROR_MAX];

    if (is_added(b, id))
        return 0;
    if (!is_known(list, id))
        return unknown(list, err);
    int has = ask_module(id, err);
    if (has < 0)
        return -1;
    if (has == 0) {
        (void)snprintf(text, sizeof(text), "cluster %s does not list the module " HFC_MODULE, id);
        warn(ctx, text);
    }
    return add(b, id, err);
}

/* All that have the module. */
static int add_all(struct buckets *b, const struct hfc_buf *list, struct hfc_error *err)
{
    for (const char *line = list->data; *line != '\0'; line += line[0] == '\n') {
        size_t n = strcspn(line, "\n");
        hfc_autofree char *id = need_copy(line, n);
        int has = n > 0 && !is_added(b, id) ? ask_module(id, err) : 0;
        if (has < 0 || (has > 0 && add(b, id, err) < 0))
            return hfc_error_prefix(err, "cluster %s", id);
        line += n;
    }
    return b->n > 0 ? 0 : hfc_error_set(err, 0, "no cluster lists the module " HFC_MODULE);
}

int clusters_resolve(char *const *ids, size_t n, bool all, struct cluster_bucket **out,
                     size_t *nout, clusters_warn *warn, void *ctx, struct hfc_error *err)
{
    struct buckets b = {0};
    struct answer list;

    assert(all != (n > 0));
    *out = NULL;
    *nout = 0;
    answer_init(&list);
    int rc = ask_ids(&list, err);
    if (rc == 0 && all)
        rc = add_all(&b, &list.out, err);
    for (size_t i = 0; i < n && rc == 0; i++)
        if (add_named(&b, &list.out, ids[i], warn, ctx, err) < 0)
            rc = hfc_error_prefix(err, "cluster %s", ids[i]);
    answer_free(&list);
    if (rc < 0) {
        clusters_free(b.list, b.n);
        return -1;
    }
    assert(b.n > 0);
    *out = b.list;
    *nout = b.n;
    return 0;
}

void clusters_free(struct cluster_bucket *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(list[i].id);
        free(list[i].region);
        free(list[i].url);
    }
    free(list);
}
