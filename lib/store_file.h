/* store_file.h: what the files of the directory backend share. For store_file*.c only.
 *
 * DIR/KEY is the object KEY. DIR gets made by the first write; the folder it is in has to be there.
 * DIR/.hfcache-uploads/ is the backend's own and hidden from lists:
 *
 *   lock                      flock(2)ed while names change: conditions are checked under it
 *   tmp-N-PROCESS             in the making; cleaned up after a day, or when PROCESS (process.h) is
 * gone up-ID/key, data, part-N   an upload in parts
 *
 * Work is done in slices, a turn of the loop each.
 *
 * Threads: as the loop's.
 */
#ifndef HFC_STORE_FILE_H
#define HFC_STORE_FILE_H

#include <sys/stat.h>

#include "buf.h"
#include "store_internal.h"

#define HFC_DIR_UPLOADS ".hfcache-uploads"

enum {
    HFC_DIR_BUFFER = 64 * 1024,  /* of an operation that moves bytes */
    HFC_DIR_TURN = 512 * 1024,   /* bytes moved in a turn of the loop */
    HFC_DIR_TURN_ITEMS = 256,    /* names looked at in a turn */
    HFC_DIR_NAME = 200,          /* of a temporary file */
    HFC_DIR_ID = 3 + 2 * 16 + 1, /* of an upload, with its NUL */
    HFC_DIR_RECORD = 32,         /* room for a name "part-12345" */
};

struct hfc_dir {
    struct hfc_store base;
    int root; /* DIR; -1: there was none yet */
    /* Where DIR gets made: its parent folder and its own name. */
    int parent;
    char *name;
    bool by_steps; /* the kernel has no openat2(2) */
    unsigned temp; /* next number */
    bool cleaned;  /* of leftovers: the first write does it */
};

struct hfc_dir_walk;  /* store_file_list.c */
struct hfc_dir_names; /* store_file_names.c */

struct hfc_dir_op {
    struct hfc_store_op op;
    void (*step)(struct hfc_dir_op *o); /* the next turn; NULL: not started */
    struct hfc_timer timer;
    int fd;   /* what is read or written */
    int from; /* copy: the source; parts: the folder of the upload */
    char *buffer;
    size_t filled; /* get: bytes in `buffer` that were not taken yet */
    uint64_t at, end;
    uint64_t synced; /* bytes that are on their way to the disk */
    bool dense;      /* zeros have to be written */
    bool no_offload; /* copy: the file system can't do it by itself */
    struct hfc_hash *hash;
    uint8_t sha256[HFC_SHA256_SIZE];
    char etag[HFC_ETAG_MAX]; /* of the version that is read */
    char temp[HFC_DIR_NAME]; /* removed at the end; "": none */
    struct hfc_dir_walk *walk;
    struct hfc_dir_names *names;
    size_t next; /* of names or parts */
};

/* ---- store_file.c: operations. ---- */

/* n bytes of zeros, or the end of the process: nobody could go on without them. */
void *hfc_dir_alloc(size_t n);

/* Calls `step` in the next turn. */
void hfc_dir_next(struct hfc_dir_op *o, void (*step)(struct hfc_dir_op *o));

/* Ends the operation: "KEY: TEXT", or "KEY: DOING: what the errno says". */
void hfc_dir_refuse(struct hfc_dir_op *o, int errnum, const char *text);
void hfc_dir_fail(struct hfc_dir_op *o, int errnum, const char *doing);
void hfc_dir_succeed(struct hfc_dir_op *o, const struct hfc_object *object);

/* Each kind's first step. */
void hfc_dir_list(struct hfc_dir_op *o);
void hfc_dir_get(struct hfc_dir_op *o);
void hfc_dir_put(struct hfc_dir_op *o);
void hfc_dir_copy(struct hfc_dir_op *o);
void hfc_dir_create(struct hfc_dir_op *o);
void hfc_dir_put_part(struct hfc_dir_op *o);
void hfc_dir_list_parts(struct hfc_dir_op *o);
void hfc_dir_complete(struct hfc_dir_op *o);
void hfc_dir_abort(struct hfc_dir_op *o);
void hfc_dir_list_uploads(struct hfc_dir_op *o);
void hfc_dir_walk_free(struct hfc_dir_walk *w);

/* ---- store_file_upload.c ---- */

/* Opens the folder of the operation's upload: o->from. False: the operation has ended. */
bool hfc_dir_open_upload(struct hfc_dir_op *o);

/* ---- store_file_meta.c: what is known of a file beside its bytes. ---- */

void hfc_dir_etag(const struct stat *st, char etag[HFC_ETAG_MAX]);

/* Without `fd` (-1) there is no meta. */
void hfc_dir_object(int fd, const struct stat *st, struct hfc_object *object);

/* Keeps the meta with the file as it is now. A file system that can't is no failure. */
int hfc_dir_keep_meta(int fd, const struct stat *st, const struct hfc_meta *meta);

/* ---- store_file_put.c ---- */

/* Moves bytes of the operation's body to o->fd, at `base` and behind, as much as a turn may. True:
 * all are there and have the right SHA-256 (which is in o->sha256); false: go on later, or the
 * operation has ended. */
bool hfc_dir_take_body(struct hfc_dir_op *o, uint64_t base);

/* Has the disk begin with what was written, so that fsync(2) does not take long at the end. */
void hfc_dir_begin_sync(struct hfc_dir_op *o, uint64_t at);

#endif
