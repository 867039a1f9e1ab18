/* transfer.h: a file under way, for the files of the transfer engine only; see transfers.h.
 *
 *   transfers.c        queue, buffers, who may go on
 *   transfer.c         the life of one file
 *   transfer_block.c   bytes from the Hub: fetching, hashing
 *   transfer_sink.c    bytes to a bucket: copies, uploads, parts
 *   transfer_stream.c  parts that are larger than a block
 *
 * A file is a row of blocks. They are fetched in any order but hashed in order, and each is freed
 * when it has been hashed and no bucket needs it any more. `users` counts who still reads it.
 */
#ifndef REFRESH_TRANSFER_H
#define REFRESH_TRANSFER_H

#include "transfers.h"
#include "upload.h"

struct transfer;

struct block {
    struct transfer *transfer;
    struct block *next; /* in the order of their numbers */
    unsigned number;
    uint64_t offset; /* in the file */
    size_t size, received;
    uint8_t *bytes;
    struct hub_op *fetch;  /* under way; NULL: all is here, or it failed */
    struct hfc_hash *hash; /* of the block alone, if it is a part */
    uint8_t sha256[HFC_SHA256_SIZE];
    struct hfc_memory_body body;
    unsigned users;
    bool cancelled;
    bool sent;   /* given to the sinks */
    bool hashed; /* as part of the file */
};

enum sink_state {
    SINK_UNUSED,    /* the bucket does not need the file */
    SINK_PREPARING, /* a copy, or the upload's creation, or the list of its parts */
    SINK_READY,     /* takes bytes */
    SINK_FINISHING, /* the last request */
    SINK_DONE,
    SINK_FAILED,
};

enum { TRANSFER_TRIES_MAX = 3 };

/* A bucket's side of a transfer. */
struct sink {
    struct transfer *transfer;
    size_t i; /* of the run's targets */
    enum sink_state state;
    char *upload_id;              /* NULL: none yet, or a single PUT */
    struct hfc_meta meta, copied; /* of what is made */
    struct hfc_part *parts;       /* nparts of them; etag "": not there yet */
    bool *found; /* part was there already; its hash is compared, its bytes not sent */
    unsigned parts_done;
    struct hfc_error error; /* SINK_FAILED */
    bool again;             /* SINK_FAILED, but worth another pass with the parts that it has */
    /* Parts of several blocks, one at a time. */
    struct hfc_store_op *stream; /* under way */
    unsigned part;               /* 0-based: the next one, or the one under way */
    uint64_t sent;               /* bytes of the file that are not needed any more */
    uint8_t part_sha256[HFC_SHA256_SIZE];
    bool waiting;    /* paused for bytes */
    bool cancelled;  /* the stream is */
    bool distrusted; /* its upload must not be used again */
};

/* A put_part of a whole block. */
struct block_put {
    struct sink *sink;
    struct block *block;
};

struct transfer {
    struct transfers *all;
    struct transfer *next; /* active */
    struct snapshot *snapshot;
    struct wanted *wanted;
    char *key;
    struct hub_source *source;
    struct report_progress *progress;

    unsigned nblocks, blocks_per_part, nparts; /* nparts 0: one PUT */
    struct block *blocks;                      /* in memory */
    unsigned next_block;                       /* to be fetched */
    uint64_t received, hashed;                 /* bytes; hashed are the first ones */
    struct hfc_hash *sha256, *git, *part_hash; /* part_hash: see transfer_stream.c */
    uint8_t digest[HFC_SHA256_SIZE];
    bool verified;
    bool compares; /* a bucket has parts of an earlier upload */

    struct hfc_memory_body whole; /* a small file's bytes */
    struct sink *sinks;           /* the run's ntargets */
    unsigned ops;                 /* requests whose end has not come */
    unsigned tries;               /* passes that brought nothing new */
    unsigned parts_before;        /* done in the best pass so far */
    bool failing; /* because of `error`: what runs is cancelled, uploads are aborted */
    bool aborted; /* the uploads have been */
    struct hfc_error error;
};

#endif
