/* test_mount_keeper.c: the mount itself, its INIT, dead mounts, start and stop of the keeper
 * (mount/keeper_mount.c, mount/keeper.c). Needs root and /dev/fuse, else its tests are skipped.
 */
#include <limits.h>
#include <sys/sysmacros.h>

#include <cap-ng.h>

#include "keeper_probe.h"

#include "keeper_internal.h"

static struct shared *shared;

/* The mount's line in mountinfo; false: there is none. */
static bool mount_line(char *line, size_t size)
{
    FILE *file = fopen("/proc/self/mountinfo", "re");
    bool found = false;

    assert_non_null(file);
    while (!found && fgets(line, (int)size, file) != NULL)
        found = strstr(line, probe_mount) != NULL;
    (void)fclose(file);
    return found;
}

/* Mounts without a keeper; the descriptor of /dev/fuse. */
static int make_mount(void)
{
    int dev = -1, root = -1;

    shared = calloc(1, sizeof(*shared));
    assert_non_null(shared);
    assert_int_equal(mount_make(&probe_config, shared, &dev, &root, &err), 0);
    assert_true(root >= 0);
    (void)close(root);
    return dev;
}

/* A process that has mounted and answers nothing; the first request stops it. */
static pid_t start_silent(void)
{
    pid_t pid = remember(fork());

    if (pid > 0) {
        WAIT_UNTIL(is_mounted());
        return pid;
    }
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    struct pollfd p = {.fd = make_mount(), .events = POLLIN};
    (void)poll(&p, 1, -1);
    (void)raise(SIGSTOP);
    for (;;)
        (void)pause();
}

static void refused(const char *mountpoint, int errnum, const char *text)
{
    int dev = -1, root = -1;
    struct shared *s = calloc(1, sizeof(*s));

    probe_config.mountpoint = mountpoint;
    err = (struct hfc_error){0};
    assert_int_equal(mount_make(&probe_config, s, &dev, &root, &err), -1);
    assert_int_equal(err.errnum, errnum);
    if (strstr(err.msg, text) == NULL)
        fail_msg("'%s' is not in '%s'", text, err.msg);
    free(s);
}

static void a_mount_is_read_only_and_says_what_it_is(void **state)
{
    char line[4096];

    (void)state;
    NEED_FUSE();
    int dev = make_mount();
    assert_true(mount_line(line, sizeof(line)));
    assert_non_null(strstr(line, " ro,nosuid,nodev,noatime"));
    assert_non_null(strstr(line, " - fuse.hfcache hfcache ro,"));
    assert_non_null(strstr(line, "default_permissions,allow_other"));
    assert_int_equal(chmod(probe_mount, 0700), -1);
    assert_int_equal(errno, EROFS); /* though nobody answers */
    assert_int_equal(fcntl(dev, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    assert_int_equal(mount_remove(probe_mount, &err), 0);
    assert_false(is_mounted());
    assert_int_equal(mount_remove(probe_mount, &err), 0);
    (void)close(dev);
    free(shared);
}

static void init_is_agreed_on_and_kept(void **state)
{
    struct fuse_in_header in;
    struct fuse_init_in init;
    struct fuse_out_header out;
    uint64_t offered;

    (void)state;
    NEED_FUSE();
    int dev = make_mount();
    memcpy(&in, shared->init_request, sizeof(in));
    memcpy(&init, shared->init_request + sizeof(in), sizeof(init));
    memcpy(&out, shared->init_answer, sizeof(out));
    assert_int_equal(in.opcode, FUSE_INIT);
    assert_int_equal(in.len, shared->init_request_size);
    assert_int_equal(out.len, shared->init_answer_size);
    assert_int_equal(out.unique, in.unique);
    offered = init.flags | (uint64_t)init.flags2 << 32;
    uint64_t flags = shared->connection.flags;
    assert_int_equal(flags & ~offered, 0);
    assert_true(flags & FUSE_ASYNC_READ);
    assert_true(flags & FUSE_PARALLEL_DIROPS);
    assert_true(flags & FUSE_DO_READDIRPLUS);
    assert_int_equal(flags & (FUSE_NO_OPEN_SUPPORT | FUSE_WRITEBACK_CACHE | FUSE_CACHE_SYMLINKS),
                     0);
    assert_int_equal(shared->connection.max_read, 1 << 20);
    assert_int_equal(shared->connection.max_stack_depth, offered & FUSE_PASSTHROUGH ? 2 : 0);
    assert_true(shared->connection.minor >= 28 && shared->connection.minor <= 40);
    (void)close(dev);
    free(shared);
}

static void what_is_masked_is_not_asked_for(void **state)
{
    (void)state;
    NEED_FUSE();
    probe_config.mask = FUSE_INIT_EXT | FUSE_MAX_PAGES | FUSE_DO_READDIRPLUS;
    int dev = make_mount();
    uint64_t flags = shared->connection.flags;
    assert_int_equal(flags >> 32, 0);
    assert_int_equal(flags & (FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO | FUSE_MAX_PAGES), 0);
    assert_true(flags & FUSE_ASYNC_READ);
    assert_int_equal(shared->connection.max_stack_depth, 0);
    assert_int_equal(shared->connection.max_read, 32 * sysconf(_SC_PAGESIZE));
    (void)close(dev);
    free(shared);
}

static void the_mounts_read_ahead_is_raised(void **state)
{
    char path[100], text[32] = "";
    enum mount_found found;
    uint64_t device;

    (void)state;
    NEED_FUSE();
    probe_config.read_ahead = 3 << 20;
    int dev = make_mount();
    assert_int_equal(mount_look(probe_mount, &found, &device, &err), 0);
    (void)snprintf(path, sizeof(path), "/sys/class/bdi/%u:%u/read_ahead_kb", major(device),
                   minor(device));
    int fd = open(path, O_RDONLY);
    if (fd < 0)
        skip(); /* no sysfs here */
    assert_true(read(fd, text, sizeof(text) - 1) > 0);
    (void)close(fd);
    assert_int_equal(strtol(text, NULL, 10), 3072);
    assert_int_equal(shared->connection.read_ahead, 3 << 20);
    (void)close(dev);
    free(shared);
}

static void a_bad_mount_point_is_told_with_advice(void **state)
{
    char path[200], longer[PATH_MAX + 10];

    (void)state;
    NEED_FUSE();
    refused("mnt", EINVAL, "has to be an absolute path");
    refused("/", EINVAL, "has to be an absolute path");
    (void)snprintf(path, sizeof(path), "%s/..", probe_mount);
    refused(path, EINVAL, "name the mount point itself");
    (void)snprintf(path, sizeof(path), "%s/missing", probe_dir);
    refused(path, ENOENT, "make that folder first");
    (void)snprintf(path, sizeof(path), "%s/missing/x", probe_dir);
    refused(path, ENOENT, "the folder of the mount point");
    (void)snprintf(path, sizeof(path), "%s/file", probe_dir);
    assert_int_equal(close(open(path, O_CREAT | O_WRONLY, 0644)), 0);
    refused(path, ENOTDIR, "has to be a folder");
    (void)snprintf(path, sizeof(path), "%s/link", probe_dir);
    assert_int_equal(symlink(probe_mount, path), 0);
    refused(path, ENOTDIR, "has to be a folder");
    memset(longer, 'a', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    longer[0] = '/';
    refused(longer, EINVAL, "has to be an absolute path");
    longer[PATH_MAX - 1] = '\0';
    (void)snprintf(path, sizeof(path), "%s/l", probe_dir);
    assert_int_equal(symlink(probe_dir, path), 0);
    memcpy(longer, path, strlen(path));
    longer[strlen(path)] = '/';
    refused(longer, ENAMETOOLONG, ""); /* the message is cut */
    assert_int_equal(mount_look("relative", &(enum mount_found){0}, &(uint64_t){0}, &err), -1);
    assert_int_equal(mount_clear("relative", &err), -1);
    assert_int_equal(mount_remove("relative", &err), -1);
}

static void what_else_is_mounted_there_is_left_alone(void **state)
{
    char line[4096];

    (void)state;
    NEED_FUSE();
    assert_int_equal(mount("t", probe_mount, "tmpfs", 0, NULL), 0);
    refused(probe_mount, EBUSY, "something is mounted");
    assert_int_equal(mount_clear(probe_mount, &err), 0);
    assert_int_equal(mount_remove(probe_mount, &err), 0);
    assert_true(mount_line(line, sizeof(line)));
    probe_config.mountpoint = probe_mount;
    assert_int_equal(ended(start_keeper(&probe_config)), 1);
    assert_true(logged("something is mounted at"));
}

static void a_folder_bound_to_itself_is_a_mount_point(void **state)
{
    (void)state;
    NEED_FUSE();
    assert_int_equal(mount(probe_mount, probe_mount, NULL, MS_BIND, NULL), 0);
    int dev = make_mount();
    assert_true(is_mounted());
    assert_int_equal(mount_clear(probe_mount, &err), 0);
    assert_false(is_mounted());
    assert_int_equal(umount2(probe_mount, 0), 0); /* the bound one has stayed */
    (void)close(dev);
    free(shared);
}

static void names_of_any_bytes_are_found(void **state)
{
    (void)state;
    NEED_FUSE();
    (void)snprintf(probe_mount, sizeof(probe_mount), "%s/a b\tc\\d\n#e\\040", probe_dir);
    assert_int_equal(mkdir(probe_mount, 0755), 0);
    int dev = make_mount();
    assert_true(is_mounted());
    char trailing[200];
    (void)snprintf(trailing, sizeof(trailing), "%s//", probe_mount);
    assert_int_equal(mount_remove(trailing, &err), 0);
    assert_false(is_mounted());
    (void)close(dev);
    free(shared);
}

static void the_folder_around_may_be_a_symlink(void **state)
{
    char link[160], through[200];
    enum mount_found found;
    uint64_t device;

    (void)state;
    NEED_FUSE();
    (void)snprintf(link, sizeof(link), "%s/around", probe_dir);
    (void)snprintf(through, sizeof(through), "%s/mnt", link);
    assert_int_equal(symlink(probe_dir, link), 0);
    probe_config.mountpoint = through;
    int dev = make_mount();
    assert_true(is_mounted());
    assert_int_equal(mount_look(through, &found, &device, &err), 0);
    assert_int_equal(found, MOUNT_OURS);
    (void)close(dev);
    free(shared);
}

static void dead_mounts_are_cleared_all_at_once(void **state)
{
    enum mount_found found;
    uint64_t first, second;
    struct stat st;

    (void)state;
    NEED_FUSE();
    kill_child(start_silent());
    assert_int_equal(stat(probe_mount, &st), -1);
    assert_int_equal(errno, ENOTCONN);
    assert_int_equal(mount_look(probe_mount, &found, &first, &err), 0);
    assert_int_equal(found, MOUNT_OURS);
    /* Another on top, as a start that clears nothing would leave it. */
    pid_t pid = remember(fork());
    if (pid == 0) {
        int dev = open("/dev/fuse", O_RDWR);
        char options[100];
        (void)snprintf(options, sizeof(options), "fd=%d,rootmode=40555,user_id=0,group_id=0", dev);
        _exit(mount("hfcache", probe_mount, "fuse.hfcache", 0, options) < 0);
    }
    int code = ended(pid);
    if (code == 0) {
        assert_int_equal(mount_look(probe_mount, &found, &second, &err), 0);
        assert_int_not_equal(first, second);
    }
    assert_int_equal(mount_clear(probe_mount, &err), 0);
    assert_int_equal(stat(probe_mount, &st), 0);
    assert_false(is_mounted());
}

static void a_mount_whose_process_is_stopped_is_cleared(void **state)
{
    (void)state;
    NEED_FUSE();
    pid_t silent = start_silent();
    pid_t reader = start_reader();
    WAIT_UNTIL(waitpid(silent, NULL, WUNTRACED | WNOHANG) == silent);
    assert_true(is_mounted()); /* blocks on nothing */
    assert_int_equal(mount_clear(probe_mount, &err), 0);
    assert_false(is_mounted());
    assert_int_equal(ended(reader), ECONNABORTED); /* was let go */
}

static void drop_all(void)
{
    capng_clear(CAPNG_SELECT_CAPS);
    if (capng_apply(CAPNG_SELECT_CAPS) < 0)
        _exit(99);
}

/* Exit status of a child that is root, without what makes root mighty. */
static int powerless(int (*fn)(void))
{
    pid_t pid = remember(fork());

    if (pid > 0)
        return ended(pid);
    drop_all();
    exit(fn());
}

static int clear_powerless(void)
{
    struct hfc_error e;

    return mount_clear(probe_mount, &e) == 0 || e.errnum != EPERM ||
           strstr(e.msg, "detaching what is mounted at") == NULL;
}

static int make_powerless(void)
{
    int dev, root;
    struct shared *s = calloc(1, sizeof(*s));
    int rc = mount_make(&probe_config, s, &dev, &root, &err);

    free(s);
    return rc == 0 || err.errnum != EPERM ||
           strstr(err.msg, "it needs CAP_SYS_ADMIN: start this as root") == NULL;
}

static void what_needs_privileges_says_so(void **state)
{
    (void)state;
    NEED_FUSE();
    assert_int_equal(powerless(make_powerless), 0);
    int dev = make_mount();
    assert_int_equal(powerless(clear_powerless), 0);
    assert_true(is_mounted());
    (void)close(dev);
    free(shared);
}

static void any_number_of_layers_is_cleared_but_never_for_ever(void **state)
{
    enum { LAYERS = 70 };
    int dev[LAYERS];
    char options[100];

    (void)state;
    NEED_FUSE();
    for (unsigned i = 0; i < LAYERS; i++) {
        dev[i] = open("/dev/fuse", O_RDWR | O_CLOEXEC);
        (void)snprintf(options, sizeof(options), "fd=%d,rootmode=40555,user_id=0,group_id=0",
                       dev[i]);
        assert_int_equal(mount("hfcache", probe_mount, "fuse.hfcache", 0, options), 0);
    }
    assert_int_equal(mount_clear(probe_mount, &err), -1);
    assert_int_equal(err.errnum, EBUSY);
    assert_int_equal(mount_clear(probe_mount, &err), 0);
    assert_false(is_mounted());
    for (unsigned i = 0; i < LAYERS; i++)
        (void)close(dev[i]);
}

static void become_nobody(void)
{
    if (setuid(65534) < 0)
        _exit(99);
}

static void hide_dev(void)
{
    alone();
    if (mount("t", "/dev", "tmpfs", 0, NULL) < 0)
        _exit(99);
}

/* /dev/fuse is something else. */
static void replace_fuse(void)
{
    alone();
    if (mount("/dev/null", "/dev/fuse", NULL, MS_BIND, NULL) < 0)
        _exit(99);
}

static void a_start_without_privileges_or_device_says_what_to_do(void **state)
{
    (void)state;
    NEED_FUSE();
    probe_child = become_nobody;
    assert_int_equal(ended(start_keeper(&probe_config)), 1);
    assert_true(logged("mounting needs CAP_SYS_ADMIN: start this as root"));
    probe_child = drop_all;
    assert_int_equal(ended(start_keeper(&probe_config)), 1);
    probe_child = hide_dev;
    assert_int_equal(ended(start_keeper(&probe_config)), 1);
    assert_true(logged("no use of /dev/fuse (load the module (modprobe fuse)"));
    probe_child = replace_fuse;
    assert_int_equal(ended(start_keeper(&probe_config)), 1);
    assert_true(logged("(the kernel refused it): Invalid argument"));
}

static void hide_sys(void)
{
    alone();
    if (mount("t", "/sys", "tmpfs", 0, NULL) < 0)
        _exit(99);
}

static void a_read_ahead_that_cannot_be_set_is_a_warning(void **state)
{
    (void)state;
    NEED_FUSE();
    probe_child = hide_sys;
    pid_t pid = start_keeper(&probe_config);
    WAIT_UNTIL(logged("the mount's read-ahead stays as it is"));
    assert_int_equal(status().state, KEEPER_WAITING);
    assert_int_equal(kill(pid, SIGTERM), 0);
    assert_int_equal(ended(pid), 0);
}

/* ---- the handshake, with kernels that aren't here ---- */

struct old_init { /* of a kernel before 7.36 */
    struct fuse_in_header in;
    uint32_t major, minor, max_readahead, flags;
};

/* What the keeper says to an INIT of this size; -1: nothing, and `err`. */
static int shake_hands(const void *init, size_t size, struct shared *s,
                       struct fuse_init_out *answer)
{
    struct {
        struct fuse_out_header out;
        struct fuse_init_out init;
    } a;
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(send(ends[0], init, size, 0), size);
    int rc = mount_handshake(ends[1], &probe_config, s, &err);
    if (rc == 0) {
        assert_int_equal(read(ends[0], &a, sizeof(a)), sizeof(a));
        assert_int_equal(a.out.unique, 7);
        *answer = a.init;
    }
    (void)close(ends[0]);
    (void)close(ends[1]);
    return rc;
}

static void an_older_kernel_gets_what_it_knows(void **state)
{
    struct old_init old = {.in = {.len = sizeof(old), .opcode = FUSE_INIT, .unique = 7},
                           .major = 7,
                           .minor = 31,
                           .flags = FUSE_ASYNC_READ | FUSE_MAX_PAGES | FUSE_SPLICE_READ};
    struct fuse_init_out answer;
    struct shared *s = calloc(1, sizeof(*s));

    (void)state;
    assert_int_equal(shake_hands(&old, sizeof(old), s, &answer), 0);
    assert_int_equal(answer.major, 7);
    assert_int_equal(answer.minor, 31);
    assert_int_equal(answer.flags, FUSE_ASYNC_READ | FUSE_MAX_PAGES);
    assert_int_equal(answer.flags2, 0);
    assert_int_equal(answer.max_background, 256);
    assert_int_equal(answer.max_pages, (1 << 20) / sysconf(_SC_PAGESIZE));
    assert_int_equal(s->connection.max_stack_depth, 0);
    assert_int_equal(s->init_request_size, sizeof(old));
    assert_memory_equal(s->init_request, &old, sizeof(old));
    assert_int_equal(shake_hands(&old, sizeof(old) - 1, s, &answer), -1);
    free(s);
}

static void a_newer_kernel_gets_passthrough(void **state)
{
    struct fuse_init_in init = {.major = 7,
                                .minor = 45,
                                .flags = FUSE_INIT_EXT | FUSE_MAX_PAGES | FUSE_NO_OPEN_SUPPORT,
                                .flags2 = (uint32_t)(FUSE_PASSTHROUGH >> 32) | 0x80000000};
    struct fuse_in_header in = {.opcode = FUSE_INIT, .unique = 7};
    uint8_t request[sizeof(in) + sizeof(init)];
    struct fuse_init_out answer;
    struct shared *s = calloc(1, sizeof(*s));

    (void)state;
    memcpy(request, &in, sizeof(in));
    memcpy(request + sizeof(in), &init, sizeof(init));
    assert_int_equal(shake_hands(request, sizeof(request), s, &answer), 0);
    assert_int_equal(answer.minor, 40);
    assert_int_equal(answer.flags, FUSE_INIT_EXT | FUSE_MAX_PAGES);
    assert_int_equal(answer.flags2, FUSE_PASSTHROUGH >> 32);
    assert_int_equal(s->connection.max_stack_depth, 2);
    probe_config.mask = FUSE_PASSTHROUGH;
    assert_int_equal(shake_hands(request, sizeof(request), s, &answer), 0);
    assert_int_equal(answer.flags2, 0);
    assert_int_equal(s->connection.max_stack_depth, 0);
    free(s);
}

static void what_is_no_init_is_an_error(void **state)
{
    uint8_t request[300] = {0};
    struct fuse_in_header in = {.opcode = FUSE_LOOKUP, .unique = 7};
    struct old_init old = {.in = {.opcode = FUSE_INIT, .unique = 7}, .major = 7, .minor = 27};
    struct shared *s = calloc(1, sizeof(*s));
    int ends[2];

    (void)state;
    memcpy(request, &in, sizeof(in));
    assert_int_equal(shake_hands(request, 104, s, NULL), -1);
    assert_int_equal(err.errnum, EPROTO);
    memcpy(request, &old, sizeof(old));
    assert_int_equal(shake_hands(request, 104, s, NULL), -1);
    assert_non_null(strstr(err.msg, "FUSE 7.27 is too old, 7.28 is needed"));
    assert_int_equal(shake_hands(request, sizeof(request), s, NULL), -1);
    assert_non_null(strstr(err.msg, "first request is no INIT"));
    assert_int_equal(mount_handshake(-1, &probe_config, s, &err), -1);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    old.minor = 38;
    memcpy(request, &old, sizeof(old));
    assert_int_equal(send(ends[0], request, 104, 0), 104);
    (void)close(ends[0]); /* it leaves before the answer */
    void (*before)(int) = signal(SIGPIPE, SIG_IGN);
    assert_int_equal(mount_handshake(ends[1], &probe_config, s, &err), -1);
    assert_int_equal(err.errnum, EPIPE);
    (void)signal(SIGPIPE, before);
    (void)close(ends[1]);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(mount_handshake(ends[1], &probe_config, s, &err), -1);
    assert_int_equal(err.errnum, ETIMEDOUT);
    (void)close(ends[0]);
    (void)close(ends[1]);
    free(s);
}

static void a_keeper_without_a_worker_tells_its_state(void **state)
{
    struct link_frame f;
    int fds[LINK_FDS_MAX];

    (void)state;
    NEED_FUSE();
    pid_t pid = start_mounted();
    struct link_state s = status();
    assert_int_equal(s.keeper_pid, pid);
    assert_int_equal(s.worker_pid, 0);
    assert_int_equal(s.state, KEEPER_WAITING);
    assert_int_equal(s.standbys + s.generation + s.deaths, 0);
    assert_string_equal(s.version, HFC_VERSION);
    assert_string_equal(s.mountpoint, probe_mount);
    assert_true(asked(LINK_CONTROL, &f, fds));
    assert_int_equal(f.kind, LINK_CONNECTED);
    assert_int_equal(f.value, -ENOTCONN);
    assert_int_equal(fds[0], -1);
}

static void sigterm_unmounts_if_told_so(void **state)
{
    (void)state;
    NEED_FUSE();
    pid_t pid = start_mounted();
    assert_int_equal(kill(pid, SIGTERM), 0);
    assert_int_equal(ended(pid), 0);
    assert_false(is_mounted());
    assert_int_equal(access(probe_socket, F_OK), -1);
}

static void sigterm_without_a_worker_leaves_no_dead_mount(void **state)
{
    (void)state;
    NEED_FUSE();
    probe_config.unmount = false;
    pid_t pid = start_mounted();
    assert_int_equal(kill(pid, SIGINT), 0);
    assert_int_equal(ended(pid), 0);
    assert_false(is_mounted());
}

static void a_request_to_unmount_is_obeyed(void **state)
{
    struct link_frame f;
    int fds[LINK_FDS_MAX];

    (void)state;
    NEED_FUSE();
    probe_config.unmount = false;
    pid_t pid = start_mounted();
    assert_true(asked(LINK_UNMOUNT, &f, fds));
    assert_int_equal(f.kind, LINK_ADOPTED);
    assert_int_equal(ended(pid), 0);
    assert_false(is_mounted());
}

static void an_unmount_from_outside_ends_the_keeper(void **state)
{
    (void)state;
    NEED_FUSE();
    pid_t pid = start_mounted();
    assert_int_equal(umount2(probe_mount, MNT_DETACH), 0);
    assert_int_equal(ended(pid), 0);
    assert_true(logged("unmounted from outside"));
    assert_int_equal(access(probe_socket, F_OK), -1);
}

static void what_is_mounted_on_top_hides_the_mount_only(void **state)
{
    (void)state;
    NEED_FUSE();
    pid_t pid = start_mounted();
    assert_int_equal(mount("t", probe_mount, "tmpfs", 0, NULL), 0);
    assert_int_equal(status().keeper_pid, pid);
    assert_int_equal(umount2(probe_mount, 0), 0);
    assert_int_equal(status().keeper_pid, pid);
    assert_true(is_mounted());
}

static void an_abort_from_outside_removes_the_mount(void **state)
{
    (void)state;
    NEED_FUSE();
    pid_t pid = start_mounted();
    (void)umount2(probe_mount, MNT_FORCE); /* aborts, and finds it busy */
    assert_int_equal(ended(pid), 1);
    assert_false(is_mounted());
    assert_true(logged("was aborted from outside"));
}

static void a_socket_that_cannot_be_is_an_error(void **state)
{
    (void)state;
    NEED_FUSE();
    probe_config.socket = "/no/where/sock";
    assert_int_equal(ended(start_keeper(&probe_config)), 1);
    assert_true(logged("making the folder /no/where: No such file"));
    probe_config.socket = probe_dir; /* nothing that one could connect to */
    assert_int_equal(ended(start_keeper(&probe_config)), 1);
    assert_false(is_mounted());
}

static void the_source_may_not_begin_like_anothers(void **state)
{
    (void)state;
    NEED_FUSE();
    assert_int_equal(mount("hfcache", probe_mount, "fuse.other", 0, "fd=-1"), -1);
    probe_config.source = "my models";
    int dev = make_mount();
    char line[4096];
    assert_true(mount_line(line, sizeof(line)));
    assert_non_null(strstr(line, " - fuse.hfcache my\\040models "));
    assert_true(is_mounted());
    (void)close(dev);
    free(shared);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROBED(a_mount_is_read_only_and_says_what_it_is),
        PROBED(init_is_agreed_on_and_kept),
        PROBED(what_is_masked_is_not_asked_for),
        PROBED(the_mounts_read_ahead_is_raised),
        PROBED(a_bad_mount_point_is_told_with_advice),
        PROBED(what_else_is_mounted_there_is_left_alone),
        PROBED(a_folder_bound_to_itself_is_a_mount_point),
        PROBED(names_of_any_bytes_are_found),
        PROBED(the_folder_around_may_be_a_symlink),
        PROBED(dead_mounts_are_cleared_all_at_once),
        PROBED(a_mount_whose_process_is_stopped_is_cleared),
        PROBED(what_needs_privileges_says_so),
        PROBED(any_number_of_layers_is_cleared_but_never_for_ever),
        PROBED(a_read_ahead_that_cannot_be_set_is_a_warning),
        PROBED(an_older_kernel_gets_what_it_knows),
        PROBED(a_newer_kernel_gets_passthrough),
        PROBED(what_is_no_init_is_an_error),
        PROBED(a_start_without_privileges_or_device_says_what_to_do),
        PROBED(a_keeper_without_a_worker_tells_its_state),
        PROBED(sigterm_unmounts_if_told_so),
        PROBED(sigterm_without_a_worker_leaves_no_dead_mount),
        PROBED(a_request_to_unmount_is_obeyed),
        PROBED(an_unmount_from_outside_ends_the_keeper),
        PROBED(what_is_mounted_on_top_hides_the_mount_only),
        PROBED(an_abort_from_outside_removes_the_mount),
        PROBED(a_socket_that_cannot_be_is_an_error),
        PROBED(the_source_may_not_begin_like_anothers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
