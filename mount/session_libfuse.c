/* session_libfuse.c: libfuse's side of a session: INIT without the kernel, and how answers leave.
 *
 * The keeper has agreed with the kernel on everything; libfuse is fed the same INIT request, and
 * what it would answer is kept here to be compared. All answers go through reply(), on any thread,
 * each in one writev(2).
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "fault.h"
#include "logging.h"
#include "metrics.h"
#include "session_internal.h"

enum { WRITE_MAX = 4096 }; /* nobody writes; a small one keeps libfuse's buffers small */

/* The session whose INIT is being replayed on this thread. */
static _Thread_local struct session *replaying;

static const struct {
    unsigned cap;
    uint64_t flag;
} features[] = {
    {FUSE_CAP_ASYNC_READ, FUSE_ASYNC_READ},
    {FUSE_CAP_ATOMIC_O_TRUNC, FUSE_ATOMIC_O_TRUNC},
    {FUSE_CAP_EXPORT_SUPPORT, FUSE_EXPORT_SUPPORT},
    {FUSE_CAP_DONT_MASK, FUSE_DONT_MASK},
    {FUSE_CAP_AUTO_INVAL_DATA, FUSE_AUTO_INVAL_DATA},
    {FUSE_CAP_READDIRPLUS, FUSE_DO_READDIRPLUS},
    {FUSE_CAP_READDIRPLUS_AUTO, FUSE_READDIRPLUS_AUTO},
    {FUSE_CAP_ASYNC_DIO, FUSE_ASYNC_DIO},
    {FUSE_CAP_PARALLEL_DIROPS, FUSE_PARALLEL_DIROPS},
    {FUSE_CAP_CACHE_SYMLINKS, FUSE_CACHE_SYMLINKS},
    {FUSE_CAP_EXPLICIT_INVAL_DATA, FUSE_EXPLICIT_INVAL_DATA},
};

/* libfuse has to want what the keeper agreed on, and nothing beyond. */
static void agree(void *userdata, struct fuse_conn_info *conn)
{
    const struct connection *c = &fs_session(userdata)->config.shared->connection;

    conn->want = 0;
    for (size_t i = 0; i < HFC_ARRAY_LEN(features); i++)
        if ((c->flags & features[i].flag) != 0)
            conn->want |= features[i].cap & conn->capable;
    conn->max_write = WRITE_MAX;
    conn->max_readahead = c->read_ahead;
}

static size_t bytes_of(const struct iovec *iov, int count)
{
    size_t n = 0;

    for (int i = 0; i < count; i++)
        n += iov[i].iov_len;
    return n;
}

/* From the worker's death, or the drain of it, to here. */
static void first_answer(struct session *s)
{
    struct shared *shared = s->config.shared;
    uint64_t died_at = atomic_exchange(&s->died_at, 0), now = clock_ns();

    if (died_at == 0 || now < died_at)
        return;
    /* Whoever dies next is measured by himself. */
    (void)atomic_compare_exchange_strong(&shared->died_at, &(uint64_t){died_at}, 0);
    atomic_store(&shared->takeover_last_ns, now - died_at);
    uint64_t sum = atomic_fetch_add(&shared->takeover_ns, now - died_at) + now - died_at;
    metric_set(M_TAKEOVER_SECONDS, sum);
}

/* Whether an answer that could not be written leaves a reader waiting. ENOENT: the request is gone,
 * or has been answered by a predecessor. The others: so is the mount. */
static bool matters(int errnum)
{
    return errnum != ENOENT && errnum != ENODEV && errnum != ECONNABORTED && errnum != EPIPE;
}

static int send_answer(struct session *s, const struct iovec *iov, int count)
{
    if (writev(s->config.dev, iov, count) < 0)
        return errno;
    if (atomic_load_explicit(&s->died_at, memory_order_relaxed) != 0)
        first_answer(s);
    return 0;
}

static void answer(struct session *s, struct iovec *iov, int count)
{
    struct fuse_out_header *out = iov[0].iov_base;

    (void)fault_at(FAULT_REPLY);
    int errnum = send_answer(s, iov, count);
    if (errnum != 0 && matters(errnum)) {
        log_line(LOG_REQUEST, LEVEL_ERROR,
                 "an answer of %u bytes was not accepted (%s): the request is answered EIO",
                 out->len, strerror(errnum));
        struct fuse_out_header plain = {.len = sizeof(plain), .error = -EIO, .unique = out->unique};
        (void)send_answer(s, &(struct iovec){&plain, sizeof(plain)}, 1);
    }
    (void)fault_at(FAULT_REPLIED);
}

void answer_plain(struct session *s, uint64_t unique, int errnum)
{
    struct fuse_out_header out = {.len = sizeof(out), .error = -errnum, .unique = unique};

    answer(s, &(struct iovec){&out, sizeof(out)}, 1);
}

static void keep_init(struct session *s, const struct iovec *iov, int count)
{
    const struct fuse_out_header *out = iov[0].iov_base;

    s->init_error = -out->error;
    if (count > 1 && iov[1].iov_len <= sizeof(s->init))
        memcpy(&s->init, iov[1].iov_base, iov[1].iov_len);
}

/* libfuse is told that all went well: it could do nothing but print. */
static ssize_t reply(int fd, struct iovec *iov, int count, void *userdata)
{
    (void)fd;
    assert(count >= 1 && iov[0].iov_len == sizeof(struct fuse_out_header));
    if (replaying != NULL)
        keep_init(replaying, iov, count);
    else
        answer(fs_session(userdata), iov, count);
    return (ssize_t)bytes_of(iov, count);
}

/* Requests are read into slots, by session.c; libfuse is never asked to. */
static ssize_t no_read(int fd, void *to, size_t n, void *userdata)
{
    (void)fd, (void)to, (void)n, (void)userdata;
    errno = ENOSYS;
    return -1;
}

static int replay(struct session *s, struct hfc_error *err)
{
    const struct shared *shared = s->config.shared;
    _Alignas(struct fuse_in_header) uint8_t bytes[INIT_REQUEST_MAX] = {0};
    const struct fuse_in_header *in = (const void *)bytes;
    const struct fuse_init_in *init = (const void *)(in + 1);
    const struct fuse_buf buf = {.size = shared->init_request_size, .mem = bytes};

    /* What older kernels send ends before `flags2`. */
    if (buf.size < sizeof(*in) + offsetof(struct fuse_init_in, flags2) || buf.size > sizeof(bytes))
        return hfc_error_set(err, EPROTO, "the keeper's INIT request has %zu bytes", buf.size);
    memcpy(bytes, shared->init_request, buf.size);
    if (in->opcode != FUSE_INIT || init->major != FUSE_KERNEL_VERSION)
        return hfc_error_set(err, EPROTO, "the keeper has no INIT request of protocol 7");
    replaying = s;
    fuse_session_process_buf(s->libfuse, &buf);
    replaying = NULL;
    if (s->init_error != 0 || s->init.major != FUSE_KERNEL_VERSION)
        return hfc_error_set(err, s->init_error, "libfuse refuses the keeper's INIT request");
    return 0;
}

/* libfuse's own words, which are about bugs. */
static void say(enum fuse_log_level level, const char *fmt, va_list args)
{
    char line[256];

    (void)level;
    (void)vsnprintf(line, sizeof(line), fmt, args);
    line[strcspn(line, "\n")] = '\0';
    log_line(LOG_REQUEST, LEVEL_ERROR, "%s", line);
}

/* The descriptor that libfuse closes at its end is a copy. */
int libfuse_open(struct session *s, struct hfc_error *err)
{
    static const struct fuse_custom_io io = {.read = no_read, .writev = reply};
    char name[] = "hfcache-mount", *argv[] = {name, NULL};
    struct fuse_args args = FUSE_ARGS_INIT(1, argv);
    struct fuse_lowlevel_ops operations = fs_operations;
    hfc_autoclose int copy = fcntl(s->config.dev, F_DUPFD_CLOEXEC, 0);

    if (copy < 0)
        return hfc_error_set(err, errno, "/dev/fuse");
    fuse_set_log_func(say);
    operations.init = agree;
    s->libfuse = fuse_session_new(&args, &operations, sizeof(operations), s->config.fs);
    fuse_opt_free_args(&args);
    if (s->libfuse == NULL || fuse_session_custom_io(s->libfuse, &io, copy) != 0)
        return hfc_error_set(err, ENOMEM, "libfuse's session");
    (void)hfc_steal_fd(&copy);
    return replay(s, err);
}
