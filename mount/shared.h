/* shared.h: the memory that keeper and workers share: INIT, slots, counts.
 *
 * One memfd, made and locked by the keeper, mapped by the worker that serves. It outlives workers
 * and, handed on, keepers. What lies in it:
 *
 * - the connection's INIT request and the keeper's answer, which every worker replays to libfuse;
 * - intake slots: a thread of the worker reads a request from /dev/fuse straight into its slot,
 * whose header's `len` it has zeroed before; the slot is cleared once the request is answered or
 * parked;
 * - parked slots: reads that wait for bytes, cut down to their two fixed structs, so that a wait
 *   costs no thread and 128 bytes.
 *
 * A slot whose header's `len` is at least a header's size is a request without an answer. After a
 * worker's death (all its threads gone) its successor executes those again; a second answer to a
 * request meets ENOENT in the kernel and does no harm. While a request moves from an intake to a
 * parked slot it stands in both.
 *
 * Who writes: the keeper `init` before any worker is there, and `connection`; the one serving
 * worker the rest; the keeper again while no worker serves. Counts are atomic, read by anybody.
 */
#ifndef MOUNT_SHARED_H
#define MOUNT_SHARED_H

#include <stdatomic.h>
#include <stdint.h>

#include <linux/fuse.h>

enum {
    SHARED_MAGIC = 0x68664d31, /* "hfM1" */
    SHARED_VERSION = 1,
    INTAKE_SLOTS = 16,   /* at most so many threads take requests */
    INTAKE_SIZE = 8192,  /* FUSE_MIN_READ_BUFFER: every request of a read-only file system fits */
    PARKED_SLOTS = 1024, /* reads that wait; more wait in the kernel */
    INIT_REQUEST_MAX = 256,
    STRIKES_MAX = 3, /* deaths of workers after which a request is answered EIO */
};

/* Flags of a slot; see strikes.h. */
enum {
    SLOT_EXECUTING = 1, /* a thread is at work on it: if the worker dies now, it may be the cause */
    SLOT_SUSPECT = 2,   /* was EXECUTING at a death: executed again alone */
    SLOT_BLAMED = 4,    /* the worker's crash handler names it as the cause */
};

struct slot_state {
    _Atomic uint32_t flags;
    _Atomic uint32_t strikes;
};

struct parked {
    struct fuse_in_header in; /* len 0: free */
    struct fuse_read_in read;
    struct slot_state state;
    uint8_t spare[40];
};
_Static_assert(sizeof(struct parked) == 128, "a parked read is 128 bytes");

struct intake {
    _Alignas(64) uint8_t bytes[INTAKE_SIZE]; /* struct fuse_in_header and what follows */
};

/* What was agreed on with the kernel, once in the connection's life. */
struct connection {
    uint32_t minor;           /* of protocol 7 */
    uint32_t max_read;        /* bytes of a read request */
    uint32_t read_ahead;      /* bytes, as set on the mount */
    uint32_t max_stack_depth; /* 0: no passthrough */
    uint64_t flags;           /* FUSE_* that both sides have */
};

struct shared {
    uint32_t magic, version;
    uint64_t size; /* of all of this */
    struct connection connection;
    uint32_t init_request_size, init_answer_size;
    uint8_t init_request[INIT_REQUEST_MAX];
    uint8_t init_answer[INIT_REQUEST_MAX];

    _Atomic uint64_t generation;  /* workers that have served */
    _Atomic uint64_t died_at;     /* CLOCK_MONOTONIC, ns: the last death was seen; 0: none */
    _Atomic uint64_t redone;      /* requests executed again */
    _Atomic uint64_t poisoned;    /* requests answered EIO after STRIKES_MAX deaths */
    _Atomic uint64_t orphaned;    /* requests answered EIO by the keeper for want of a worker */
    _Atomic uint64_t takeover_ns; /* sum: from a death, or a drain, to the first answer */
    _Atomic uint64_t takeover_last_ns;
    _Atomic uint64_t fault_counts[16]; /* tests: how often a named point was passed (fault.h) */

    struct slot_state intake_state[INTAKE_SLOTS];
    struct parked parked[PARKED_SLOTS];
    struct intake intake[INTAKE_SLOTS];
};

/* What Debian 12's <linux/fuse.h> (7.38) lacks, from the kernel's uapi of 7.40. */
#ifndef FUSE_PASSTHROUGH
#define FUSE_PASSTHROUGH (1ULL << 37)
#define FOPEN_PASSTHROUGH (1 << 7)
struct fuse_backing_map {
    int32_t fd;
    uint32_t flags;
    uint64_t padding;
};
#define FUSE_DEV_IOC_BACKING_OPEN _IOW(FUSE_DEV_IOC_MAGIC, 1, struct fuse_backing_map)
#define FUSE_DEV_IOC_BACKING_CLOSE _IOW(FUSE_DEV_IOC_MAGIC, 2, uint32_t)
#ifndef FUSE_DEV_IOC_MAGIC
#define FUSE_DEV_IOC_MAGIC 229
#endif
#endif

#endif
