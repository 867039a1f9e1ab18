/* mount_peer.h: a mount without a kernel, for tests of sessions and the file system.
 *
 * A socketpair of packets stands in for /dev/fuse: peer_send() is a request, peer_answer() takes
 * what the session has answered to it. Tree: a real one, from peer_tree(). Catalog, cache, engine
 * and log are stand-ins, defined here, so that those of the program are not linked: a read is
 * answered at once, or waits until somebody calls fake_engine_answer().
 */
#ifndef TESTS_MOUNT_PEER_H
#define TESTS_MOUNT_PEER_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "fs.h"
#include "logging.h"
#include "session.h"
#include "shared.h"

enum { ANSWER_MS = 60000, BLOBS = 16, PACKET = 160 * 1024, ANSWERS = 4096 };

/* ---- the log */

static struct {
    pthread_mutex_t lock;
    char text[16384];
} logged = {.lock = PTHREAD_MUTEX_INITIALIZER};

void log_line(enum log_kind kind, enum log_level level, const char *fmt, ...)
{
    char line[1024];
    va_list args;

    (void)kind, (void)level;
    va_start(args, fmt);
    (void)vsnprintf(line, sizeof(line), fmt, args);
    va_end(args);
    (void)pthread_mutex_lock(&logged.lock);
    size_t used = strlen(logged.text);
    (void)snprintf(logged.text + used, sizeof(logged.text) - used, "%s\n", line);
    (void)pthread_mutex_unlock(&logged.lock);
}

static inline bool was_logged(const char *part)
{
    (void)pthread_mutex_lock(&logged.lock);
    bool found = strstr(logged.text, part) != NULL;
    (void)pthread_mutex_unlock(&logged.lock);
    return found;
}

/* ---- the cache: blobs are there for who knows their id; uses are counted */

struct blob {
    struct blob_info info;
    char key[128], etag[HFC_ETAG_MAX];
    bool known_to_cache; /* blob_use_cached() finds it */
    uint64_t there;      /* bit i: block i is cached */
    _Atomic int uses;
};

struct cache {
    struct blob blobs[BLOBS];
    unsigned n;
    bool full; /* blob_use() fails */
    pthread_mutex_t lock;
};

static struct cache fake_cache = {.lock = PTHREAD_MUTEX_INITIALIZER};

static inline struct blob *fake_blob(struct cache *c, const struct blob_info *info)
{
    struct blob *b = NULL;

    (void)pthread_mutex_lock(&c->lock);
    for (unsigned i = 0; i < c->n && b == NULL; i++)
        b = c->blobs[i].info.id == info->id ? &c->blobs[i] : NULL;
    if (b == NULL) {
        assert_true(c->n < BLOBS);
        b = &c->blobs[c->n++];
        b->info = *info;
        (void)snprintf(b->key, sizeof(b->key), "%s", info->key);
        (void)snprintf(b->etag, sizeof(b->etag), "%s", info->etag);
        b->info.key = b->key;
        b->info.etag = b->etag;
    }
    (void)pthread_mutex_unlock(&c->lock);
    return b;
}

struct blob *blob_use(struct cache *c, const struct blob_info *info)
{
    return c->full ? NULL : blob_again(fake_blob(c, info));
}

struct blob *blob_use_cached(struct cache *c, uint64_t id)
{
    struct blob *found = NULL;

    (void)pthread_mutex_lock(&c->lock);
    for (unsigned i = 0; i < c->n; i++)
        if (c->blobs[i].info.id == id && c->blobs[i].known_to_cache)
            found = blob_again(&c->blobs[i]);
    (void)pthread_mutex_unlock(&c->lock);
    return found;
}

struct blob *blob_again(struct blob *b)
{
    (void)atomic_fetch_add(&b->uses, 1);
    return b;
}

void blob_done(struct blob *b)
{
    if (b != NULL)
        assert_true(atomic_fetch_sub(&b->uses, 1) > 0);
}

const struct blob_info *blob_info(const struct blob *b)
{
    return &b->info;
}

uint32_t blob_blocks(const struct blob *b)
{
    return (uint32_t)((b->info.size + BLOCK_SIZE - 1) / BLOCK_SIZE);
}

uint32_t blob_block_size(const struct blob *b, uint32_t block)
{
    uint64_t left = b->info.size - (uint64_t)block * BLOCK_SIZE;

    return left < BLOCK_SIZE ? (uint32_t)left : BLOCK_SIZE;
}

uint64_t blob_present(struct blob *b, uint32_t first, uint32_t n)
{
    assert_true(n <= 64);
    return first == 0 ? b->there & (n < 64 ? (1ULL << n) - 1 : UINT64_MAX) : 0;
}

static inline int fake_uses(void)
{
    int n = 0;

    for (unsigned i = 0; i < fake_cache.n; i++)
        n += atomic_load(&fake_cache.blobs[i].uses);
    return n;
}

/* ---- the catalog */

struct catalog {
    pthread_mutex_t lock;
    struct nametree *tree;
    struct node retired; /* id 0: none */
};

static struct catalog fake_catalog = {.lock = PTHREAD_MUTEX_INITIALIZER};

struct nametree *catalog_tree(struct catalog *c)
{
    (void)pthread_mutex_lock(&c->lock);
    struct nametree *t = c->tree != NULL ? nametree_ref(c->tree) : NULL;
    (void)pthread_mutex_unlock(&c->lock);
    return t;
}

bool catalog_retired(struct catalog *c, uint64_t id, struct node *n)
{
    *n = c->retired;
    return n->id != 0 && n->id == id;
}

static inline void fake_catalog_set(struct nametree *t)
{
    (void)pthread_mutex_lock(&fake_catalog.lock);
    struct nametree *old = fake_catalog.tree;
    fake_catalog.tree = t;
    (void)pthread_mutex_unlock(&fake_catalog.lock);
    nametree_unref(old);
}

/* Entries in the order of their keys. */
static inline struct nametree *peer_tree(const struct hfc_entry *entries, size_t n)
{
    struct nametree_builder *b = nametree_builder_new(16 << 20);
    struct hfc_error err = {0};

    assert_non_null(b);
    for (size_t i = 0; i < n; i++)
        if (nametree_add(b, &entries[i], &err) < 0)
            fail_msg("%s: %s", entries[i].key, err.msg);
    struct nametree *t = nametree_finish(b, "v1", &err);
    assert_non_null(t);
    return t;
}

static inline uint64_t peer_id(const char *path)
{
    struct node n;

    assert_true(nametree_path(fake_catalog.tree, path, &n));
    return n.id;
}

/* ---- the engine */

struct engine {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool waits; /* reads are not answered at once */
    int errnum; /* answered with */
    struct read *first, *last;
    _Atomic unsigned waiting;
    _Atomic unsigned abandoned; /* calls */
    uint8_t arena[128 * 1024];
};

static struct engine fake_engine = {.lock = PTHREAD_MUTEX_INITIALIZER,
                                    .changed = PTHREAD_COND_INITIALIZER};

/* Byte i of any blob, so that bytes can be told by their offset: the arena holds 251 * n of it. */
static inline uint8_t fake_byte(uint64_t offset)
{
    return (uint8_t)(offset % 251);
}

static inline void fake_engine_fill(void)
{
    for (size_t i = 0; i < sizeof(fake_engine.arena); i++)
        fake_engine.arena[i] = fake_byte(i);
}

/* In two pieces, as if a block's border lay within. */
static inline void fake_finish(struct engine *e, struct read *r)
{
    uint8_t *from = e->arena + r->offset % 251;
    size_t half = r->size / 2;
    struct iovec pieces[] = {{from, half}, {from + half, r->size - half}};

    assert_true(r->offset % 251 + r->size <= sizeof(e->arena));
    r->source = READ_MEMORY;
    if (e->errnum != 0)
        r->done(r, NULL, 0, e->errnum);
    else
        r->done(r, pieces, 2, 0);
}

bool engine_read(struct engine *e, struct read *r, bool wait)
{
    (void)pthread_mutex_lock(&e->lock);
    bool now = !e->waits;
    if (!now && wait) {
        r->next = NULL;
        if (e->first == NULL)
            e->first = r;
        else
            e->last->next = r;
        e->last = r;
        (void)atomic_fetch_add(&e->waiting, 1);
        (void)pthread_cond_broadcast(&e->changed);
    }
    (void)pthread_mutex_unlock(&e->lock);
    if (now)
        fake_finish(e, r);
    return now;
}

static inline struct read *fake_pop(struct engine *e)
{
    (void)pthread_mutex_lock(&e->lock);
    struct read *r = e->first;
    if (r != NULL) {
        e->first = r->next;
        (void)atomic_fetch_sub(&e->waiting, 1);
    }
    (void)pthread_mutex_unlock(&e->lock);
    return r;
}

/* Up to n reads that wait. */
static inline unsigned fake_engine_answer(unsigned n)
{
    unsigned done = 0;
    struct read *r;

    while (done < n && (r = fake_pop(&fake_engine)) != NULL) {
        fake_finish(&fake_engine, r);
        done++;
    }
    return done;
}

static inline void fake_engine_until_waiting(unsigned n)
{
    struct engine *e = &fake_engine;
    struct timespec until;
    int rc = 0;

    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += ANSWER_MS / 1000;
    (void)pthread_mutex_lock(&e->lock);
    while (atomic_load(&e->waiting) < n && rc == 0)
        rc = pthread_cond_timedwait(&e->changed, &e->lock, &until);
    (void)pthread_mutex_unlock(&e->lock);
    assert_int_equal(rc, 0);
}

static inline void fake_engine_waits(bool waits)
{
    (void)pthread_mutex_lock(&fake_engine.lock);
    fake_engine.waits = waits;
    (void)pthread_mutex_unlock(&fake_engine.lock);
}

void engine_abandon(struct engine *e)
{
    while (fake_pop(e) != NULL)
        ;
    e->abandoned++;
}

/* ---- the kernel */

struct packet {
    struct fuse_out_header out;
    uint8_t body[PACKET];
};

static struct peer {
    int fd, dev;
    struct shared *shared;
    struct fs *fs;
    struct session *session;
    uint64_t unique; /* of the last request */
    struct {
        uint64_t unique;
        int error;
    } seen[ANSWERS]; /* taken by peer_answer() for others */
    unsigned n_seen;
    struct packet packet; /* the last answer that peer_answer() took */
    size_t size;          /* of its body */
    _Atomic unsigned ended;
} peer;

/* In a slot's form. Returns its size. */
static inline size_t peer_fill(void *to, uint32_t opcode, uint64_t node, const void *args, size_t n)
{
    struct fuse_in_header in = {.len = (uint32_t)(sizeof(in) + n),
                                .opcode = opcode,
                                .unique = ++peer.unique,
                                .nodeid = node};

    memcpy(to, &in, sizeof(in));
    if (n > 0)
        memcpy((uint8_t *)to + sizeof(in), args, n);
    return in.len;
}

static inline void peer_send_raw(const void *bytes, size_t n)
{
    assert_int_equal(send(peer.fd, bytes, n, 0), n);
}

/* Returns its unique id. */
static inline uint64_t peer_send(uint32_t opcode, uint64_t node, const void *args, size_t n)
{
    uint8_t bytes[INTAKE_SIZE];

    peer_send_raw(bytes, peer_fill(bytes, opcode, node, args, n));
    return peer.unique;
}

static inline void peer_receive(void)
{
    struct pollfd p = {.fd = peer.fd, .events = POLLIN};

    assert_int_equal(poll(&p, 1, ANSWER_MS), 1);
    ssize_t n = recv(peer.fd, &peer.packet, sizeof(peer.packet), 0);
    assert_true(n >= (ssize_t)sizeof(peer.packet.out));
    assert_int_equal(peer.packet.out.len, n);
    peer.size = (size_t)n - sizeof(peer.packet.out);
}

/* The errno of the answer to this request; others that come before are kept. */
static inline int peer_answer(uint64_t unique)
{
    for (unsigned i = 0; i < peer.n_seen; i++)
        if (peer.seen[i].unique == unique)
            return -peer.seen[i].error;
    for (;;) {
        peer_receive();
        if (peer.packet.out.unique == unique)
            return -peer.packet.out.error;
        assert_true(peer.n_seen < ANSWERS);
        peer.seen[peer.n_seen].unique = peer.packet.out.unique;
        peer.seen[peer.n_seen++].error = peer.packet.out.error;
    }
}

static inline int peer_ask(uint32_t opcode, uint64_t node, const void *args, size_t n)
{
    return peer_answer(peer_send(opcode, node, args, n));
}

static inline int peer_lookup(uint64_t parent, const char *name)
{
    return peer_ask(FUSE_LOOKUP, parent, name, strlen(name) + 1);
}

static inline uint64_t peer_send_read(uint64_t node, uint64_t offset, uint32_t size)
{
    struct fuse_read_in in = {.offset = offset, .size = size};

    return peer_send(FUSE_READ, node, &in, sizeof(in));
}

static inline int peer_getattr(uint64_t node)
{
    struct fuse_getattr_in in = {0};

    return peer_ask(FUSE_GETATTR, node, &in, sizeof(in));
}

/* Whether the last answer is this part of a blob. */
static inline void peer_is_content(uint64_t offset, size_t n)
{
    assert_int_equal(peer.size, n);
    for (size_t i = 0; i < n; i++)
        if (peer.packet.body[i] != fake_byte(offset % 251 + i))
            fail_msg("byte %zu of the read at %llu is wrong", i, (unsigned long long)offset);
}

/* What a kernel offers, and what the keeper of a test agrees on. */
enum {
    PEER_FLAGS = FUSE_ASYNC_READ | FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO |
                 FUSE_PARALLEL_DIROPS | FUSE_MAX_PAGES | FUSE_AUTO_INVAL_DATA | FUSE_BIG_WRITES,
};

static inline void peer_init(struct shared *shared)
{
    struct {
        struct fuse_in_header in;
        struct fuse_init_in init;
    } request = {
        .in = {.len = sizeof(request), .opcode = FUSE_INIT, .unique = 2},
        .init = {.major = FUSE_KERNEL_VERSION,
                 .minor = 45,
                 .max_readahead = 128 * 1024,
                 .flags = PEER_FLAGS | FUSE_SPLICE_READ | FUSE_WRITEBACK_CACHE | FUSE_POSIX_LOCKS},
    };

    *shared = (struct shared){.magic = SHARED_MAGIC, .version = SHARED_VERSION};
    shared->connection =
        (struct connection){.minor = 40, .read_ahead = 1 << 20, .flags = PEER_FLAGS};
    shared->init_request_size = sizeof(request);
    memcpy(shared->init_request, &request, sizeof(request));
    shared->generation = 7;
}

static inline void peer_ended(void *ctx)
{
    (void)atomic_fetch_add(&((struct peer *)ctx)->ended, 1);
}

static inline struct session_config peer_config(unsigned threads)
{
    return (struct session_config){.dev = peer.dev,
                                   .shared = peer.shared,
                                   .fs = peer.fs,
                                   .engine = &fake_engine,
                                   .threads = threads,
                                   .ended = peer_ended,
                                   .ctx = &peer};
}

static inline void peer_start(unsigned threads)
{
    struct hfc_error err = {0};
    struct session_config config = peer_config(threads);

    peer.session = session_start(&config, &err);
    if (peer.session == NULL)
        fail_msg("%s", err.msg);
}

static inline void peer_stop(void)
{
    session_free(peer.session);
    peer.session = NULL;
}

/* A fresh mount. `dev` non-blocking, as the keeper's is. */
static inline void peer_open(const struct hfc_entry *entries, size_t n)
{
    const struct fs_config config = {
        .catalog = &fake_catalog, .cache = &fake_cache, .url = "s3://bucket", .name_timeout = 60};
    int fds[2], buffer = 4 << 20;

    memset(logged.text, 0, sizeof(logged.text));
    memset(fake_cache.blobs, 0, sizeof(fake_cache.blobs));
    fake_cache.n = 0;
    fake_cache.full = false;
    fake_catalog.retired = (struct node){0};
    fake_catalog_set(entries != NULL ? peer_tree(entries, n) : NULL);
    fake_engine.waits = false;
    fake_engine.errnum = 0;
    fake_engine.abandoned = 0;
    fake_engine_fill();
    memset(&peer, 0, sizeof(peer));
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    peer.dev = fds[0];
    peer.fd = fds[1];
    assert_int_equal(fcntl(peer.dev, F_SETFL, O_NONBLOCK), 0);
    for (int i = 0; i < 2; i++)
        (void)setsockopt(fds[i], SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof(buffer));
    peer.shared =
        mmap(NULL, sizeof(*peer.shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(peer.shared, MAP_FAILED);
    peer_init(peer.shared);
    peer.unique = 100;
    peer.fs = fs_new(&config);
    assert_non_null(peer.fs);
}

static inline void peer_close(void)
{
    peer_stop();
    fs_free(peer.fs);
    fake_catalog_set(NULL);
    (void)close(peer.dev);
    if (peer.fd >= 0)
        (void)close(peer.fd);
    (void)munmap(peer.shared, sizeof(*peer.shared));
    assert_int_equal(fake_uses(), 0);
}

#endif
