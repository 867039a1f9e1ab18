/* file.c: whole files; see file.h. */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"

/* How many leftovers of killed processes with our pid may lie about. */
enum { TEMPORARY_NAMES = 100 };

/* Reads until end of file; room is asked for in steps so that small files cost one read or two. */
static int read_to_end(int fd, size_t step, struct hfc_buf *out)
{
    for (;;) {
        size_t room = out->max - out->len < step ? out->max - out->len : step;
        /* At the cap: only another byte tells a file that just fits from one that is too long. */
        if (room == 0) {
            char probe;
            ssize_t n = read(fd, &probe, 1);
            return n == 0 ? 0 : n > 0 ? EFBIG : errno;
        }
        char *at = hfc_buf_reserve(out, room);
        if (at == NULL)
            return ENOMEM;
        ssize_t n = read(fd, at, room);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n == 0 ? 0 : errno;
        out->len += (size_t)n;
        out->data[out->len] = '\0';
    }
}

int hfc_file_read(int dirfd, const char *path, struct hfc_buf *out, struct hfc_error *err)
{
    hfc_autoclose int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return hfc_error_set(err, errno, "%s", path);
    struct stat st;
    if (fstat(fd, &st) < 0)
        return hfc_error_set(err, errno, "%s", path);
    /* Only a hint: files below /proc have no size, and any file may grow while it is read. */
    size_t step = st.st_size > 0 && (size_t)st.st_size < out->max ? (size_t)st.st_size + 1 : 65536;
    int rc = read_to_end(fd, step, out);
    return rc == 0 ? 0 : hfc_error_set(err, rc, "%s", path);
}

/* write(2) may take a part, and signals may interrupt it. Returns an errno value. */
static int write_all(int fd, const char *bytes, size_t n)
{
    while (n > 0) {
        ssize_t w = write(fd, bytes, n);
        if (w < 0 && errno == EINTR)
            continue;
        if (w < 0)
            return errno;
        bytes += w;
        n -= (size_t)w;
    }
    return 0;
}

int hfc_file_create(int dirfd, const char *path, const void *bytes, size_t n, mode_t mode,
                    struct hfc_error *err)
{
    hfc_autoclose int fd = openat(dirfd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0)
        return hfc_error_set(err, errno, "%s", path);
    int rc = write_all(fd, bytes, n);
    /* Closed here and not by scope: network file systems report a full disk only now. */
    if (rc == 0 && close(hfc_steal_fd(&fd)) < 0)
        rc = errno;
    return rc == 0 ? 0 : hfc_error_set(err, rc, "%s", path);
}

/* Fills and syncs the temporary file, then puts it in place. The caller removes it on failure. */
static int fill_and_rename(int fd, const char *tmp, const char *path, const void *bytes, size_t n)
{
    struct stat st;

    if (stat(path, &st) == 0 && fchmod(fd, st.st_mode & 07777) < 0)
        return errno;
    /* Synced before the rename, or a crash could leave an empty file under the final name. */
    int rc = write_all(fd, bytes, n);
    if (rc == 0 && fsync(fd) < 0)
        rc = errno;
    if (rc == 0 && rename(tmp, path) < 0)
        rc = errno;
    return rc;
}

/* Opens a new file beside `path` and writes its name to `tmp`. Not mkostemp(3): the file may stay,
 * so it gets the usual mode less the umask, which only open(2) can read without changing it. */
static int open_temporary(const char *path, char tmp[PATH_MAX])
{
    int fd = -1;

    for (int i = 0; fd < 0 && i < TEMPORARY_NAMES; i++) {
        int len = snprintf(tmp, PATH_MAX, "%s.%ld-%d", path, (long)getpid(), i);
        if (len < 0 || len >= PATH_MAX) {
            errno = ENAMETOOLONG;
            return -1;
        }
        fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd < 0 && errno != EEXIST)
            return -1;
    }
    return fd;
}

/* A rename onto a symlink would replace the link; so its target is what is replaced, and the
 * temporary file lies beside that, in the same file system. */
int hfc_file_replace(const char *path, const void *bytes, size_t n, struct hfc_error *err)
{
    hfc_autofree char *target = realpath(path, NULL);
    const char *final = target != NULL ? target : path;
    char tmp[PATH_MAX];
    hfc_autoclose int fd = open_temporary(final, tmp);
    if (fd < 0)
        return hfc_error_set(err, errno, "%s", path);
    int rc = fill_and_rename(fd, tmp, final, bytes, n);
    if (rc == 0)
        return 0;
    (void)unlink(tmp);
    return hfc_error_set(err, rc, "%s", path);
}
