/* cache_file.c: a blob's two files: which are open, how they are opened, made and dropped; see
 * cache_internal.h. Owns the descriptors: at most `files_max` pairs. Who works on a pair counts in
 * `busy`; a pair of a blob that was dropped meanwhile is closed by the last of those.
 *
 * Nobody who has a pair waits for room, for another pair, or for a blob to be dropped.
 */
#include "cache_internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "fault.h"
#include "logging.h"
#include "metrics.h"

void blob_file_name(char name[BLOB_NAME_SIZE], uint64_t id, const char *suffix)
{
    int n = snprintf(name, BLOB_NAME_SIZE, "%016" PRIx64 "%s", id, suffix);

    assert(n > 0 && n < BLOB_NAME_SIZE);
    (void)n;
}

/* An errno value; `*fd` is the caller's. */
static int open_one(const struct cache *c, uint64_t id, const char *suffix, int flags, int *fd)
{
    char name[BLOB_NAME_SIZE];

    blob_file_name(name, id, suffix);
    *fd = openat(c->blobs, name, flags | O_NOFOLLOW | O_CLOEXEC, 0600);
    return *fd >= 0 ? 0 : errno;
}

static bool remove_one(struct cache *c, uint64_t id, const char *suffix)
{
    char name[BLOB_NAME_SIZE];

    blob_file_name(name, id, suffix);
    if (unlinkat(c->blobs, name, 0) == 0 || errno == ENOENT)
        return true;
    log_line(LOG_CACHE, LEVEL_WARNING, "%s/blobs/%s: cannot remove it: %s", c->path, name,
             strerrordesc_np(errno));
    metric_add(M_DISK_ERRORS, 1);
    return false;
}

bool files_remove(struct cache *c, uint64_t id)
{
    bool map = remove_one(c, id, ".map");

    return remove_one(c, id, ".data") && map;
}

static void close_pair(struct blob_files *f)
{
    if (f->data >= 0)
        (void)close(f->data);
    if (f->map >= 0)
        (void)close(f->map);
    f->data = f->map = -1;
}

/* ---- Headers. ---- */

int header_write(struct blob_files *f, const struct blob_info *info, bool verified)
{
    uint8_t page[MAP_HEADER];

    map_header_make(info, verified, page);
    ssize_t n = pwrite(f->map, page, sizeof(page), 0);
    return n == MAP_HEADER ? 0 : n < 0 ? errno : EIO;
}

static int header_read(int map, uint64_t id, struct blob_header *header)
{
    uint8_t page[MAP_HEADER];
    ssize_t n = pread(map, page, sizeof(page), 0);

    if (n < 0)
        return errno;
    if (n != MAP_HEADER || !map_header_read(page, header) || header->info.id != id)
        return EBADMSG;
    return 0;
}

int header_load(struct cache *c, uint64_t id, struct blob_header *header)
{
    hfc_autoclose int map = -1;
    int rc = open_one(c, id, ".map", O_RDONLY, &map);

    return rc == 0 ? header_read(map, id, header) : rc;
}

/* Whether `now` has a digest that `then` had not, or another one. */
static bool knows_more(const struct hfc_meta *now, const struct hfc_meta *then)
{
    if (now->has_sha256 &&
        (!then->has_sha256 || memcmp(now->sha256, then->sha256, HFC_SHA256_SIZE) != 0))
        return true;
    return now->has_git_sha1 &&
           (!then->has_git_sha1 || memcmp(now->git_sha1, then->git_sha1, HFC_SHA1_SIZE) != 0);
}

/* ---- Opening. Without the lock: nobody else touches these files meanwhile. ---- */

static bool sizes_are_right(const struct blob_files *f, uint64_t size)
{
    struct stat data, map;

    return fstat(f->data, &data) == 0 && fstat(f->map, &map) == 0 && S_ISREG(data.st_mode) &&
           S_ISREG(map.st_mode) && (uint64_t)data.st_size == data_file_size(size) &&
           (uint64_t)map.st_size == map_file_size(size);
}

/* `mode`: O_RDWR, or O_RDONLY if the file system has become that. */
static int open_both(const struct cache *c, uint64_t id, int mode, struct blob_files *f)
{
    int rc = open_one(c, id, ".map", mode, &f->map);

    return rc == 0 ? open_one(c, id, ".data", mode | (c->direct ? O_DIRECT : 0), &f->data) : rc;
}

static int open_pair(const struct cache *c, const struct blob_info *info, struct blob_files *f,
                     bool *verified)
{
    struct blob_header h;
    int rc = open_both(c, info->id, O_RDWR, f);

    f->read_only = rc == EROFS;
    if (f->read_only) {
        close_pair(f);
        rc = open_both(c, info->id, O_RDONLY, f);
    }
    if (rc == 0)
        rc = header_read(f->map, info->id, &h);
    if (rc != 0)
        return rc;
    if (h.info.size != info->size || strcmp(h.key, info->key) != 0 ||
        strcmp(h.etag, info->etag) != 0 || !sizes_are_right(f, info->size))
        return EBADMSG;
    *verified = h.verified;
    if (!knows_more(&info->meta, &h.info.meta) || f->read_only)
        return 0;
    *verified = false;
    return header_write(f, info, false);
}

static int make_both(const struct cache *c, uint64_t id, struct blob_files *f)
{
    int flags = O_RDWR | O_CREAT | O_EXCL;
    int rc = open_one(c, id, ".data", flags | (c->direct ? O_DIRECT : 0), &f->data);

    return rc == 0 ? open_one(c, id, ".map", flags, &f->map) : rc;
}

/* The map gets its size last: one that is shorter was not finished. */
static int make_pair(struct cache *c, const struct blob_info *info, struct blob_files *f)
{
    int rc = make_both(c, info->id, f);

    if (rc == EEXIST) {
        close_pair(f);
        (void)files_remove(c, info->id);
        rc = make_both(c, info->id, f);
    }
    if (rc == 0 && ftruncate(f->data, (off_t)data_file_size(info->size)) < 0)
        rc = errno;
    if (rc == 0)
        rc = header_write(f, info, false);
    if (rc == 0 && ftruncate(f->map, (off_t)map_file_size(info->size)) < 0)
        rc = errno;
    if (rc != 0)
        (void)files_remove(c, info->id);
    return rc;
}

/* ---- Which are open. Locked. ---- */

static void give_back(struct cache *c, struct blob_files *f)
{
    TAILQ_INSERT_HEAD(&c->free_files, f, order);
    (void)pthread_cond_broadcast(&c->changed);
}

/* Takes them from their blob. True: nobody is at work on them, the caller has to close them. */
static bool detach(struct cache *c, struct blob_files *f)
{
    TAILQ_REMOVE(&c->open_files, f, order);
    f->blob->files = NULL;
    f->blob = NULL;
    return f->busy == 0;
}

void files_close(struct cache *c, struct blob_files *f)
{
    bool idle = detach(c, f);

    assert(idle);
    (void)idle;
    close_pair(f);
    give_back(c, f);
}

/* Makes a struct available, if need be that of the files that were used least recently. */
static bool find_room(struct cache *c)
{
    struct blob_files *f = TAILQ_FIRST(&c->open_files);

    if (!TAILQ_EMPTY(&c->free_files))
        return true;
    while (f != NULL && f->busy > 0)
        f = TAILQ_NEXT(f, order);
    if (f == NULL)
        return false;
    files_close(c, f);
    return true;
}

/* Whether files that can't be opened for that reason are no use any more. */
static bool is_lost(int errnum)
{
    return errnum == ENOENT || errnum == ELOOP || errnum == EACCES || errnum == EBADMSG;
}

static void drop_lost(struct blob *b, int errnum)
{
    struct cache *c = b->cache;

    b->entry->dropping = true;
    (void)entry_drop(c, b->entry, true);
    if (errnum == ENOENT)
        return;
    cache_unlock(c);
    metric_add(M_VERIFY_BLOCK_FAILURES, 1);
    log_line(LOG_CACHE, LEVEL_WARNING, "%s: its files in %s are damaged (%s): dropped", b->key,
             c->path, errnum == EBADMSG ? "wrong header or size" : strerrordesc_np(errnum));
    cache_lock(c);
}

/* Its files are gone. */
static void entry_end(struct cache *c, struct entry *e)
{
    if (e->blob != NULL)
        e->blob->entry = NULL;
    e->blob = NULL;
    space_set(c, e, 0);
    entry_free(c, e);
}

/* What open_pair() or make_pair() has come to. */
static int opened(struct blob *b, struct blob_files *f, bool made, int rc)
{
    struct cache *c = b->cache;

    b->opening = false;
    (void)pthread_cond_broadcast(&c->changed);
    if (rc == 0) {
        f->blob = b;
        b->files = f;
        TAILQ_INSERT_TAIL(&c->open_files, f, order);
        space_settle(c, f);
        if (made)
            space_look(c, true);
        return 0;
    }
    close_pair(f);
    give_back(c, f);
    if (made) {
        entry_end(c, b->entry);
        space_look(c, true);
    } else if (is_lost(rc)) {
        drop_lost(b, rc);
        return 0;
    }
    return rc;
}

/* There is a struct for the files, and for the entry. Lets go. */
static int open_files(struct blob *b)
{
    struct cache *c = b->cache;
    struct blob_files *f = TAILQ_FIRST(&c->free_files);
    bool made = b->entry == NULL, verified = false;

    assert(f != NULL && !b->opening);
    TAILQ_REMOVE(&c->free_files, f, order);
    *f = (struct blob_files){.data = -1, .map = -1};
    if (made) {
        b->entry = entry_new(c, b->info.id);
        b->entry->blob = b;
    }
    b->opening = true;
    cache_unlock(c);
    int rc = made ? make_pair(c, &b->info, f) : open_pair(c, &b->info, f, &verified);
    cache_lock(c);
    if (rc == 0) {
        b->loaded = true;
        b->verified = verified;
    }
    return opened(b, f, made, rc);
}

enum step { AGAIN, READY, NONE };

/* What somebody wants, and how it ended. */
struct want {
    bool make, reopened;
    int errnum;
};

static enum step wait_for_others(struct cache *c)
{
    (void)pthread_cond_wait(&c->changed, &c->lock);
    return AGAIN;
}

static enum step done(struct want *w, int errnum)
{
    w->errnum = errnum;
    return errnum == 0 ? AGAIN : NONE;
}

/* Files can only be read if the file system could not be written when they were opened. Perhaps by
 * now it can. */
static enum step reopen(struct blob *b, struct want *w)
{
    struct blob_files *f = b->files;

    if (w->reopened)
        return done(w, EROFS);
    w->reopened = true;
    if (detach(b->cache, f)) {
        close_pair(f);
        give_back(b->cache, f);
    }
    return AGAIN;
}

static enum step find_and_open(struct blob *b, struct want *w)
{
    struct cache *c = b->cache;

    if (b->entry == NULL && !entry_to_be_had(c))
        return done(w, evict_until_fits(c, 0, true) ? 0 : ENOBUFS);
    if (!find_room(c))
        return wait_for_others(c);
    return done(w, open_files(b));
}

/* One step towards open files; lets go. */
static enum step step(struct blob *b, struct want *w)
{
    struct cache *c = b->cache;
    struct entry *e = b->entry;

    if (b->opening || (w->make && e != NULL && e->dropping))
        return wait_for_others(c);
    if (!w->make && !entry_usable(e))
        return NONE;
    if (e != NULL && e->broken) {
        e->dropping = true;
        return done(w, entry_drop(c, e, true) ? 0 : EIO);
    }
    if (b->files == NULL)
        return find_and_open(b, w);
    return w->make && b->files->read_only ? reopen(b, w) : READY;
}

struct blob_files *files_get(struct blob *b, bool make, int *errnum, struct span *punching)
{
    struct cache *c = b->cache;
    struct blob_files *f = NULL;
    struct want w = {.make = make};
    enum step next = AGAIN;

    cache_lock(c);
    while (next == AGAIN)
        next = step(b, &w);
    if (next == READY) {
        f = b->files;
        f->busy++;
        TAILQ_REMOVE(&c->open_files, f, order);
        TAILQ_INSERT_TAIL(&c->open_files, f, order);
    }
    if (punching != NULL)
        *punching = c->punched == b ? c->punching : (struct span){0};
    cache_unlock(c);
    *errnum = w.errnum;
    return f;
}

void files_put(struct blob *b, struct blob_files *f)
{
    struct cache *c = b->cache;

    cache_lock(c);
    assert(f->busy > 0);
    f->busy--;
    bool last = f->busy == 0;
    bool close_them = last && f->blob == NULL;
    if (last && !close_them)
        (void)pthread_cond_broadcast(&c->changed);
    cache_unlock(c);
    if (!close_them)
        return;
    close_pair(f);
    cache_lock(c);
    space_left(c, f, 0);
    give_back(c, f);
    cache_unlock(c);
}

/* ---- Dropping. ---- */

/* The blob starts anew. Returns its files if they are to be closed by the caller; if somebody is at
 * work on them their space is not free yet. */
static struct blob_files *forget(struct blob *b)
{
    struct blob_files *f = b->files;

    b->whole_below = b->punch_from = 0;
    b->loaded = b->verified = false;
    b->losses++;
    b->drops++;
    if (f == NULL || detach(b->cache, f))
        return f;
    space_left(b->cache, f, b->entry->allocated);
    return NULL;
}

bool entry_drop(struct cache *c, struct entry *e, bool wrong)
{
    bool gone = false;

    assert(e->dropping && (e->blob == NULL || !e->blob->opening));
    struct blob_files *f = e->blob != NULL ? forget(e->blob) : NULL;
    cache_unlock(c);
    if (f != NULL)
        close_pair(f);
    /* The map first: without it the data are nothing. */
    if (remove_one(c, e->id, ".map")) {
        wrong = true;
        (void)fault_at(FAULT_EVICT);
        gone = remove_one(c, e->id, ".data");
    }
    cache_lock(c);
    if (f != NULL)
        give_back(c, f);
    e->dropping = false;
    if (gone) {
        entry_end(c, e);
    } else {
        e->broken = e->broken || wrong;
        entry_used(c, e);
    }
    (void)pthread_cond_broadcast(&c->changed);
    return gone;
}

bool cache_drop(struct cache *c, uint64_t id)
{
    struct entry *e;

    cache_lock(c);
    while ((e = entry_find(c, id)) != NULL &&
           (e->dropping || (e->blob != NULL && e->blob->opening)))
        (void)pthread_cond_wait(&c->changed, &c->lock);
    if (e != NULL) {
        e->dropping = true;
        (void)entry_drop(c, e, true);
    }
    cache_unlock(c);
    return e != NULL;
}

void blob_drop(struct blob *b)
{
    (void)cache_drop(b->cache, b->info.id);
}
