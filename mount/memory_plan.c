/* memory_plan.c: the division of --memory, and the limit of the cgroup; see memory_plan.h.
 *
 * The fixed part comes first. Of the rest, connections, the two trees and the cache's table get a
 * share each, up to what is of use; the arena gets what remains, up to its own cap; what is left
 * then goes to the trees. The least that works is found by trying.
 *
 * Figures were measured on Linux 6.18, x86-64, with Debian 12's libraries: anonymous pages by
 * /proc/self/smaps_rollup, kernel memory by what its objects take.
 */
#include "memory_plan.h"

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "file.h"
#include "shared.h"

#define KIB ((size_t)1024)
#define MIB (1024 * KIB)

/* What does not depend on anything, in KiB. */
enum {
    /* Keeper, worker and standby: relocations, tables of libraries, first heap: 1,384 KiB of
     * anonymous pages in a keeper, 1,352 in a standby. A prober shares its parent's but for 40 to
     * 236 KiB; worker and standby have one each. */
    PROGRAMS_KIB = 3 * 1400 + 2 * 240,
    /* Pages of program and libraries, there once for all: of a worker, 31,712 KiB resident less
     * 2,400 anonymous and 18,950 shared memory. */
    LIBRARIES_KIB = 10400,
    /* Page tables: 128 + 140 + 88 + 2 * 80 KiB. 15 threads with their stacks (16) and structs (12).
     * Of each blob with open files two of them, with dentry and inode: 3 KiB. */
    KERNEL_KIB = 516 + 15 * 28 + OPEN_FILES_MAX * 3,
    /* Stacks and malloc's arenas of the worker's threads: 56 KiB for 7 of them without work. */
    THREADS_KIB = 512,
    /* For each parked slot the session's struct (128 bytes) and libfuse's request (about 200), and
     * for each the engine's struct of its blob and the last error (504, and a bucket). */
    REQUESTS_KIB = PARKED_SLOTS * (384 + 528) / 1024,
    /* The cache's blobs in use: 2,048 of 1,328 bytes, and 4,096 holds of 16. */
    BLOBS_IN_USE_KIB = 2656 + 64,
    /* Loop, clients, listener, control connections, log: 152 KiB measured before the first byte, 64
     * KiB of metrics' text, 4 lines of 64 KiB. */
    TABLES_KIB = 512,
    /* A page of a listing while it is parsed, or a piece of an index: 1,000 keys are some 500 KiB
     * of XML, and again as much taken apart. What malloc has lying about. */
    LISTING_KIB = 1024,
    SLACK_KIB = 1024,
    /* OpenSSL's settings and 140 CA certificates: 1,268 KiB with the first connection. */
    TLS_KIB = 1280,
};

enum {
    CONNECTIONS_MIN = 4,
    CONNECTIONS_MAX = 64,
    SEND_BUFFER = 16 * 1024, /* requests are small */
    /* A read past the cache needs all its chunks at once, a fetch one, a writer to disk one. */
    CHUNKS_MIN = 32,
    CHUNKS_MAX = 1024,
    /* A name in the tree, with its own text, ETag and SHA-256, takes some 250 bytes. */
    TREE_MIN = 1024 * 1024,
    TREE_MAX = 256 * 1024 * 1024,
    /* An entry of the cache's table (80 bytes), its place in the hash (up to 16), and in the list
     * that is sorted at the start. */
    BLOB_BYTES = 112,
    BLOBS_MIN = 2048,
    BLOBS_MAX = 1024 * 1024,
    MIB_MAX = 1024, /* the least that works lies below */
};

static size_t clamp(size_t value, size_t low, size_t high)
{
    assert(low <= high);
    if (value < low)
        return low;
    return value < high ? value : high;
}

static size_t fixed_part(bool tls)
{
    size_t kib = PROGRAMS_KIB + LIBRARIES_KIB + KERNEL_KIB + THREADS_KIB + REQUESTS_KIB +
                 BLOBS_IN_USE_KIB + TABLES_KIB + LISTING_KIB + SLACK_KIB + (tls ? TLS_KIB : 0);

    return kib * KIB + sizeof(struct shared);
}

/* Buffers that a short way to the store fills at some 100 MB/s each; larger where there is room. */
static void choose_buffers(size_t total, struct hfc_http_config *http)
{
    http->receive_buffer = clamp(total / 512 & ~(4 * KIB - 1), 64 * KIB, MIB);
    http->send_buffer = SEND_BUFFER;
    http->transfer_buffer = clamp(total / 2048 & ~(4 * KIB - 1), 16 * KIB, 128 * KIB);
}

/* What one tree may take: a ninth of the rest, or half of what nobody else has a use for. */
static size_t tree_part(size_t rest, size_t taken)
{
    size_t arena_max = (size_t)CHUNKS_MAX * BLOCK_SIZE;
    size_t unused = rest > taken + arena_max ? rest - taken - arena_max : 0;
    size_t tree = unused / 2 > rest / 9 ? unused / 2 : rest / 9;

    return clamp(tree & ~(64 * KIB - 1), 0, TREE_MAX);
}

static size_t sum(const struct memory_plan *p)
{
    return p->fixed + p->connections * p->connection + (size_t)p->chunks * BLOCK_SIZE +
           2 * p->tree + p->blobs * p->blob;
}

/* False: some part would be too small to work. */
static bool divide(size_t total, bool tls, struct memory_plan *p)
{
    *p = (struct memory_plan){.total = total, .fixed = fixed_part(tls), .blob = BLOB_BYTES};
    if (total <= p->fixed)
        return false;
    size_t rest = total - p->fixed;
    choose_buffers(total, &p->http);
    p->connection = hfc_http_connection_memory(&p->http);
    p->connections = (unsigned)clamp(rest * 3 / 10 / p->connection, 0, CONNECTIONS_MAX);
    p->http.connections = p->connections;
    p->blobs = (unsigned)clamp(rest / 32 / BLOB_BYTES, 0, BLOBS_MAX);
    size_t taken = p->connections * p->connection + p->blobs * p->blob;
    p->tree = tree_part(rest, taken);
    taken += 2 * p->tree;
    assert(taken <= rest);
    p->chunks = (unsigned)clamp((rest - taken) / BLOCK_SIZE, 0, CHUNKS_MAX);
    assert(sum(p) <= total);
    return p->connections >= CONNECTIONS_MIN && p->chunks >= CHUNKS_MIN && p->tree >= TREE_MIN &&
           p->blobs >= BLOBS_MIN;
}

size_t memory_plan_smallest(bool tls)
{
    struct memory_plan p;
    size_t n = 1;

    while (!divide(n * MIB, tls, &p))
        n++;
    assert(n < MIB_MAX);
    return n * MIB;
}

int memory_plan_make(size_t total, bool tls, struct memory_plan *plan, struct hfc_error *err)
{
    if (divide(total, tls, plan))
        return 0;
    return hfc_error_set(err, 0, "%zu MiB of memory are too little: give at least %zu MiB",
                         total / MIB, memory_plan_smallest(tls) / MIB);
}

/* Cgroups. */

enum { CGROUP_TEXT_MAX = 64 * 1024, CGROUP_PATH_MAX = 8192 };

/* Where a line of /proc/self/cgroup "ID:CONTROLLERS:PATH" names `controller` ("": version 2), the
 * path. The line is taken apart. */
static char *path_of_line(char *line, const char *controller)
{
    char *names = strchr(line, ':');
    char *path = names != NULL ? strchr(names + 1, ':') : NULL;
    char *rest, *name;

    if (path == NULL)
        return NULL;
    *names++ = '\0';
    *path++ = '\0';
    if (*controller == '\0')
        return *names == '\0' ? path : NULL;
    for (name = strtok_r(names, ",", &rest); name != NULL; name = strtok_r(NULL, ",", &rest))
        if (strcmp(name, controller) == 0)
            return path;
    return NULL;
}

/* The number in a file; 0: no file, "max", or so much that it means none. */
static size_t limit_in(const char *path)
{
    hfc_autobuf struct hfc_buf text = HFC_BUF(64);
    char *end;

    if (hfc_file_read(AT_FDCWD, path, &text, NULL) < 0)
        return 0;
    unsigned long long n = strtoull(text.data, &end, 10);
    return end != text.data && n < 1ULL << 60 ? (size_t)n : 0;
}

/* The least limit of a group and all above it. Groups that can't be seen from here (a container
 * shows its own as the root) are passed over. */
static size_t limit_of_hierarchy(const char *mount, char *group, const char *file)
{
    char path[CGROUP_PATH_MAX];
    size_t least = 0;

    if (strstr(group, "/..") != NULL)
        *group = '\0';
    for (char *end = group + strlen(group); end != NULL; end = strrchr(group, '/')) {
        *end = '\0';
        int n = snprintf(path, sizeof(path), "%s%s/%s", mount, group, file);
        size_t limit = n > 0 && (size_t)n < sizeof(path) ? limit_in(path) : 0;
        if (limit != 0 && (least == 0 || limit < least))
            least = limit;
    }
    return least;
}

/* `controller`, mount point and file's name of one version. */
static size_t limit_of_version(const char *root, const char *controller, const char *mount,
                               const char *file)
{
    hfc_autobuf struct hfc_buf text = HFC_BUF(CGROUP_TEXT_MAX);
    char path[CGROUP_PATH_MAX / 2], *rest, *group = NULL;

    (void)snprintf(path, sizeof(path), "%s/proc/self/cgroup", root);
    if (hfc_file_read(AT_FDCWD, path, &text, NULL) < 0)
        return 0;
    for (char *line = strtok_r(text.data, "\n", &rest); line != NULL && group == NULL;
         line = strtok_r(NULL, "\n", &rest))
        group = path_of_line(line, controller);
    (void)snprintf(path, sizeof(path), "%s%s", root, mount);
    return group != NULL ? limit_of_hierarchy(path, group, file) : 0;
}

size_t memory_limit_of_cgroup(const char *root)
{
    const char *base = strcmp(root, "/") == 0 ? "" : root;
    size_t limit = limit_of_version(base, "", "/sys/fs/cgroup", "memory.max");

    if (limit == 0)
        limit = limit_of_version(base, "memory", "/sys/fs/cgroup/memory", "memory.limit_in_bytes");
    return limit;
}
