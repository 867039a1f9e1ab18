/* worker_store.c: the store that the worker reads from; see worker_internal.h. Owns it: engine and
 * catalog only use it. Everything here is on the loop's thread.
 *
 * A store that can't be opened stops a worker only if there is nothing to serve without: else it
 * serves what the cache has, and tries again with growing waits. What has gone wrong lately is kept
 * for `status`.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "aws_config.h"
#include "keeper.h"
#include "logging.h"
#include "metrics.h"
#include "store.h"
#include "uri.h"
#include "worker_internal.h"

enum {
    CONNECT_MS = 10000,
    STALL_MAX_MS = 20000, /* so that a read has time for another try */
    TRIES = 2,            /* the engine has its own way of trying again */
    TRY_BASE_MS = 100,
    TRY_CAP_MS = 2000,
    STORE_RETRY_MIN_MS = 1000,
    STORE_RETRY_MAX_MS = 60000,
};

/* S3 is spoken to without TLS only where an endpoint says so. */
int worker_uses_tls(const char *url, bool *tls, struct hfc_error *err)
{
    *tls = strncmp(url, "s3://", 5) == 0;
    if (!*tls)
        return 0;
    struct hfc_aws_config *c = hfc_aws_config_load(err);
    if (c == NULL)
        return -1;
    const char *endpoint = hfc_aws_config_endpoint(c, "s3");
    *tls = endpoint == NULL || strncmp(endpoint, "http://", 7) != 0;
    hfc_aws_config_free(c);
    return 0;
}

void worker_failure(struct serving *w, const char *text)
{
    struct failure *f = &w->failures[w->next_failure];

    w->next_failure = (w->next_failure + 1) % FAILURES_MAX;
    f->at = clock_ns();
    (void)snprintf(f->text, sizeof(f->text), "%s", text);
}

static void on_line(void *ctx, const char *line)
{
    log_line(LOG_FETCH, LEVEL_WARNING, "%s", line);
    worker_failure(ctx, line);
}

/* A store that is a directory may be made by whoever writes to it; here it has to be there, or a
 * disk that isn't mounted would look like a bucket without objects. */
static int check_directory(const char *url, struct hfc_error *err)
{
    const char *rest = url + strlen("file://");
    hfc_autobuf struct hfc_buf path = HFC_BUF(PATH_MAX);

    if (strncmp(url, "file:///", 8) != 0 || !hfc_uri_decode(&path, rest, strlen(rest)) ||
        hfc_buf_failed(&path) || access(path.data, R_OK | X_OK) == 0)
        return 0; /* what is wrong with a URL the store says */
    return hfc_error_set(err, errno, "%s, as user %u", path.data, geteuid());
}

static struct hfc_store *open_store(struct serving *w, struct hfc_error *err)
{
    int64_t third = (int64_t)w->settings->read_timeout * 1000 / 3;
    struct hfc_store_config config = {
        .http = w->plan.http,
        .retry = {.tries = TRIES, .base_ms = TRY_BASE_MS, .cap_ms = TRY_CAP_MS},
        .log = on_line,
        .log_ctx = w,
    };

    if (check_directory(w->settings->store, err) < 0)
        return NULL;
    config.http.connect_timeout = CONNECT_MS;
    config.http.stall_timeout = third < STALL_MAX_MS ? third : STALL_MAX_MS;
    config.http.user_agent = "hfcache-mount/" HFC_VERSION;
    return hfc_store_open(w->loop, w->settings->store, &config, err);
}

/* The old one is closed when nobody uses it any more. */
static void use(struct serving *w, struct hfc_store *store)
{
    struct hfc_store *old = w->store;

    w->store = store;
    catalog_use_store(w->catalog, store);
    engine_use_store(w->engine, store);
    hfc_store_close(old);
}

static void try_again(void *ctx)
{
    struct serving *w = ctx;
    struct hfc_error err;
    struct hfc_store *store = open_store(w, &err);

    if (store != NULL) {
        log_line(LOG_FETCH, LEVEL_INFO, "%s can be used now", w->settings->store);
        w->store_wait = STORE_RETRY_MIN_MS;
        use(w, store);
        return;
    }
    worker_failure(w, err.msg);
    w->store_wait = 2 * w->store_wait < STORE_RETRY_MAX_MS ? 2 * w->store_wait : STORE_RETRY_MAX_MS;
    log_line(LOG_FETCH, LEVEL_WARNING, "--store: %s; trying again in %lld s", err.msg,
             (long long)w->store_wait / 1000);
    hfc_timer_start(w->loop, &w->store_retry, w->store_wait, try_again, w);
}

static bool has_names(struct serving *w)
{
    struct nametree *tree = catalog_tree(w->catalog);

    nametree_unref(tree);
    return tree != NULL;
}

int worker_store_begin(struct serving *w, struct hfc_error *err)
{
    struct hfc_error why;
    struct hfc_store *store = open_store(w, &why);

    w->store_wait = STORE_RETRY_MIN_MS;
    if (store != NULL) {
        use(w, store);
        return 0;
    }
    if (!has_names(w))
        return hfc_error_set(err, 0,
                             "--store: %s: give s3://BUCKET[/PREFIX], with credentials as for the "
                             "AWS SDKs, or file:///DIR",
                             why.msg);
    log_line(LOG_FETCH, LEVEL_ERROR,
             "--store: %s; what the cache has is served, and the store is tried again", why.msg);
    worker_failure(w, why.msg);
    hfc_timer_start(w->loop, &w->store_retry, w->store_wait, try_again, w);
    return 0;
}

void worker_store_again(struct serving *w)
{
    struct hfc_error err;
    struct hfc_store *store = open_store(w, &err);

    if (store == NULL) {
        log_line(LOG_START, LEVEL_WARNING, "--store: %s; going on with what there was", err.msg);
        worker_failure(w, err.msg);
        return;
    }
    log_line(LOG_START, LEVEL_INFO, "credentials and names are looked at again");
    hfc_timer_stop(&w->store_retry);
    use(w, store);
    catalog_look(w->catalog);
}

void worker_store_end(struct serving *w)
{
    hfc_timer_stop(&w->store_retry);
    if (w->store == NULL)
        return;
    engine_use_store(w->engine, NULL);
    catalog_use_store(w->catalog, NULL);
    hfc_store_close(w->store);
    w->store = NULL;
}

/* The first worker of a mount shows nothing that a reader could miss: it ends, rather than letting
 * somebody at a terminal wait. A later one, which may have been started for readers that wait, goes
 * on looking. */
static void fail_first(struct serving *w, const struct hfc_error *why)
{
    struct hfc_error err;

    (void)hfc_error_set(&err, 0, "--store %s: %s; %s", w->settings->store, why->msg,
                        why->errnum == EACCES ? "look at the credentials: they are found as by the "
                                                "AWS SDKs"
                        : why->errnum == ENOENT ? "look at the bucket's name"
                                                : "look at the network and the endpoint");
    worker_fail(w, WORKER_CANT_SERVE, &err);
}

/* A look that works says that credentials are accepted, at least there: a refused fetch is taken
 * for over then, as nobody may read again while the worker isn't ready. */
void worker_looked(void *serving, bool changed, const struct hfc_error *err)
{
    struct serving *w = serving;

    (void)changed;
    atomic_store(&w->refused_look, err != NULL && err->errnum == EACCES);
    if (err == NULL) {
        w->looked = true;
        atomic_store(&w->refused_fetch, false);
        return;
    }
    worker_failure(w, err->msg);
    if (w->generation == 1 && !w->looked && !has_names(w))
        fail_first(w, err);
}

void worker_trouble(void *serving, int errnum)
{
    struct serving *w = serving;

    if (errnum == EACCES) {
        w->fetched = metric_get(M_FETCH_COUNT);
        atomic_store(&w->refused_fetch, true);
    } else {
        catalog_look(w->catalog);
    }
}
