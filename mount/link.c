/* link.c: frames and their descriptors over unix sockets; see link.h. No state but the peer's. */
#include "link.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "buf.h"
#include "cleanup.h"

#define RUNTIME_DIR "/run/hfcache"
#define SUFFIX ".sock"

enum { LINK_MAGIC = 0x68664c31 /* "hfL1" */, LINK_VERSION = 1, BACKLOG = 16, CHOICES_MAX = 600 };

/* How many descriptors a kind brings. */
static const struct {
    uint8_t least, most;
} descriptors[LINK_KINDS] = {
    [LINK_HELLO] = {1, 1}, [LINK_ACTIVATE] = {4, 4}, [LINK_BACKING] = {1, 1},
    [LINK_ADOPT] = {5, 5}, [LINK_HANDED] = {3, 5},   [LINK_CONNECTED] = {0, 1},
};

union control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int) * LINK_FDS_MAX)];
};

static void close_all(int *fds, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (fds[i] >= 0)
            (void)close(fds[i]);
        fds[i] = -1;
    }
}

int link_send(int fd, enum link_kind kind, struct link_frame *frame, const int *fds, unsigned n_fds,
              struct hfc_error *err)
{
    union control control = {0};
    struct iovec iov = {frame, sizeof(*frame)};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

    assert(kind > 0 && kind < LINK_KINDS);
    assert(n_fds >= descriptors[kind].least && n_fds <= descriptors[kind].most);
    frame->magic = LINK_MAGIC;
    frame->version = LINK_VERSION;
    frame->kind = (uint16_t)kind;
    if (n_fds > 0) {
        msg.msg_control = &control;
        msg.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
        control.align = (struct cmsghdr){.cmsg_level = SOL_SOCKET,
                                         .cmsg_type = SCM_RIGHTS,
                                         .cmsg_len = CMSG_LEN(sizeof(int) * n_fds)};
        memcpy(CMSG_DATA(&control.align), fds, sizeof(int) * n_fds);
    }
    ssize_t n;
    do
        n = sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return hfc_error_set(err, errno, "sending a frame");
    assert((size_t)n == sizeof(*frame));
    return 0;
}

/* All descriptors that came are counted; those beyond the room (the kernel rounds it up) are
 * closed. */
static unsigned take_fds(struct msghdr *msg, int *fds)
{
    unsigned n = 0;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t at = 0; at + sizeof(int) <= c->cmsg_len - CMSG_LEN(0); at += sizeof(int)) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + at, sizeof(fd));
            if (n < LINK_FDS_MAX)
                fds[n] = fd;
            else
                (void)close(fd);
            n++;
        }
    }
    return n;
}

static bool is_right(const struct msghdr *msg, ssize_t size, const struct link_frame *frame,
                     unsigned n_fds)
{
    if ((msg->msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 || size != (ssize_t)sizeof(*frame) ||
        frame->magic != LINK_MAGIC || frame->version != LINK_VERSION || frame->kind == 0 ||
        frame->kind >= LINK_KINDS)
        return false;
    return n_fds >= descriptors[frame->kind].least && n_fds <= descriptors[frame->kind].most;
}

int link_receive(int fd, struct link_frame *frame, int *fds, struct hfc_error *err)
{
    union control control;
    struct iovec iov = {frame, sizeof(*frame)};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = &control,
                         .msg_controllen = sizeof(control)};
    ssize_t n;

    for (unsigned i = 0; i < LINK_FDS_MAX; i++)
        fds[i] = -1;
    do
        n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == ECONNRESET ? 0 : hfc_error_set(err, errno, "receiving a frame");
    unsigned n_fds = take_fds(&msg, fds);
    if (n == 0 && n_fds == 0)
        return 0;
    if (!is_right(&msg, n, frame, n_fds)) {
        close_all(fds, LINK_FDS_MAX);
        return hfc_error_set(err, EPROTO, "what came is no frame of this version");
    }
    frame->text[sizeof(frame->text) - 1] = '\0';
    frame->state.version[sizeof(frame->state.version) - 1] = '\0';
    frame->state.mountpoint[sizeof(frame->state.mountpoint) - 1] = '\0';
    return 1;
}

int link_wait(int fd, struct link_frame *frame, int *fds, int ms, struct hfc_error *err)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int n;

    for (unsigned i = 0; i < LINK_FDS_MAX; i++)
        fds[i] = -1;
    do
        n = poll(&p, 1, ms);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return hfc_error_set(err, errno, "waiting for a frame");
    if (n == 0)
        return hfc_error_set(err, ETIMEDOUT, "no answer within %d ms", ms);
    return link_receive(fd, frame, fds, err);
}

static int address(const char *path, struct sockaddr_un *to, struct hfc_error *err)
{
    *to = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(to->sun_path))
        return hfc_error_set(err, ENAMETOOLONG, "%s: choose a shorter --socket", path);
    memcpy(to->sun_path, path, strlen(path) + 1);
    return 0;
}

/* The group comes from the file system's id, not from chown(2): the keeper has CAP_SETGID only. */
static int bind_for(int fd, const struct sockaddr_un *at, gid_t gid, struct hfc_error *err)
{
    struct stat st;
    bool group = gid != (gid_t)-1;
    int before = group ? setfsgid(gid) : 0;
    mode_t mask = umask(0177);
    int rc = bind(fd, (const struct sockaddr *)at, sizeof(*at));
    int saved = errno;

    (void)umask(mask);
    if (group)
        (void)setfsgid((gid_t)before);
    if (rc < 0)
        return hfc_error_set(err, saved, "%s", at->sun_path);
    if (!group)
        return 0;
    if (stat(at->sun_path, &st) < 0 || (st.st_gid != gid && chown(at->sun_path, -1, gid) < 0) ||
        chmod(at->sun_path, 0660) < 0)
        return hfc_error_set(err, errno, "giving %s to group %u", at->sun_path, gid);
    return 0;
}

int link_listen(const char *path, gid_t gid, struct hfc_error *err)
{
    char text[sizeof(((struct sockaddr_un *)0)->sun_path) + 32];
    struct sockaddr_un at;
    const char *slash = strrchr(path, '/');

    (void)snprintf(text, sizeof(text), "%s.%ld", path, (long)getpid());
    if (address(text, &at, err) < 0)
        return -1;
    (void)snprintf(text, sizeof(text), "%.*s", slash != NULL ? (int)(slash - path) : 0, path);
    if (text[0] != '\0' && mkdir(text, 0755) < 0 && errno != EEXIST)
        return hfc_error_set(err, errno, "making the folder %s", text);
    hfc_autoclose int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return hfc_error_set(err, errno, "making a socket");
    (void)unlink(at.sun_path);
    if (bind_for(fd, &at, gid, err) == 0) {
        if (listen(fd, BACKLOG) == 0 && rename(at.sun_path, path) == 0)
            return hfc_steal_fd(&fd);
        (void)hfc_error_set(err, errno, "listening at %s", path);
    }
    (void)unlink(at.sun_path);
    return -1;
}

int link_connect(const char *path, struct hfc_error *err)
{
    struct sockaddr_un at;

    if (address(path, &at, err) < 0)
        return -1;
    hfc_autoclose int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return hfc_error_set(err, errno, "making a socket");
    if (connect(fd, (const struct sockaddr *)&at, sizeof(at)) < 0)
        return hfc_error_set(err, errno, "connecting to %s", path);
    return hfc_steal_fd(&fd);
}

int link_peer(int fd, pid_t *pid, uid_t *uid, struct hfc_error *err)
{
    struct ucred cred;
    socklen_t n = sizeof(cred);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) < 0)
        return hfc_error_set(err, errno, "asking who is at the other end");
    *pid = cred.pid;
    *uid = cred.uid;
    return 0;
}

static const char *runtime_dir(void)
{
    const char *dir = getenv("HFCACHE_RUNTIME_DIR");

    return dir != NULL && *dir != '\0' ? dir : RUNTIME_DIR;
}

/* A socket that one may not connect to counts: its keeper is there. */
static bool is_listened_on(const char *path)
{
    struct hfc_error err;
    hfc_autoclose int fd = link_connect(path, &err);

    return fd >= 0 || (err.errnum != ENOENT && err.errnum != ECONNREFUSED);
}

int link_find(char *path, size_t size, struct hfc_error *err)
{
    hfc_autoclosedir DIR *dir = opendir(runtime_dir());
    hfc_autobuf struct hfc_buf choices = HFC_BUF(CHOICES_MAX);
    char at[sizeof(((struct sockaddr_un *)0)->sun_path)];
    const struct dirent *e;
    unsigned found = 0;

    while (dir != NULL && (e = readdir(dir)) != NULL) {
        size_t n = strlen(e->d_name), suffix = strlen(SUFFIX);
        if (n <= suffix || strcmp(e->d_name + n - suffix, SUFFIX) != 0)
            continue;
        int len = snprintf(at, sizeof(at), "%s/%s", runtime_dir(), e->d_name);
        if (len < 0 || (size_t)len >= sizeof(at) || (size_t)len >= size || !is_listened_on(at))
            continue;
        memcpy(path, at, (size_t)len + 1);
        hfc_buf_printf(&choices, "%s%s", found++ > 0 ? ", " : "", at);
    }
    if (found == 1)
        return 0;
    if (found == 0)
        return hfc_error_set(err, 0,
                             "no keeper listens below %s: is hfcache-mount running? If it listens "
                             "elsewhere, name its socket with --socket",
                             runtime_dir());
    return hfc_error_set(err, 0, "%u keepers are running; choose one with --socket: %s%s", found,
                         choices.data, hfc_buf_failed(&choices) ? " ..." : "");
}

/* "/mnt/hf-cache" becomes "mnt-hf\x2dcache": two mount points never share a name. */
int link_default_path(const char *mountpoint, char *path, size_t size, struct hfc_error *err)
{
    hfc_autobuf struct hfc_buf name = HFC_BUF(sizeof(((struct sockaddr_un *)0)->sun_path) - 12);

    hfc_buf_printf(&name, "%s/", runtime_dir());
    while (*mountpoint == '/')
        mountpoint++;
    for (const char *p = mountpoint; *p != '\0'; p++) {
        if (*p == '-' || *p == '\\')
            hfc_buf_printf(&name, "\\x%02x", (unsigned)*p);
        else if (*p != '/')
            hfc_buf_char(&name, *p);
        else if (p[1] != '/' && p[1] != '\0')
            hfc_buf_char(&name, '-');
    }
    hfc_buf_str(&name, SUFFIX);
    if (hfc_buf_failed(&name) || name.len >= size)
        return hfc_error_set(err, ENAMETOOLONG,
                             "no socket can be named after this mount point: give --socket");
    memcpy(path, name.data, name.len + 1);
    return 0;
}
