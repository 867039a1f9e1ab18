/* cache_space.c: what is allocated, the bound, and trouble with the disk; see cache_internal.h.
 * Owns the sums: `used` is what du(1) would say, looked up with fstat(2) and never reckoned.
 */
#include "cache_internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "logging.h"
#include "metrics.h"

#define NS_PER_S 1000000000ULL

enum {
    STAT_UNIT = 512,           /* of st_blocks */
    ROOM_LEFT = 4 * BLOCK_SIZE /* of a full file system: not all that it needs is counted */
};

static uint64_t allocated_of(const struct stat *st)
{
    return (uint64_t)st->st_blocks * STAT_UNIT;
}

uint64_t allocated_by(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 ? allocated_of(&st) : 0;
}

static uint64_t allocated_at(int dir, const char *name)
{
    struct stat st;

    return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 ? allocated_of(&st) : 0;
}

static void show(const struct cache *c)
{
    metric_set(M_CACHE_BYTES, c->used);
    metric_set(M_CACHE_LIMIT, c->limit_now);
    metric_set(M_CACHE_BLOBS, c->entry_count);
}

/* The index is written by others, beside the old one: so its size is wanted twice. */
void space_look(struct cache *c, bool now)
{
    static const char *const names[] = {"lock", "index", "index.etag", "lost+found"};
    uint64_t time = clock_ns();

    if (!now && time - c->looked_at < NS_PER_S)
        return;
    c->looked_at = time;
    uint64_t others = allocated_by(c->directory) + allocated_by(c->blobs);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        others += allocated_at(c->directory, names[i]);
    c->spare = allocated_at(c->directory, "index");
    assert(c->used >= c->others);
    c->used += others - c->others;
    c->others = others;
    if (c->limit_now < c->limit)
        space_clamp(c);
    show(c);
}

void space_set(struct cache *c, struct entry *e, uint64_t allocated)
{
    assert(c->used >= e->allocated);
    c->used += allocated - e->allocated;
    e->allocated = allocated;
    show(c);
}

void space_left(struct cache *c, struct blob_files *f, uint64_t bytes)
{
    assert(f->blob == NULL && c->reserved >= f->left && c->left >= f->left);
    c->reserved += bytes - f->left;
    c->left += bytes - f->left;
    f->left = bytes;
}

/* Files that somebody else has removed take space which nobody sees: they are not used any more. */
void space_settle(struct cache *c, struct blob_files *f)
{
    struct stat data, map;

    if (fstat(f->data, &data) < 0 || fstat(f->map, &map) < 0)
        return;
    if (f->blob == NULL) {
        space_left(c, f, allocated_of(&data) + allocated_of(&map));
        return;
    }
    struct entry *e = f->blob->entry;
    if (data.st_nlink == 0 || map.st_nlink == 0)
        e->broken = true;
    space_set(c, e,
              (data.st_nlink > 0 ? allocated_of(&data) : 0) +
                  (map.st_nlink > 0 ? allocated_of(&map) : 0));
}

void space_clamp(struct cache *c)
{
    struct statvfs fs;

    if (fstatvfs(c->blobs, &fs) < 0 || fs.f_blocks == 0)
        return; /* not told, as by a file system in memory */
    uint64_t free = (uint64_t)fs.f_bavail * fs.f_frsize;
    uint64_t room = c->used + free > ROOM_LEFT ? c->used + free - ROOM_LEFT : 0;
    c->limit_now = room < c->limit ? room : c->limit;
    show(c);
}

void disk_failed(struct cache *c, const char *what, const struct blob_info *info, int errnum)
{
    metric_add(M_DISK_ERRORS, 1);
    log_line(LOG_CACHE, LEVEL_WARNING, "%s: cannot %s: %s: %s", info->key, what, c->path,
             strerrordesc_np(errnum));
}

/* A file system that others have filled: what we have is then all that there is to have. */
void disk_degrade(struct cache *c, int errnum)
{
    cache_lock(c);
    bool first = !c->failing;
    c->failing = true;
    if (errnum == ENOSPC || errnum == EDQUOT)
        space_clamp(c);
    cache_unlock(c);
    atomic_store(&c->retry_at, clock_ns() + DEGRADED_RETRY_S * NS_PER_S);
    metric_set(M_CACHE_DEGRADED, 1);
    if (first)
        log_line(
            LOG_CACHE, LEVEL_ERROR,
            "%s: the disk fails: reads go past the cache, what it has stays in use; writing is "
            "tried again every %d s",
            c->path, DEGRADED_RETRY_S);
}

void disk_works(struct cache *c)
{
    cache_lock(c);
    bool failed = c->failing;
    c->failing = false;
    cache_unlock(c);
    if (!failed)
        return;
    metric_set(M_CACHE_DEGRADED, 0);
    atomic_store(&c->retry_at, 0);
    log_line(LOG_CACHE, LEVEL_INFO, "%s: the disk takes blocks again", c->path);
}

bool cache_degraded(const struct cache *c)
{
    return clock_ns() < atomic_load(&c->retry_at);
}

void cache_stats(struct cache *c, struct cache_stats *stats)
{
    cache_lock(c);
    space_look(c, true);
    (void)evict_until_fits(c, 0, false);
    *stats = (struct cache_stats){.used = c->used,
                                  .limit = c->limit_now,
                                  .blobs = c->entry_count,
                                  .evictions = c->evictions,
                                  .degraded = cache_degraded(c),
                                  .punches_holes = c->punches,
                                  .direct = c->direct};
    cache_unlock(c);
}
