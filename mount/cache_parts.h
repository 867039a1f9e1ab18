/* cache_parts.h: functions that the files of the cache offer to each other; see cache_internal.h,
 * which includes this.
 */
#ifndef MOUNT_CACHE_PARTS_H
#define MOUNT_CACHE_PARTS_H

static inline void cache_lock(struct cache *c)
{
    (void)pthread_mutex_lock(&c->lock);
}

static inline void cache_unlock(struct cache *c)
{
    (void)pthread_mutex_unlock(&c->lock);
}

/* cache_table.c; all locked. */
bool table_make(struct cache *c);
void table_free(struct cache *c);
struct entry *entry_find(struct cache *c, uint64_t id);
bool entry_to_be_had(const struct cache *c);
struct entry *entry_new(struct cache *c, uint64_t id); /* the table must have room */
void entry_free(struct cache *c, struct entry *e);
void entry_used(struct cache *c, struct entry *e);     /* it is the last to be evicted now */
static inline bool entry_usable(const struct entry *e) /* NULL is none */
{
    return e != NULL && !e->dropping && !e->broken;
}
struct blob *blob_find(struct cache *c, uint64_t id);
struct blob *blob_new(struct cache *c, const struct blob_info *info); /* with a use; NULL: none */
void blob_linger(struct blob *b);

/* cache_space.c; locked unless said otherwise. */
uint64_t allocated_by(int fd);
void space_look(struct cache *c, bool now); /* at all but blobs, once a second unless `now` */
void space_settle(struct cache *c, struct blob_files *f);
void space_left(struct cache *c, struct blob_files *f, uint64_t bytes); /* by dropped files */
void space_set(struct cache *c, struct entry *e, uint64_t allocated);
void space_clamp(struct cache *c); /* the bound, to what the file system has */
/* Counts and logs; not locked. */
void disk_failed(struct cache *c, const char *what, const struct blob_info *info, int errnum);
void disk_degrade(struct cache *c, int errnum);
void disk_works(struct cache *c);

/* cache_evict.c; locked, let go. */
/* Room for `need` bytes, and for an entry. False: there is nothing more to evict. */
bool evict_until_fits(struct cache *c, uint64_t need, bool entry);

/* cache_file.c. */
void blob_file_name(char name[BLOB_NAME_SIZE], uint64_t id, const char *suffix);
/* The blob's files, with one more at work on them. NULL: it has none, or they can't be opened
 * (*errnum, else 0). `make`: they are made if need be, and can be written. `punching`, if not NULL,
 * gets the blocks that are just being freed. Not locked. */
struct blob_files *files_get(struct blob *b, bool make, int *errnum, struct span *punching);
void files_put(struct blob *b, struct blob_files *f);
/* Locked, lets go. The caller has set `dropping`. False: they can't be removed; what they hold is
 * then of use only unless `wrong`. */
bool entry_drop(struct cache *c, struct entry *e, bool wrong);
bool files_remove(struct cache *c, uint64_t id); /* not locked */
int header_write(struct blob_files *f, const struct blob_info *info, bool verified);
int header_load(struct cache *c, uint64_t id, struct blob_header *header);
/* Locked; nobody may be at work on them. */
void files_close(struct cache *c, struct blob_files *f);

/* cache_blob.c. */
bool blob_held(const struct blob *b, uint32_t block); /* locked */
bool blob_is_held(const struct blob *b);              /* any block of it; locked */
void blob_hold_locked(struct blob *b, struct span s);
void blob_release_locked(struct blob *b, struct span s);
void blob_done_locked(struct blob *b);
void blob_used(struct blob *b, struct blob_files *f);

/* Which of some blocks are there. */
enum { PIECE_BLOCKS = 512 };
struct piece {
    uint32_t first, n;
    uint64_t there[PIECE_BLOCKS / 64];
};
/* As many from `first` on as fit, or `n`. Without the lock. False: there are no files. */
bool piece_read(struct blob *b, uint32_t first, uint32_t n, bool use, struct piece *p);
static inline bool piece_has(const struct piece *p, uint32_t block)
{
    uint32_t i = block - p->first;

    return i < p->n && (p->there[i / 64] >> i % 64 & 1) != 0;
}

/* cache_io.c; errno values. Without the lock. */
int records_clear(struct blob *b, struct blob_files *f, struct span s);

#endif
