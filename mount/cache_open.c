/* cache_open.c: takes a cache directory over, and gives it back; see cache.h. Owns the lock file.
 * One thread only: nobody else has the cache yet, or any more.
 *
 * Nothing is removed that this program has not made; a directory that holds anything else is
 * refused, as sooner or later the two would meet.
 */
#include "cache_internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>

#include "cleanup.h"
#include "logging.h"

enum { LOCK_PAUSE_MS = 10, HUNDRED = 100, PROBE_SIZE = 2 * DATA_UNIT };

static const char TEMPORARY[] = ".tmp";
static const char PROBE_NAME[] = "probe.tmp";

/* ---- The directory. ---- */

static int make_directory(const char *path, struct hfc_error *err)
{
    if (mkdir(path, 0700) == 0 || errno == EEXIST)
        return 0;
    if (errno == ENOENT)
        return hfc_error_set(err, 0, "%s: the folder in which it is to be made does not exist",
                             path);
    if (errno == EROFS)
        return hfc_error_set(err, 0,
                             "%s: cannot be made on a read-only file system; give a "
                             "directory on a writable disk with --cache",
                             path);
    return hfc_error_set(err, errno, "%s: cannot be made by user %u", path, (unsigned)geteuid());
}

static int check_access(const struct cache *c, struct hfc_error *err)
{
    if (faccessat(c->directory, ".", R_OK | W_OK | X_OK, AT_EACCESS) == 0)
        return 0;
    if (errno == EROFS)
        return hfc_error_set(err, 0,
                             "%s: lies on a read-only file system; give a directory on a "
                             "writable disk with --cache",
                             c->path);
    return hfc_error_set(err, errno, "%s: user %u cannot write there; \"chown %u %s\" would let it",
                         c->path, (unsigned)geteuid(), (unsigned)geteuid(), c->path);
}

static int open_directory(struct cache *c, struct hfc_error *err)
{
    if (make_directory(c->path, err) < 0)
        return -1;
    c->directory = open(c->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (c->directory < 0 && errno == ENOTDIR)
        return hfc_error_set(err, 0, "%s: is not a directory; give one with --cache", c->path);
    if (c->directory < 0)
        return hfc_error_set(err, errno, "%s: user %u cannot use it", c->path, (unsigned)geteuid());
    return check_access(c, err);
}

static DIR *list(int fd)
{
    int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = again >= 0 ? fdopendir(again) : NULL;

    if (dir == NULL && again >= 0)
        (void)close(again);
    return dir;
}

static bool begins(const char *name, const char *with)
{
    return strncmp(name, with, strlen(with)) == 0;
}

/* The index is written as "index.SOMETHING" and then renamed. */
static bool is_temporary(const char *name)
{
    return begins(name, "index.") && strcmp(name, "index.etag") != 0;
}

static bool is_ours(const char *name)
{
    static const char *const names[] = {".", "..", "lock", "blobs", "index", "lost+found"};

    for (size_t i = 0; i < HFC_ARRAY_LEN(names); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return begins(name, "index.");
}

static int check_names(struct cache *c, struct hfc_error *err)
{
    hfc_autoclosedir DIR *dir = list(c->directory);
    const struct dirent *e;

    if (dir == NULL)
        return hfc_error_set(err, errno, "%s", c->path);
    while ((e = readdir(dir)) != NULL)
        if (!is_ours(e->d_name))
            return hfc_error_set(err, 0,
                                 "%s: holds \"%s\", which is no part of a cache; give an empty "
                                 "directory with --cache, or one that does not exist yet",
                                 c->path, e->d_name);
    return 0;
}

static int take_lock(struct cache *c, int wait_ms, struct hfc_error *err)
{
    struct timespec pause = {.tv_nsec = LOCK_PAUSE_MS * 1000000L};

    c->lock_file = openat(c->directory, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (c->lock_file < 0)
        return hfc_error_set(err, errno, "%s/lock", c->path);
    while (flock(c->lock_file, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return hfc_error_set(err, errno, "%s/lock: cannot be locked", c->path);
        if (wait_ms <= 0)
            return hfc_error_set(err, 0,
                                 "%s: is in use by another process; stop that one, or give each "
                                 "its own directory with --cache",
                                 c->path);
        (void)nanosleep(&pause, NULL);
        wait_ms -= LOCK_PAUSE_MS;
    }
    return 0;
}

/* Ours alone, as names in it are opened and removed without another look. */
static int open_blobs(struct cache *c, struct hfc_error *err)
{
    struct stat st;

    if (mkdirat(c->directory, "blobs", 0700) < 0 && errno != EEXIST)
        return hfc_error_set(err, errno, "%s/blobs: cannot be made", c->path);
    c->blobs = openat(c->directory, "blobs", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (c->blobs < 0 && (errno == ENOTDIR || errno == ELOOP))
        return hfc_error_set(err, 0, "%s/blobs: is not a directory; remove it", c->path);
    if (c->blobs < 0 || fstat(c->blobs, &st) < 0)
        return hfc_error_set(err, errno, "%s/blobs", c->path);
    if (st.st_uid != geteuid())
        return hfc_error_set(err, 0,
                             "%s/blobs: belongs to user %u, this is user %u; \"chown -R %u %s\" "
                             "would give it to this one",
                             c->path, (unsigned)st.st_uid, (unsigned)geteuid(), (unsigned)geteuid(),
                             c->path);
    if ((st.st_mode & 022) != 0 && fchmod(c->blobs, 0700) < 0)
        return hfc_error_set(err, errno, "%s/blobs: others may write there", c->path);
    return 0;
}

/* ---- What the file system can. ---- */

/* On a full disk that stays unknown, and is found out later. */
static void probe_file(struct cache *c, int fd)
{
    uint8_t *page =
        mmap(NULL, PROBE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (page == MAP_FAILED)
        return;
    if (c->direct && pwrite(fd, page, PROBE_SIZE, 0) < 0 && errno == EINVAL)
        c->direct = false;
    if (!c->direct)
        (void)!pwrite(fd, page, PROBE_SIZE, 0);
    (void)munmap(page, PROBE_SIZE);
    if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, DATA_UNIT) < 0 &&
        (errno == EOPNOTSUPP || errno == ENOSYS))
        c->punches = false;
}

static void probe(struct cache *c)
{
    int flags = O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC;
    hfc_autoclose int fd = openat(c->blobs, PROBE_NAME, flags | O_DIRECT, 0600);

    c->direct = c->punches = true;
    if (fd < 0 && errno == EINVAL) {
        c->direct = false;
        fd = openat(c->blobs, PROBE_NAME, flags, 0600);
    }
    if (fd >= 0)
        probe_file(c, fd);
    (void)unlinkat(c->blobs, PROBE_NAME, 0);
    if (!c->direct || !c->punches)
        log_line(LOG_START, LEVEL_WARNING, "%s: its file system has no %s%s%s", c->path,
                 c->direct ? "" : "direct I/O", c->direct || c->punches ? "" : " and no ",
                 c->punches ? "" : "hole punching: files are evicted whole");
}

/* ---- What is there. ---- */

/* "0123456789abcdef.SUFFIX" */
static bool parse_name(const char *name, uint64_t *id, bool *is_map)
{
    static const char digits[] = "0123456789abcdef";
    char again[BLOB_NAME_SIZE];

    *id = 0;
    if (strlen(name) >= sizeof(again) || strspn(name, digits) != 16)
        return false;
    *id = strtoull(name, NULL, 16);
    *is_map = strcmp(name + 16, ".map") == 0;
    return *is_map || strcmp(name + 16, ".data") == 0;
}

static void remove_name(const struct cache *c, int dir, const char *name)
{
    if (unlinkat(dir, name, 0) < 0)
        log_line(LOG_CACHE, LEVEL_WARNING, "%s: cannot remove the leftover \"%s\": %s", c->path,
                 name, strerrordesc_np(errno));
}

/* A blob is known by sizes alone: its header is read when it is used. 0: no such size. */
static uint32_t blocks_by_size(const struct stat *st, bool is_map)
{
    uint64_t size = (uint64_t)st->st_size;

    if (is_map)
        return size > MAP_HEADER && (size - MAP_HEADER) % MAP_RECORD == 0
                   ? (uint32_t)((size - MAP_HEADER) / MAP_RECORD)
                   : 0;
    return size > 0 && size % DATA_UNIT == 0 && size <= BLOB_SIZE_MAX ? blocks_of(size) : 0;
}

static void note_file(struct cache *c, const char *name, uint64_t id, bool is_map,
                      const struct stat *st)
{
    struct entry *e = entry_find(c, id);

    if (e == NULL && entry_to_be_had(c))
        e = entry_new(c, id);
    if (e == NULL || !S_ISREG(st->st_mode)) {
        remove_name(c, c->blobs, name);
        return;
    }
    if (is_map) {
        e->in_map = blocks_by_size(st, true);
        e->touched = (uint64_t)st->st_mtim.tv_sec * 1000000000U + (uint64_t)st->st_mtim.tv_nsec;
    } else {
        e->in_data = blocks_by_size(st, false);
    }
    space_set(c, e, e->allocated + (uint64_t)st->st_blocks * 512);
}

static int note_name(struct cache *c, const char *name, struct hfc_error *err)
{
    size_t n = strlen(name), suffix = strlen(TEMPORARY);
    struct stat st;
    uint64_t id;
    bool is_map;

    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return 0;
    if (fstatat(c->blobs, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : hfc_error_set(err, errno, "%s/blobs/%s", c->path, name);
    if (!S_ISDIR(st.st_mode) && n > suffix && strcmp(name + n - suffix, TEMPORARY) == 0)
        remove_name(c, c->blobs, name);
    else if (!S_ISDIR(st.st_mode) && parse_name(name, &id, &is_map))
        note_file(c, name, id, is_map, &st);
    else
        return hfc_error_set(err, 0,
                             "%s: holds \"blobs/%s\", which is no file of a cache; move it "
                             "elsewhere",
                             c->path, name);
    return 0;
}

static int by_time(const void *a, const void *b)
{
    const struct entry *const *x = a, *const *y = b;

    return (*x)->touched < (*y)->touched ? -1 : (*x)->touched > (*y)->touched;
}

/* Oldest first. Memory for it is needed once; without it, the order is the directory's. */
static void sort_entries(struct cache *c)
{
    hfc_autofree struct entry **all = malloc((c->entry_count + 1) * sizeof(struct entry *));
    struct entry *e;
    unsigned n = 0;

    for (e = TAILQ_FIRST(&c->order); e != NULL && all != NULL; e = TAILQ_NEXT(e, order))
        all[n++] = e;
    if (n > 0)
        qsort(all, n, sizeof(struct entry *), by_time);
    for (unsigned i = 0; i < n; i++) {
        entry_used(c, all[i]);
        all[i]->touched = 0;
    }
}

/* One file without the other is what was left of making or dropping a blob. */
static void remove_unpaired(struct cache *c)
{
    struct entry *e = TAILQ_FIRST(&c->order), *next;

    for (; e != NULL; e = next) {
        next = TAILQ_NEXT(e, order);
        if (e->in_data > 0 && e->in_data == e->in_map)
            continue;
        e->broken = !files_remove(c, e->id);
        if (e->broken)
            continue;
        space_set(c, e, 0);
        entry_free(c, e);
    }
}

static int scan(struct cache *c, struct hfc_error *err)
{
    hfc_autoclosedir DIR *dir = list(c->blobs);
    const struct dirent *e;
    int rc = 0;

    if (dir == NULL)
        return hfc_error_set(err, errno, "%s/blobs", c->path);
    while (rc == 0 && (errno = 0, e = readdir(dir)) != NULL)
        rc = note_name(c, e->d_name, err);
    if (rc == 0 && errno != 0)
        return hfc_error_set(err, errno, "%s/blobs", c->path);
    if (rc < 0)
        return -1;
    remove_unpaired(c);
    sort_entries(c);
    return 0;
}

static void remove_temporary(struct cache *c)
{
    hfc_autoclosedir DIR *dir = list(c->directory);
    const struct dirent *e;

    while (dir != NULL && (e = readdir(dir)) != NULL)
        if (is_temporary(e->d_name))
            remove_name(c, c->directory, e->d_name);
}

/* ---- The bound. ---- */

static int set_limit(struct cache *c, const struct cache_config *config, struct hfc_error *err)
{
    struct statvfs fs;

    if (fstatvfs(c->blobs, &fs) < 0)
        return hfc_error_set(err, errno, "%s: its file system cannot be asked for its size",
                             c->path);
    uint64_t size = (uint64_t)fs.f_blocks * fs.f_frsize;
    if (config->limit == 0 && size == 0)
        return hfc_error_set(err, 0,
                             "%s: its file system has no size of which a part could be taken; give "
                             "bytes with --cache-size",
                             c->path);
    c->limit = config->limit != 0 ? config->limit : size / HUNDRED * config->percent;
    c->limit_now = c->limit;
    return 0;
}

static void apply_limit(struct cache *c)
{
    cache_lock(c);
    (void)evict_until_fits(c, 0, false);
    space_clamp(c);
    uint64_t now = c->limit_now;
    cache_unlock(c);
    if (now < c->limit)
        log_line(LOG_START, LEVEL_WARNING,
                 "%s: may grow to %llu MiB, but its file system has room for %llu MiB only",
                 c->path, (unsigned long long)(c->limit >> 20), (unsigned long long)(now >> 20));
}

/* ---- All of it. ---- */

static int take_over(struct cache *c, const struct cache_config *config, int lock_wait_ms,
                     struct hfc_error *err)
{
    if (open_directory(c, err) < 0 || check_names(c, err) < 0 ||
        take_lock(c, lock_wait_ms, err) < 0 || open_blobs(c, err) < 0)
        return -1;
    remove_temporary(c);
    probe(c);
    if (set_limit(c, config, err) < 0 || scan(c, err) < 0)
        return -1;
    space_look(c, true);
    apply_limit(c);
    return 0;
}

struct cache *cache_open(const struct cache_config *config, int lock_wait_ms, struct hfc_error *err)
{
    struct cache *c = calloc(1, sizeof(*c));

    assert(config->blobs_max > 0 && config->files_max > 0);
    if (c == NULL) {
        (void)hfc_error_set(err, ENOMEM, "%s", config->directory);
        return NULL;
    }
    *c = (struct cache){.directory = -1,
                        .blobs = -1,
                        .lock_file = -1,
                        .path = strdup(config->directory),
                        .blobs_max = config->blobs_max,
                        .files_max = config->files_max};
    (void)pthread_mutex_init(&c->lock, NULL);
    (void)pthread_cond_init(&c->changed, NULL);
    int rc = c->path == NULL || !table_make(c)
                 ? hfc_error_set(err, ENOMEM, "%s: a table of %u files", config->directory,
                                 config->blobs_max)
                 : take_over(c, config, lock_wait_ms, err);
    if (rc == 0)
        return c;
    cache_close(c);
    return NULL;
}

void cache_close(struct cache *c)
{
    if (c == NULL)
        return;
    for (unsigned i = 0; c->files != NULL && i < c->files_max; i++)
        if (c->files[i].blob != NULL) {
            (void)close(c->files[i].data);
            (void)close(c->files[i].map);
        }
    hfc_cleanup_close(&c->blobs);
    hfc_cleanup_close(&c->directory);
    hfc_cleanup_close(&c->lock_file);
    (void)pthread_cond_destroy(&c->changed);
    (void)pthread_mutex_destroy(&c->lock);
    table_free(c);
    free(c->path);
    free(c);
}

int cache_directory(const struct cache *c)
{
    return c->directory;
}
