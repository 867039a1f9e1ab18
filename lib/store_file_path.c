/* store_file_path.c: names below a store's directory; see store_file.h.
 *
 * Others may write into the directory, so names are not trusted: a path is resolved by the kernel
 * with the order not to leave DIR, or, where it can't do that (before Linux 5.6, or forbidden by a
 * sandbox), step by step without following any symlink.
 */
#include "store_file_path.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"

/* EAGAIN means that something was renamed meanwhile and the kernel can't be sure. */
enum { RESOLVE_TRIES = 100 };

static const int FOLDER = O_RDONLY | O_DIRECTORY | O_CLOEXEC;

static int open_beneath(int root, const char *path, int flags)
{
    struct open_how how = {.flags = (uint64_t)flags,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    long fd = -1;

    for (unsigned i = 0; i < RESOLVE_TRIES; i++) {
        fd = syscall(SYS_openat2, root, path, &how, sizeof(how));
        if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
            break;
    }
    return (int)fd;
}

/* Keys have no segment "..", so not following symlinks is enough. */
static int open_by_steps(int root, const char *path, int flags)
{
    char segment[HFC_KEY_MAX + 1];
    hfc_autoclose int at = -1;

    for (;;) {
        size_t n = strcspn(path, "/");
        assert(n < sizeof(segment));
        memcpy(segment, path, n);
        segment[n] = '\0';
        int from = at >= 0 ? at : root;
        if (path[n] == '\0')
            return openat(from, segment, flags | O_NOFOLLOW);
        int next = openat(from, segment, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (next < 0)
            return -1;
        if (at >= 0)
            (void)close(at);
        at = next;
        path += n + 1;
    }
}

int hfc_dir_root(struct hfc_dir *d, bool make)
{
    if (d->root >= 0)
        return 0;
    assert(d->parent >= 0);
    if (make && mkdirat(d->parent, d->name, 0777) < 0 && errno != EEXIST)
        return -1;
    if (make && fsync(d->parent) < 0)
        return -1;
    d->root = openat(d->parent, d->name, FOLDER);
    return d->root >= 0 ? 0 : -1;
}

/* Whether the kernel can keep us in is found out at the first call. */
int hfc_dir_open(struct hfc_dir *d, const char *path, int flags)
{
    if (hfc_dir_root(d, false) < 0)
        return -1;
    if (!d->by_steps) {
        int fd = open_beneath(d->root, path, flags);
        if (fd >= 0 || (errno != ENOSYS && errno != EPERM))
            return fd;
        int probe = open_beneath(d->root, ".", O_PATH | O_CLOEXEC);
        if (probe >= 0) {
            (void)close(probe);
            errno = EPERM;
            return -1;
        }
        d->by_steps = true;
    }
    return open_by_steps(d->root, path, flags);
}

/* Nothing of the kind is an object: a folder, a pipe, a link out of the store, or one to nowhere.
 * Without O_NONBLOCK opening a pipe would wait for its other end. */
int hfc_dir_open_object(struct hfc_dir *d, const char *key, struct stat *st)
{
    hfc_autoclose int fd = hfc_dir_open(d, key, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

    if (fd < 0 && (errno == ENOTDIR || errno == EXDEV || errno == ELOOP || errno == ENXIO))
        errno = ENOENT;
    if (fd < 0 || fstat(fd, st) < 0)
        return -1;
    if (!S_ISREG(st->st_mode)) {
        errno = ENOENT;
        return -1;
    }
    return hfc_steal_fd(&fd);
}

/* Makes the folders on the way, from the top. Each is synced into the one above it. */
static int make_folders(struct hfc_dir *d, char *path)
{
    hfc_autoclose int above = openat(d->root, ".", FOLDER);
    char *segment = path;

    while (above >= 0) {
        char *slash = strchr(segment, '/');
        if (slash != NULL)
            *slash = '\0';
        int next = hfc_dir_open(d, path, FOLDER);
        if (next < 0 && errno == ENOENT) {
            if ((mkdirat(above, segment, 0777) < 0 && errno != EEXIST) || fsync(above) < 0)
                return -1;
            next = hfc_dir_open(d, path, FOLDER);
        }
        (void)close(above);
        above = next;
        if (slash == NULL || above < 0)
            return hfc_steal_fd(&above);
        *slash = '/';
        segment = slash + 1;
    }
    return -1;
}

int hfc_dir_parent(struct hfc_dir *d, const char *key, bool make, const char **name)
{
    char path[HFC_KEY_MAX + 1];
    const char *slash = strrchr(key, '/');

    if (hfc_dir_root(d, make) < 0)
        return -1;
    *name = slash != NULL ? slash + 1 : key;
    if (slash == NULL)
        return openat(d->root, ".", FOLDER);
    assert((size_t)(slash - key) < sizeof(path));
    memcpy(path, key, (size_t)(slash - key));
    path[slash - key] = '\0';
    int fd = hfc_dir_open(d, path, FOLDER);
    return fd < 0 && errno == ENOENT && make ? make_folders(d, path) : fd;
}

/* Called under the lock: no other process of ours is between making a folder and filling it. */
void hfc_dir_prune(struct hfc_dir *d, const char *key)
{
    char path[HFC_KEY_MAX + 1];
    char *slash;

    assert(strlen(key) < sizeof(path));
    memcpy(path, key, strlen(key) + 1);
    while ((slash = strrchr(path, '/')) != NULL) {
        const char *name;
        *slash = '\0';
        hfc_autoclose int above = hfc_dir_parent(d, path, false, &name);
        if (above < 0 || unlinkat(above, name, AT_REMOVEDIR) < 0)
            return;
    }
}

int hfc_dir_uploads(struct hfc_dir *d, bool make)
{
    if (hfc_dir_root(d, make) < 0)
        return -1;
    if (make && mkdirat(d->root, HFC_DIR_UPLOADS, 0777) < 0 && errno != EEXIST)
        return -1;
    return openat(d->root, HFC_DIR_UPLOADS, FOLDER | O_NOFOLLOW);
}

int hfc_dir_lock(struct hfc_dir *d)
{
    hfc_autoclose int uploads = hfc_dir_uploads(d, true);
    if (uploads < 0)
        return -1;
    hfc_autoclose int lock =
        openat(uploads, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (lock < 0)
        return -1;
    while (flock(lock, LOCK_EX) < 0)
        if (errno != EINTR)
            return -1;
    return hfc_steal_fd(&lock);
}
