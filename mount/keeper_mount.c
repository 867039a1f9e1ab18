/* keeper_mount.c: the mount: finding it, clearing a dead one, making one and its INIT handshake.
 *
 * Nothing here touches what may be a dead mount: /proc/self/mountinfo tells all, and umount2(2)
 * does not ask whoever serves it.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#undef BLOCK_SIZE /* of sys/mount.h; another one is in memory_plan.h */

#include "buf.h"
#include "cleanup.h"
#include "file.h"
#include "keeper_internal.h"
#include "logging.h"
#include "memory_plan.h"

#define FS_TYPE "fuse.hfcache"

enum {
    LINE_MAX_MOUNT = 32 * 1024, /* a line of mountinfo; what is beyond are options */
    LAYERS_MAX = 64,            /* mounts on top of each other that are cleared */
    INIT_MS = 5000,
    MINOR_OURS = 40,  /* of protocol 7: all flags below */
    MINOR_LEAST = 28, /* has FUSE_MAX_PAGES */
    STACK_DEPTH = 2,  /* the cache may lie on an overlay */
    BACKGROUND = 256, /* read-ahead requests of all readers */
    CONGESTION = 192,
    MAX_WRITE = 4096, /* the least there is: nothing is written */
};

/* Whatever is not here is not wanted: opens must reach the worker, nothing is written. */
static const uint64_t wanted_flags = FUSE_ASYNC_READ | FUSE_PARALLEL_DIROPS | FUSE_MAX_PAGES |
                                     FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO | FUSE_INIT_EXT |
                                     FUSE_PASSTHROUGH;

/* fuse_init_out of 7.40; older headers name the tail differently. */
struct init_answer {
    struct fuse_out_header out;
    uint32_t major, minor, max_readahead, flags;
    uint16_t max_background, congestion_threshold;
    uint32_t max_write, time_gran;
    uint16_t max_pages, map_alignment;
    uint32_t flags2, max_stack_depth, unused[6];
};
_Static_assert(sizeof(struct init_answer) ==
                   sizeof(struct fuse_out_header) + sizeof(struct fuse_init_out),
               "the kernel wants all of it");
_Static_assert(sizeof(struct init_answer) <= INIT_REQUEST_MAX, "it is kept");

/* A line of mountinfo, as far as it matters. */
struct layer {
    unsigned major, minor;
    bool ours, bound_folder;
};

/* The parent's symlinks are followed, the last name is left alone: looking at it could block. */
static int resolve(const char *mountpoint, char to[PATH_MAX], struct hfc_error *err)
{
    char parent[PATH_MAX], real[PATH_MAX];
    size_t n = strlen(mountpoint);

    while (n > 1 && mountpoint[n - 1] == '/')
        n--;
    if (mountpoint[0] != '/' || n < 2 || n >= PATH_MAX)
        return hfc_error_set(err, EINVAL, "the mount point has to be an absolute path, not %s",
                             mountpoint);
    memcpy(parent, mountpoint, n);
    parent[n] = '\0';
    char *name = strrchr(parent, '/');
    *name++ = '\0';
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return hfc_error_set(err, EINVAL, "%s: name the mount point itself", mountpoint);
    if (realpath(parent[0] != '\0' ? parent : "/", real) == NULL)
        return hfc_error_set(err, errno, "the folder of the mount point %s", mountpoint);
    int len = snprintf(to, PATH_MAX, "%s/%s", strcmp(real, "/") != 0 ? real : "", name);
    return len < PATH_MAX ? 0 : hfc_error_set(err, ENAMETOOLONG, "%s", mountpoint);
}

/* Blanks and the like stand there as \ooo. */
static void decode(char *s)
{
    char *to = s;

    for (; *s != '\0'; s++) {
        if (s[0] == '\\' && strspn(s + 1, "01234567") >= 3) {
            *to++ = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0'));
            s += 3;
        } else {
            *to++ = *s;
        }
    }
    *to = '\0';
}

/* "ID PARENT MAJOR:MINOR ROOT POINT OPTIONS [TAGS...] - TYPE SOURCE OPTIONS". */
static bool read_layer(char *line, const char *point, struct layer *l)
{
    char *save, *word[6];

    for (int i = 0; i < 6; i++)
        if ((word[i] = strtok_r(i == 0 ? line : NULL, " ", &save)) == NULL)
            return false;
    decode(word[4]);
    if (point != NULL && strcmp(word[4], point) != 0)
        return false;
    const char *tag = strtok_r(NULL, " ", &save);
    while (tag != NULL && strcmp(tag, "-") != 0)
        tag = strtok_r(NULL, " ", &save);
    const char *type = strtok_r(NULL, " \n", &save);
    char *colon;
    l->major = (unsigned)strtoul(word[2], &colon, 10);
    if (type == NULL || *colon != ':')
        return false;
    l->minor = (unsigned)strtoul(colon + 1, NULL, 10);
    l->ours = strcmp(type, FS_TYPE) == 0;
    l->bound_folder = strncmp(type, "fuse", 4) != 0 && strcmp(word[3], "/") != 0;
    return true;
}

/* The uppermost mount at a resolved path, the last that is listed; or any of a device, wherever it
 * is (`point` NULL). 1: there is one, 0: none. */
static int find_layer(const char *point, uint64_t device, struct layer *l, struct hfc_error *err)
{
    struct layer any;
    static char line[LINE_MAX_MOUNT];
    FILE *f = fopen("/proc/self/mountinfo", "re");
    bool begins = true, found = false;

    if (f == NULL)
        return hfc_error_set(err, errno, "/proc/self/mountinfo");
    while (fgets(line, sizeof(line), f) != NULL) {
        bool ends = strchr(line, '\n') != NULL;
        if (begins && read_layer(line, point, &any) &&
            (point != NULL || makedev(any.major, any.minor) == device)) {
            *l = any;
            found = true;
        }
        begins = ends;
    }
    (void)fclose(f);
    return found;
}

int mount_look(const char *mountpoint, enum mount_found *found, uint64_t *device,
               struct hfc_error *err)
{
    char point[PATH_MAX];
    struct layer l;

    if (resolve(mountpoint, point, err) < 0)
        return -1;
    int n = find_layer(point, 0, &l, err);
    if (n < 0)
        return -1;
    /* A folder bound there is a place made ready: hosts do that to share what is mounted on it. */
    *found = n > 0 && l.ours ? MOUNT_OURS : n == 0 || l.bound_folder ? MOUNT_NONE : MOUNT_FOREIGN;
    *device = *found == MOUNT_OURS ? makedev(l.major, l.minor) : 0;
    return 0;
}

/* Ends all requests of the connection with an error, so that whoever waits in one goes on. */
static void abort_connection(unsigned minor)
{
    char path[64];

    (void)snprintf(path, sizeof(path), "/sys/fs/fuse/connections/%u/abort", minor);
    hfc_autoclose int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd >= 0 && write(fd, "1", 1) < 0)
        log_line(LOG_START, LEVEL_WARNING, "%s: %s", path, strerrordesc_np(errno));
}

/* MNT_FORCE aborts the connection, too, also where its control file can't be reached; it wants more
 * privileges than the rest. */
static int detach(const char *point, struct hfc_error *err)
{
    int flags = MNT_DETACH | UMOUNT_NOFOLLOW;

    if (umount2(point, flags | MNT_FORCE) == 0 || umount2(point, flags) == 0 || errno == EINVAL)
        return 0;
    return hfc_error_set(err, errno, "detaching what is mounted at %s", point);
}

int mount_clear(const char *mountpoint, struct hfc_error *err)
{
    char point[PATH_MAX];
    struct layer l;
    int n;

    if (resolve(mountpoint, point, err) < 0)
        return -1;
    for (int i = 0; i < LAYERS_MAX; i++) {
        if ((n = find_layer(point, 0, &l, err)) <= 0 || !l.ours)
            return n < 0 ? -1 : 0;
        log_line(LOG_START, LEVEL_WARNING, "clearing a mount that nobody serves: %s", point);
        abort_connection(l.minor);
        if (detach(point, err) < 0)
            return -1;
    }
    return hfc_error_set(err, EBUSY, "%s: too many mounts on top of each other", point);
}

int mount_remove(const char *mountpoint, struct hfc_error *err)
{
    char point[PATH_MAX];
    struct layer l;

    if (resolve(mountpoint, point, err) < 0)
        return -1;
    int n = find_layer(point, 0, &l, err);
    return n < 0 ? -1 : n == 0 || !l.ours ? 0 : detach(point, err);
}

bool mount_there(uint64_t device)
{
    struct layer l;

    return find_layer(NULL, device, &l, NULL) != 0;
}

uint64_t mount_device(int fd)
{
    struct statx st;

    if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, 0, &st) < 0)
        return 0;
    return makedev(st.stx_dev_major, st.stx_dev_minor);
}

long mount_fdinfo(int fd, const char *key)
{
    hfc_autobuf struct hfc_buf text = HFC_BUF(4096);
    char path[64];

    (void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
    if (hfc_file_read(AT_FDCWD, path, &text, NULL) < 0)
        return -1;
    const char *at = strstr(text.data, key);
    return at != NULL ? strtol(at + strlen(key), NULL, 10) : -1;
}

bool mount_broken(int dev)
{
    struct pollfd p = {.fd = dev};

    return poll(&p, 1, 0) > 0 && (p.revents & (POLLERR | POLLHUP | POLLNVAL)) != 0;
}

static int open_device(struct hfc_error *err)
{
    int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK);

    if (fd >= 0)
        return fd;
    const char *advice = errno == ENOENT || errno == ENODEV || errno == ENXIO
                             ? "load the module (modprobe fuse), or give the container the device"
                             : "start this as root, or allow the container the device";
    return hfc_error_set(err, errno, "no use of /dev/fuse (%s)", advice);
}

/* Mounts on the folder itself, whatever becomes of its name meanwhile. */
static int mount_on(int dev, const char *point, const char *source, struct hfc_error *err)
{
    char options[160], place[64];
    hfc_autoclose int fd = open(point, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0 && errno == ENOENT)
        return hfc_error_set(err, errno, "the mount point %s: make that folder first", point);
    if (fd < 0)
        return hfc_error_set(err, errno, "the mount point %s has to be a folder", point);
    (void)snprintf(place, sizeof(place), "/proc/self/fd/%d", fd);
    (void)snprintf(options, sizeof(options),
                   "fd=%d,rootmode=40555,user_id=0,group_id=0,allow_other,default_permissions,"
                   "max_read=%d",
                   dev, READ_MAX);
    if (mount(source, place, FS_TYPE, MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOATIME, options) == 0)
        return 0;
    const char *advice = errno == EPERM ? "it needs CAP_SYS_ADMIN: start this as root, or give the "
                                          "container that capability"
                         : errno == ENODEV ? "the kernel has no FUSE: modprobe fuse"
                                           : "the kernel refused it";
    return hfc_error_set(err, errno, "mounting on %s (%s)", point, advice);
}

/* What both sides agree on; `in` is the kernel's offer. */
static void agree(const struct fuse_init_in *in, uint64_t mask, struct shared *shared)
{
    uint64_t offered = in->flags | ((in->flags & FUSE_INIT_EXT) ? (uint64_t)in->flags2 << 32 : 0);
    uint64_t flags = offered & wanted_flags & ~mask;
    uint32_t page = (uint32_t)sysconf(_SC_PAGESIZE);

    if ((flags & FUSE_INIT_EXT) == 0)
        flags &= UINT32_MAX;
    if ((flags & FUSE_DO_READDIRPLUS) == 0)
        flags &= ~(uint64_t)FUSE_READDIRPLUS_AUTO;
    shared->connection = (struct connection){
        .minor = in->minor < MINOR_OURS ? in->minor : MINOR_OURS,
        .max_read = (flags & FUSE_MAX_PAGES) ? READ_MAX : 32 * page,
        .max_stack_depth = (flags & FUSE_PASSTHROUGH) ? STACK_DEPTH : 0,
        .flags = flags,
    };
}

static int answer_init(int dev, uint64_t unique, uint32_t read_ahead, struct shared *shared,
                       struct hfc_error *err)
{
    const struct connection *c = &shared->connection;
    struct init_answer a = {
        .out = {.len = sizeof(a), .unique = unique},
        .major = FUSE_KERNEL_VERSION,
        .minor = c->minor,
        .max_readahead = read_ahead,
        .flags = (uint32_t)c->flags,
        .max_background = BACKGROUND,
        .congestion_threshold = CONGESTION,
        .max_write = MAX_WRITE,
        .time_gran = 1,
        .max_pages = (uint16_t)(c->max_read / (uint32_t)sysconf(_SC_PAGESIZE)),
        .flags2 = (uint32_t)(c->flags >> 32),
        .max_stack_depth = c->max_stack_depth,
    };

    memcpy(shared->init_answer, &a, sizeof(a));
    shared->init_answer_size = sizeof(a);
    if (write(dev, &a, sizeof(a)) != (ssize_t)sizeof(a))
        return hfc_error_set(err, errno, "answering the kernel's INIT");
    return 0;
}

int mount_handshake(int dev, const struct keeper_config *config, struct shared *shared,
                    struct hfc_error *err)
{
    static union {
        struct fuse_in_header in;
        uint8_t bytes[INTAKE_SIZE];
    } request;
    struct fuse_init_in init = {0};
    struct pollfd p = {.fd = dev, .events = POLLIN};

    if (poll(&p, 1, INIT_MS) <= 0)
        return hfc_error_set(err, ETIMEDOUT, "the kernel sent no INIT");
    ssize_t n = read(dev, &request, sizeof(request));
    if (n < (ssize_t)(sizeof(request.in) + offsetof(struct fuse_init_in, flags2)) ||
        n > INIT_REQUEST_MAX || request.in.opcode != FUSE_INIT)
        return hfc_error_set(err, n < 0 ? errno : EPROTO, "the kernel's first request is no INIT");
    size_t size = (size_t)n - sizeof(request.in);
    memcpy(&init, request.bytes + sizeof(request.in), size < sizeof(init) ? size : sizeof(init));
    if (init.major != FUSE_KERNEL_VERSION || init.minor < MINOR_LEAST)
        return hfc_error_set(err, EPROTO, "the kernel's FUSE %u.%u is too old, 7.%d is needed",
                             init.major, init.minor, MINOR_LEAST);
    memcpy(shared->init_request, request.bytes, (size_t)n);
    shared->init_request_size = (uint32_t)n;
    agree(&init, config->mask, shared);
    return answer_init(dev, request.in.unique, config->read_ahead, shared, err);
}

/* INIT can't raise it beyond the system's default; what it is in the end is read back. */
static void set_read_ahead(uint64_t device, uint32_t bytes, struct connection *c)
{
    hfc_autobuf struct hfc_buf text = HFC_BUF(32);
    char path[64];

    (void)snprintf(path, sizeof(path), "/sys/class/bdi/%u:%u/read_ahead_kb", major(device),
                   minor(device));
    hfc_autoclose int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || dprintf(fd, "%u\n", bytes / 1024) < 0)
        log_line(LOG_START, LEVEL_WARNING,
                 "%s: %s: the mount's read-ahead stays as it is, sequential reads are slower", path,
                 strerrordesc_np(errno));
    if (hfc_file_read(AT_FDCWD, path, &text, NULL) == 0)
        c->read_ahead = (uint32_t)strtoul(text.data, NULL, 10) * 1024;
}

/* From INIT on, with the mount in place. */
static int finish(const struct keeper_config *config, const char *point, struct shared *shared,
                  int dev, int *root, struct hfc_error *err)
{
    enum mount_found found;
    uint64_t device;

    if (mount_handshake(dev, config, shared, err) < 0 ||
        mount_look(config->mountpoint, &found, &device, err) < 0)
        return -1;
    if (found != MOUNT_OURS)
        return hfc_error_set(err, 0, "%s was mounted and can't be seen there", point);
    set_read_ahead(device, config->read_ahead, &shared->connection);
    *root = open(point, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return *root >= 0 ? 0 : hfc_error_set(err, errno, "opening the root of the mount %s", point);
}

int mount_make(const struct keeper_config *config, struct shared *shared, int *dev, int *root,
               struct hfc_error *err)
{
    char point[PATH_MAX];
    enum mount_found found;
    uint64_t device;

    assert(strncmp(config->source, "hf-mount", 8) != 0);
    if (resolve(config->mountpoint, point, err) < 0 ||
        mount_look(config->mountpoint, &found, &device, err) < 0)
        return -1;
    if (found != MOUNT_NONE)
        return hfc_error_set(err, EBUSY,
                             "something is mounted at %s already: detach it (umount -l), or choose "
                             "another folder",
                             point);
    hfc_autoclose int fd = open_device(err);
    if (fd < 0 || mount_on(fd, point, config->source, err) < 0)
        return -1;
    if (finish(config, point, shared, fd, root, err) < 0) {
        (void)detach(point, NULL);
        return -1;
    }
    *dev = hfc_steal_fd(&fd);
    return 0;
}
