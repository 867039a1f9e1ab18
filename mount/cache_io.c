/* cache_io.c: blocks to and from the disk; see cache_internal.h. Owns nothing; data and records are
 * read and written without the lock.
 *
 * Order is all: data before the record when a block comes, the record before the data when it goes.
 * So a valid record whose block is wrong means that the disk has lied, or that the block has gone
 * and come between two looks: hence the reader looks again.
 */
#include "cache_internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "crc32c.h"
#include "fault.h"
#include "logging.h"
#include "metrics.h"

enum {
    READ_TRIES = 3,
    /* What a block may take beside its bytes: a page of the map, of the folder, of the file
     * system's own lists. */
    EXTRA_SPACE = 4 * DATA_UNIT,
};

static size_t padded(uint32_t size)
{
    return (size + DATA_UNIT - 1) / DATA_UNIT * DATA_UNIT;
}

/* ---- Records. ---- */

static off_t record_at(uint32_t block)
{
    return MAP_HEADER + (off_t)block * MAP_RECORD;
}

static bool record_get(const struct blob *b, const struct blob_files *f, uint32_t block,
                       uint32_t *crc)
{
    uint64_t record;

    return pread(f->map, &record, sizeof(record), record_at(block)) == sizeof(record) &&
           map_record_read(b->info.id, block, record, crc);
}

static int record_put(const struct blob *b, const struct blob_files *f, uint32_t block,
                      uint32_t crc)
{
    uint64_t record = map_record_make(b->info.id, block, crc);
    ssize_t n = pwrite(f->map, &record, sizeof(record), record_at(block));

    return n == sizeof(record) ? 0 : n < 0 ? errno : EIO;
}

int records_clear(struct blob *b, struct blob_files *f, struct span s)
{
    static const uint64_t zeros[PIECE_BLOCKS];
    size_t size = (size_t)(s.end - s.first) * MAP_RECORD;
    struct cache *c = b->cache;

    assert(s.first < s.end && s.end - s.first <= PIECE_BLOCKS);
    if (f->read_only)
        return EROFS;
    ssize_t n = pwrite(f->map, zeros, size, record_at(s.first));
    int rc = n == (ssize_t)size ? 0 : n < 0 ? errno : EIO;
    bool verified = false;
    cache_lock(c);
    if (f->blob == b) {
        b->losses++;
        if (b->whole_below > s.first)
            b->whole_below = s.first;
        verified = b->verified;
        b->verified = false;
    }
    cache_unlock(c);
    /* What comes in their place has not been compared with the digest. */
    if (verified && rc == 0)
        rc = header_write(f, &b->info, false);
    return rc;
}

/* ---- Reading. ---- */

static int read_data(const struct blob_files *f, uint32_t block, uint8_t *to, size_t size)
{
    off_t at = (off_t)block * BLOCK_SIZE;
    int rc = fault_at(FAULT_DISK_READ);

    for (size_t done = 0; rc == 0 && done < size;) {
        ssize_t n = pread(f->data, to + done, size - done, at + (off_t)done);
        if (n > 0)
            done += (size_t)n;
        else if (n == 0 || errno != EINTR)
            rc = n == 0 ? EIO : errno; /* the file is shorter than it was */
    }
    return rc;
}

/* A block that is no good but can't be taken from the map makes all of the blob no good: readers
 * would ask for it for ever. */
static enum blob_result lose(struct blob *b, struct blob_files *f, uint32_t block)
{
    struct cache *c = b->cache;

    if (records_clear(b, f, (struct span){block, block + 1}) == 0)
        return BLOB_ABSENT;
    cache_lock(c);
    if (f->blob == b)
        b->entry->broken = true;
    cache_unlock(c);
    return BLOB_ABSENT;
}

static enum blob_result read_checked(struct blob *b, struct blob_files *f, uint32_t block,
                                     uint8_t *to)
{
    uint32_t size = blob_block_size(b, block), crc;

    for (unsigned i = 0; i < READ_TRIES; i++) {
        if (!record_get(b, f, block, &crc))
            return BLOB_ABSENT;
        int rc = read_data(f, block, to, padded(size));
        if (rc != 0) {
            disk_failed(b->cache, "read a block from", &b->info, rc);
            return lose(b, f, block);
        }
        if (crc32c(0, to, size) == crc)
            return BLOB_OK;
    }
    metric_add(M_VERIFY_BLOCK_FAILURES, 1);
    log_line(LOG_VERIFY, LEVEL_WARNING,
             "%s: block %u in %s is not what was written there: dropped, to be fetched again",
             b->key, block, b->cache->path);
    return lose(b, f, block);
}

enum blob_result blob_read(struct blob *b, uint32_t block, void *to)
{
    struct span punching;
    int errnum;
    struct blob_files *f = files_get(b, false, &errnum, &punching);

    assert(block < b->blocks && ((uintptr_t)to & (DATA_UNIT - 1)) == 0);
    if (f == NULL && errnum != 0)
        disk_failed(b->cache, "open its files in", &b->info, errnum);
    if (f == NULL)
        return BLOB_ABSENT;
    enum blob_result result = read_checked(b, f, block, to);
    if (!b->cache->direct)
        (void)posix_fadvise(f->data, (off_t)block * BLOCK_SIZE, BLOCK_SIZE, POSIX_FADV_DONTNEED);
    blob_used(b, f);
    files_put(b, f);
    return result;
}

/* ---- Writing. ---- */

/* Without O_DIRECT the pages are got rid of by hand: they would count as ours. */
static int write_data(const struct cache *c, const struct blob_files *f, uint32_t block,
                      const uint8_t *from, size_t size)
{
    off_t at = (off_t)block * BLOCK_SIZE;
    int rc = fault_at(FAULT_DISK_WRITE);

    for (size_t done = 0; rc == 0 && done < size;) {
        ssize_t n = pwrite(f->data, from + done, size - done, at + (off_t)done);
        if (n > 0)
            done += (size_t)n;
        else if (n == 0 || errno != EINTR)
            rc = n == 0 ? EIO : errno;
    }
    if (rc != 0 || c->direct)
        return rc;
    (void)sync_file_range(f->data, at, (off_t)size,
                          SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
                              SYNC_FILE_RANGE_WAIT_AFTER);
    (void)posix_fadvise(f->data, at, (off_t)size, POSIX_FADV_DONTNEED);
    return 0;
}

/* What has been allocated for a block that did not come is given back; not if it was there before.
 */
static int store(struct blob *b, struct blob_files *f, uint32_t block, const uint8_t *from)
{
    uint32_t size = blob_block_size(b, block), crc;
    int rc = write_data(b->cache, f, block, from, padded(size));

    if (rc == 0)
        rc = fault_at(FAULT_BLOCK);
    if (rc == 0)
        rc = record_put(b, f, block, crc32c(0, from, size));
    if (rc != 0 && !record_get(b, f, block, &crc))
        (void)fallocate(f->data, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                        (off_t)block * BLOCK_SIZE, BLOCK_SIZE);
    return rc;
}

static bool is_punched(const struct blob *b, uint32_t block)
{
    const struct cache *c = b->cache;

    return c->punched == b && block >= c->punching.first && block < c->punching.end;
}

/* Reserves space, and keeps the block from being punched while it is written. */
static bool begin(struct blob *b, uint32_t block, uint64_t need)
{
    struct cache *c = b->cache;

    cache_lock(c);
    space_look(c, false);
    bool room = !cache_degraded(c) && evict_until_fits(c, need, false);
    if (room) {
        c->reserved += need;
        while (is_punched(b, block))
            (void)pthread_cond_wait(&c->changed, &c->lock);
        blob_hold_locked(b, (struct span){block, block + 1});
    }
    cache_unlock(c);
    return room;
}

static void end(struct blob *b, struct blob_files *f, uint32_t block, uint64_t need, bool stored)
{
    struct cache *c = b->cache;

    cache_lock(c);
    assert(c->reserved >= need);
    c->reserved -= need;
    if (f != NULL)
        space_settle(c, f);
    if (stored)
        b->stores++;
    if (stored && block < b->punch_from)
        b->punch_from = block;
    blob_release_locked(b, (struct span){block, block + 1});
    cache_unlock(c);
    if (f != NULL)
        files_put(b, f);
}

enum blob_result blob_write(struct blob *b, uint32_t block, void *from)
{
    struct cache *c = b->cache;
    uint32_t size = blob_block_size(b, block);
    uint64_t need = padded(size) + EXTRA_SPACE;
    int rc = ENOBUFS;

    assert(((uintptr_t)from & (DATA_UNIT - 1)) == 0);
    memset((uint8_t *)from + size, 0, BLOCK_SIZE - size);
    if (begin(b, block, need)) {
        struct blob_files *f = files_get(b, true, &rc, NULL);
        if (f != NULL)
            rc = store(b, f, block, from);
        end(b, f, block, need, rc == 0);
    }
    if (rc == 0) {
        disk_works(c);
        return BLOB_OK;
    }
    metric_add(M_CACHE_BYPASSED, 1);
    if (rc != ENOBUFS) {
        disk_failed(c, "write a block to", &b->info, rc);
        disk_degrade(c, rc);
    }
    return BLOB_FULL;
}
