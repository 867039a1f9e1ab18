/* session_request.c: one request, from its check to its answer; see session_internal.h.
 *
 * libfuse 3.14 trusts the kernel with lengths. What lies in a slot may also be what a process left
 * that has just crashed, so it is checked here against a table of what each request has to hold.
 * The table also tells what needs no file system: whatever would write is EROFS, what is not there
 * is ENOSYS (the kernel then does without, and asks no more), FORGET has no answer.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "fault.h"
#include "logging.h"
#include "metrics.h"
#include "session_internal.h"
#include "strikes.h"

enum what {
    UNKNOWN, /* ENOSYS */
    SERVED,  /* by fs.c */
    PLAIN,   /* the errno alone */
    DROPPED,
};

struct kind {
    uint8_t what;
    uint8_t bytes; /* of its struct */
    bool name;     /* a string follows */
    uint8_t errnum;
};

#define FIXED(type)                                                                                \
    {                                                                                              \
        .what = SERVED, .bytes = sizeof(struct type)                                               \
    }
#define NAMED(type)                                                                                \
    {                                                                                              \
        .what = SERVED, .bytes = sizeof(struct type), .name = true                                 \
    }
#define WRITES                                                                                     \
    {                                                                                              \
        .what = PLAIN, .errnum = EROFS                                                             \
    }
#define NO_ANSWER                                                                                  \
    {                                                                                              \
        .what = DROPPED                                                                            \
    }

static const struct kind kinds[] = {
    [FUSE_LOOKUP] = {.what = SERVED, .name = true},
    [FUSE_GETATTR] = FIXED(fuse_getattr_in),
    [FUSE_OPEN] = FIXED(fuse_open_in),
    [FUSE_READ] = FIXED(fuse_read_in),
    [FUSE_STATFS] = {.what = SERVED},
    [FUSE_RELEASE] = FIXED(fuse_release_in),
    [FUSE_GETXATTR] = NAMED(fuse_getxattr_in),
    [FUSE_LISTXATTR] = FIXED(fuse_getxattr_in),
    [FUSE_OPENDIR] = FIXED(fuse_open_in),
    [FUSE_READDIR] = FIXED(fuse_read_in),
    [FUSE_READDIRPLUS] = FIXED(fuse_read_in),
    [FUSE_RELEASEDIR] = FIXED(fuse_release_in),
    [FUSE_ACCESS] = FIXED(fuse_access_in),
    [FUSE_LSEEK] = FIXED(fuse_lseek_in),

    [FUSE_READLINK] = {.what = PLAIN, .errnum = EINVAL},
    [FUSE_SETATTR] = WRITES,
    [FUSE_SYMLINK] = WRITES,
    [FUSE_MKNOD] = WRITES,
    [FUSE_MKDIR] = WRITES,
    [FUSE_UNLINK] = WRITES,
    [FUSE_RMDIR] = WRITES,
    [FUSE_RENAME] = WRITES,
    [FUSE_RENAME2] = WRITES,
    [FUSE_LINK] = WRITES,
    [FUSE_WRITE] = WRITES,
    [FUSE_SETXATTR] = WRITES,
    [FUSE_REMOVEXATTR] = WRITES,
    [FUSE_CREATE] = WRITES,
    [FUSE_TMPFILE] = WRITES,
    [FUSE_FALLOCATE] = WRITES,
    [FUSE_COPY_FILE_RANGE] = WRITES,
    [FUSE_DESTROY] = {.what = PLAIN},

    [FUSE_FORGET] = NO_ANSWER,
    [FUSE_BATCH_FORGET] = NO_ANSWER,
    [FUSE_NOTIFY_REPLY] = NO_ANSWER,
};

static _Thread_local struct request *current;

struct request *request_current(void)
{
    return current;
}

static struct kind kind_of(uint32_t opcode)
{
    return opcode < sizeof(kinds) / sizeof(kinds[0]) ? kinds[opcode]
                                                     : (struct kind){.what = UNKNOWN};
}

static bool well_formed(const struct request *q, const struct kind *kind)
{
    const char *rest = (const char *)(q->in + 1) + kind->bytes;
    size_t head = sizeof(*q->in) + kind->bytes;

    if (slot_len(q->in) != q->size || q->size < head)
        return false;
    return !kind->name || memchr(rest, '\0', q->size - head) != NULL;
}

static void serve(struct session *s, struct request *q)
{
    const struct fuse_buf buf = {.size = q->size, .mem = q->in};

    assert(current == NULL);
    current = q;
    fuse_session_process_buf(s->libfuse, &buf);
    current = NULL;
}

static void execute(struct session *s, struct request *q)
{
    const struct kind kind = kind_of(q->in->opcode);

    if (kind.what == DROPPED)
        return;
    if (kind.what == UNKNOWN) {
        answer_plain(s, q->in->unique, ENOSYS);
    } else if (kind.what == PLAIN) {
        answer_plain(s, q->in->unique, kind.errnum);
    } else if (well_formed(q, &kind)) {
        serve(s, q);
    } else {
        log_line(
            LOG_REQUEST, LEVEL_ERROR,
            "a request of %zu bytes (opcode %u, %u bytes by itself) is answered EIO: malformed",
            q->size, q->in->opcode, q->in->len);
        answer_plain(s, q->in->unique, EIO);
    }
}

bool request_execute(struct session *s, struct request *q)
{
    assert(q->size >= sizeof(*q->in));
    q->deferred = false;
    strikes_enter(q->state);
    (void)fault_at(FAULT_TAKEN);
    execute(s, q);
    strikes_leave(q->state);
    return !q->deferred;
}
