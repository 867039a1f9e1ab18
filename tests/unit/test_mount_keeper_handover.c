/* test_mount_keeper_handover.c: who serves: workers' deaths, keepers' succession, and what readers
 * get when nobody serves (mount/keeper_handover.c, mount/keeper_orphan.c). Needs root and
 * /dev/fuse, else its tests are skipped.
 */
#include <sys/resource.h>

#include <cap-ng.h>

#include "keeper_probe.h"

static int64_t start_serving(struct fake *w, unsigned flags)
{
    *w = start_fake(flags);
    int64_t generation = told(*w, SAYS_ACTIVE);
    WAIT_UNTIL(status().state == KEEPER_SERVING && status().worker_pid == w->pid);
    return generation;
}

static struct fake start_standby(void)
{
    unsigned before = status().standbys;
    struct fake w = start_fake(LINK_STANDBY);

    WAIT_UNTIL(status().standbys == before + 1);
    return w;
}

/* Another keeper at the same place, while the test's own process looks on. */
static int connect_as_root(void)
{
    int fd = link_connect(probe_socket, &err);

    assert_true(fd >= 0);
    return fd;
}

static void hung_up_on(int fd)
{
    struct link_frame f;
    int fds[LINK_FDS_MAX];

    assert_int_equal(link_wait(fd, &f, fds, LIMIT_MS, &err), 0);
    (void)close(fd);
}

static void close_fds(int *fds)
{
    for (unsigned i = 0; i < LINK_FDS_MAX; i++)
        if (fds[i] >= 0)
            (void)close(fds[i]);
}

/* ---- workers ---- */

static void a_worker_that_registers_serves(void **state)
{
    struct fake w;

    (void)state;
    NEED_FUSE();
    pid_t keeper = start_mounted();
    assert_int_equal(start_serving(&w, 0), 1);
    assert_int_equal(ended(start_reader()), 0);
    struct link_state s = status();
    assert_int_equal(s.worker_pid, w.pid);
    assert_int_equal(s.generation, 1);
    assert_int_equal(kill(keeper, SIGTERM), 0);
    assert_int_equal(told(w, SAYS_DRAIN), 0);
    assert_int_equal(ended(w.pid), 0);
    assert_int_equal(ended(keeper), 0);
    assert_false(is_mounted());
}

static void a_standby_alone_serves(void **state)
{
    struct fake w;

    (void)state;
    NEED_FUSE();
    (void)start_mounted();
    assert_int_equal(start_serving(&w, LINK_STANDBY), 1);
}

/* A reader waits in a worker that is killed, and has its bytes from the next one. */
static void survive_a_death(char hold)
{
    struct fake w, next;

    (void)start_mounted();
    (void)start_serving(&w, 0);
    next = start_standby();
    tell(w, hold);
    pid_t reader = start_reader();
    (void)told(w, SAYS_HOLDS);
    kill_fake(w);
    assert_int_equal(told(next, SAYS_REDONE), 1);
    assert_int_equal(told(next, SAYS_ACTIVE), 2);
    assert_int_equal(ended(reader), 0);
    WAIT_UNTIL(status().state == KEEPER_SERVING);
    assert_int_equal(status().deaths, 1);
    assert_int_equal(status().standbys, 0);
    assert_true(logged("requests wait for its successor"));
}

static void a_request_in_an_intake_slot_survives_its_worker(void **state)
{
    (void)state;
    NEED_FUSE();
    survive_a_death(DO_HOLD);
}

static void a_parked_request_survives_its_worker(void **state)
{
    (void)state;
    NEED_FUSE();
    survive_a_death(DO_PARK);
}

static void a_request_survives_five_deaths(void **state)
{
    struct fake w, next;

    (void)state;
    NEED_FUSE();
    (void)start_mounted();
    (void)start_serving(&w, 0);
    tell(w, DO_PARK);
    pid_t reader = start_reader();
    (void)told(w, SAYS_HOLDS);
    /* Each successor dies before it says a word: it is stopped while it stands by. */
    for (unsigned i = 0; i < 4; i++) {
        next = start_standby();
        assert_int_equal(kill(next.pid, SIGSTOP), 0);
        kill_fake(w);
        WAIT_UNTIL(status().state == KEEPER_TAKEOVER && status().worker_pid == next.pid);
        w = next;
    }
    next = start_standby();
    kill_fake(w);
    assert_int_equal(told(next, SAYS_REDONE), 1);
    assert_int_equal(ended(reader), 0);
    assert_int_equal(told(next, SAYS_ACTIVE), 6);
    assert_int_equal(status().deaths, 5);
}

static void standbys_serve_in_the_order_of_their_coming(void **state)
{
    struct fake w, standby[4];

    (void)state;
    NEED_FUSE();
    (void)start_mounted();
    (void)start_serving(&w, 0);
    for (unsigned i = 0; i < 4; i++)
        standby[i] = start_standby();
    struct fake fifth = start_fake(LINK_STANDBY);
    (void)told(fifth, SAYS_REFUSED);
    kill_fake(fifth);
    for (unsigned i = 0; i < 4; i++) {
        kill_fake(w);
        w = standby[i];
        assert_int_equal(told(w, SAYS_ACTIVE), 2 + i);
        WAIT_UNTIL(status().state == KEEPER_SERVING);
    }
}

static void a_broken_link_is_no_death(void **state)
{
    struct fake w;

    (void)state;
    NEED_FUSE();
    (void)start_mounted();
    (void)start_serving(&w, 0);
    struct fake standby = start_standby();
    for (unsigned i = 0; i < 3; i++) {
        tell(w, DO_RELINK);
        (void)told(w, SAYS_ADOPTED);
    }
    assert_int_equal(ended(start_reader()), 0);
    assert_int_equal(status().deaths, 0);
    assert_int_equal(status().worker_pid, w.pid);
    (void)told(standby, SAYS_LINKED);
    tell(standby, DO_RELINK); /* a standby just registers again */
    (void)told(standby, SAYS_LINKED);
    assert_int_equal(status().standbys, 1);
    kill_fake(w);
    assert_int_equal(told(standby, SAYS_ACTIVE), 2);
}

static void a_standby_that_dies_is_forgotten(void **state)
{
    struct fake w;

    (void)state;
    NEED_FUSE();
    (void)start_mounted();
    (void)start_serving(&w, 0);
    struct fake standby = start_standby();
    kill_fake(standby);
    WAIT_UNTIL(status().standbys == 0);
    assert_int_equal(status().deaths, 0);
    assert_int_equal(status().worker_pid, w.pid);
}

static void a_worker_that_replaces_comes_when_the_old_one_is_gone(void **state)
{
    struct fake old, next;

    (void)state;
    NEED_FUSE();
    (void)start_mounted();
    (void)start_serving(&old, STUBBORN);
    struct fake standby = start_standby();
    next = start_fake(0);
    (void)told(old, SAYS_DRAIN);
    struct link_state s = status();
    assert_int_equal(s.worker_pid, old.pid); /* it hasn't gone yet */
    assert_int_equal(s.standbys, 2);
    assert_int_equal(ended(start_reader()), 0);
    tell(old, DO_EXIT);
    assert_int_equal(told(next, SAYS_ACTIVE), 2);
    assert_int_equal(ended(old.pid), 0);
    assert_int_equal(ended(start_reader()), 0);
    WAIT_UNTIL(status().state == KEEPER_SERVING);
    s = status();
    assert_int_equal(s.deaths, 0);
    assert_int_equal(s.standbys, 1);
    kill_fake(next);
    assert_int_equal(told(standby, SAYS_ACTIVE), 3);
}

static void of_two_that_replace_the_later_one_serves(void **state)
{
    struct fake old, first, second;

    (void)state;
    NEED_FUSE();
    (void)start_mounted();
    (void)start_serving(&old, STUBBORN);
    first = start_fake(0);
    WAIT_UNTIL(status().standbys == 1);
    second = start_fake(0);
    WAIT_UNTIL(status().standbys == 2);
    tell(old, DO_EXIT);
    assert_int_equal(told(second, SAYS_ACTIVE), 2);
    (void)told(second, SAYS_DRAIN); /* the earlier one still wants to */
    assert_int_equal(told(first, SAYS_ACTIVE), 3);
}

/* A HELLO from this process; the link. */
static int hello(uint64_t bytes, pid_t pid_of, unsigned flags)
{
    struct link_frame f = {.flags = flags, .bytes = bytes};
    int fd = connect_as_root();
    int pidfd = pid_of != 0 ? pidfd_open(pid_of, 0) : open("/dev/null", O_RDONLY);

    assert_true(pidfd >= 0);
    assert_int_equal(link_send(fd, LINK_HELLO, &f, &pidfd, 1, &err), 0);
    (void)close(pidfd);
    return fd;
}

static void what_a_worker_says_of_itself_is_checked(void **state)
{
    struct link_frame f = {0};

    (void)state;
    NEED_FUSE();
    pid_t keeper = start_mounted();
    hung_up_on(hello(0, getpid(), 0));
    hung_up_on(hello(ARENA + 1, getpid(), 0));
    hung_up_on(hello((64ULL << 30) + 4096, getpid(), 0));
    hung_up_on(hello(ARENA, keeper, 0)); /* somebody else's pidfd */
    hung_up_on(hello(ARENA, 0, 0));      /* none */
    assert_int_equal(status().generation, 0);
    int fd = hello(ARENA, getpid(), 0);
    WAIT_UNTIL(status().worker_pid == getpid());
    int pidfd = pidfd_open(getpid(), 0);
    f.bytes = ARENA;
    assert_int_equal(link_send(fd, LINK_HELLO, &f, &pidfd, 1, &err), 0); /* twice */
    int fds[LINK_FDS_MAX];
    assert_int_equal(link_wait(fd, &f, fds, LIMIT_MS, &err), 1);
    assert_int_equal(f.kind, LINK_ACTIVATE);
    close_fds(fds);
    hung_up_on(fd);
    (void)close(pidfd);
}

static void frames_of_others_are_refused(void **state)
{
    static const enum link_kind kinds[] = {LINK_SERVING, LINK_UNBACK, LINK_ADOPTED, LINK_DRAIN,
                                           LINK_STATE};
    struct link_frame f = {0};
    struct fake w;

    (void)state;
    NEED_FUSE();
    (void)start_mounted();
    (void)start_serving(&w, 0);
    for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        int fd = connect_as_root();
        assert_int_equal(link_send(fd, kinds[i], &f, NULL, 0, &err), 0);
        hung_up_on(fd);
    }
    int fd = connect_as_root(), file = open("/proc/self/exe", O_RDONLY);
    assert_int_equal(link_send(fd, LINK_BACKING, &f, &file, 1, &err), 0);
    hung_up_on(fd);
    fd = connect_as_root();
    assert_int_equal(send(fd, "junk", 4, 0), 4);
    hung_up_on(fd);
    int five[] = {pidfd_open(getpid(), 0), file, file, file, file};
    fd = connect_as_root();
    assert_int_equal(link_send(fd, LINK_ADOPT, &f, five, 5, &err), 0); /* another serves */
    hung_up_on(fd);
    (void)close(five[0]);
    (void)close(file);
    assert_int_equal(status().worker_pid, w.pid);
    assert_true(logged("is refused"));
    assert_true(logged("what came is no frame of this version"));
}

/* As another user: what comes back of a frame. 0: hung up on. */
static int as_user(uid_t uid, enum link_kind kind)
{
    pid_t pid = remember(fork());

    if (pid > 0)
        return ended(pid);
    struct link_frame f = {0};
    int fds[LINK_FDS_MAX];
    if (chmod(probe_socket, 0666) < 0 || setuid(uid) < 0)
        _exit(99);
    int fd = link_connect(probe_socket, NULL);
    if (fd < 0 || (link_send(fd, kind, &f, NULL, 0, &err) < 0 && err.errnum != EPIPE))
        _exit(98);
    _exit(link_wait(fd, &f, fds, LIMIT_MS, NULL) <= 0 ? 0 : f.kind);
}

static void only_root_and_the_workers_user_are_heard(void **state)
{
    (void)state;
    NEED_FUSE();
    pid_t keeper = start_mounted();
    assert_int_equal(as_user(12345, LINK_STATUS), 0);
    assert_true(logged("user 12345"));
    assert_int_equal(as_user(65534, LINK_STATUS), LINK_STATE);
    assert_int_equal(as_user(65534, LINK_UNMOUNT), 0);
    assert_int_equal(as_user(65534, LINK_SUCCEED), 0);
    assert_int_equal(status().keeper_pid, keeper);
}

static void clients_never_push_out_a_worker(void **state)
{
    struct fake w;
    int fd[40];

    (void)state;
    NEED_FUSE();
    (void)start_mounted();
    (void)start_serving(&w, 0);
    for (unsigned i = 0; i < 40; i++) {
        WAIT_UNTIL((fd[i] = link_connect(probe_socket, NULL)) >= 0);
        if (i % 8 == 0)
            (void)status();
    }
    hung_up_on(fd[0]); /* the oldest */
    not_told(w, SAYS_LINKED);
    assert_int_equal(status().worker_pid, w.pid);
    struct fake standby = start_standby();
    kill_fake(w);
    assert_int_equal(told(standby, SAYS_ACTIVE), 2);
    for (unsigned i = 1; i < 40; i++)
        (void)close(fd[i]);
}

static void the_arena_is_the_same_for_the_same_size(void **state)
{
    struct fake w, next;
    struct link_frame f;
    int fds[LINK_FDS_MAX];
    struct stat st;

    (void)state;
    NEED_FUSE();
    (void)start_mounted();
    w = start_fake(0);
    int64_t inode = told(w, SAYS_ARENA);
    next = start_standby();
    kill_fake(w);
    assert_int_equal(told(next, SAYS_ARENA), inode);
    int fd = hello(2 * ARENA, getpid(), LINK_STANDBY);
    WAIT_UNTIL(status().standbys == 1);
    kill_fake(next);
    assert_int_equal(link_wait(fd, &f, fds, LIMIT_MS, &err), 1);
    assert_int_equal(f.kind, LINK_ACTIVATE);
    assert_int_equal(fstat(fds[2], &st), 0);
    assert_int_equal(st.st_size, 2 * ARENA);
    assert_int_not_equal(st.st_ino, inode);
    for (int i = 1; i <= 2; i++)
        assert_int_equal(fcntl(fds[i], F_GET_SEALS), F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW);
    close_fds(fds);
    (void)close(fd);
}

static void a_worker_that_cannot_be_given_anything_is_passed_over(void **state)
{
    struct fake w;

    (void)state;
    NEED_FUSE();
    (void)start_mounted();
    (void)start_serving(&w, 0);
    int fd = hello(ARENA, getpid(), LINK_STANDBY);
    WAIT_UNTIL(status().standbys == 1);
    struct fake standby = start_standby();
    assert_int_equal(shutdown(fd, SHUT_RD), 0);
    kill_fake(w);
    assert_int_equal(told(standby, SAYS_ACTIVE), 2);
    assert_true(logged("can't be activated: sending a frame: Broken pipe"));
    (void)close(fd);
}

static void forbid_locking(void)
{
    const struct rlimit none = {0, 0};

    if (capng_get_caps_process() < 0 ||
        capng_update(CAPNG_DROP, CAPNG_EFFECTIVE | CAPNG_PERMITTED, CAP_IPC_LOCK) < 0 ||
        capng_apply(CAPNG_SELECT_CAPS) < 0 || setrlimit(RLIMIT_MEMLOCK, &none) < 0)
        _exit(99);
}

static void memory_that_cannot_be_locked_is_a_warning(void **state)
{
    struct fake w;

    (void)state;
    NEED_FUSE();
    probe_child = forbid_locking;
    (void)start_mounted();
    (void)start_serving(&w, 0);
#ifndef HFC_SANITIZED /* they lock nothing */
    assert_true(logged("the shared memory is not locked"));
    assert_true(logged("the arena is not locked"));
#endif
    assert_int_equal(ended(start_reader()), 0);
}

static void a_worker_drains_when_its_mount_is_gone(void **state)
{
    struct fake w;

    (void)state;
    NEED_FUSE();
    pid_t keeper = start_mounted();
    (void)start_serving(&w, 0);
    assert_int_equal(umount2(probe_mount, MNT_DETACH), 0);
    (void)told(w, SAYS_DRAIN);
    assert_int_equal(ended(w.pid), 0);
    assert_int_equal(ended(keeper), 0);
    assert_true(logged("unmounted from outside"));
}

static void the_serving_one_has_a_place_however_many_register(void **state)
{
    struct fake w;
    int fd[6];

    (void)state;
    NEED_FUSE();
    pid_t keeper = start_mounted();
    (void)start_serving(&w, STUBBORN);
    assert_int_equal(kill(w.pid, SIGSTOP), 0);
    kill_child(keeper);
    (void)start_keeper(&probe_config);
    WAIT_UNTIL(status().keeper_pid != keeper);
    for (unsigned i = 0; i < 6; i++)
        fd[i] = hello(ARENA, getpid(), 0);
    hung_up_on(fd[5]);
    assert_int_equal(status().standbys, 5);
    assert_int_equal(kill(w.pid, SIGCONT), 0);
    (void)told(w, SAYS_ADOPTED);
    assert_int_equal(status().worker_pid, w.pid);
    for (unsigned i = 0; i < 5; i++)
        (void)close(fd[i]);
}

static void a_backing_file_is_registered(void **state)
{
    struct fake w;
    struct link_frame f = {0};
    int fds[LINK_FDS_MAX];

    (void)state;
    NEED_FUSE();
    (void)start_mounted();
    (void)start_serving(&w, 0);
    tell(w, DO_BACK);
    int64_t id = told(w, SAYS_BACKED);
    assert_true(id > 0 || id == -ENOTTY || id == -EPERM || id == -EOPNOTSUPP);
    if (id <= 0)
        print_message("this kernel has no passthrough: %d\n", (int)id);
    tell(w, DO_UNBACK); /* an id that there is not */
    WAIT_UNTIL(logged("forgetting a backing file"));
    int fd = hello(ARENA, getpid(), 0);
    WAIT_UNTIL(status().worker_pid == getpid());
    assert_int_equal(link_wait(fd, &f, fds, LIMIT_MS, &err), 1);
    assert_int_equal(f.kind, LINK_ACTIVATE);
    close_fds(fds);
    const int bad[] = {open(probe_dir, O_RDONLY | O_DIRECTORY), open(probe_log, O_WRONLY),
                       open(probe_log, O_PATH)};
    for (unsigned i = 0; i < 3; i++) {
        f.number = 77 + i;
        assert_int_equal(link_send(fd, LINK_BACKING, &f, &bad[i], 1, &err), 0);
        assert_int_equal(link_wait(fd, &f, fds, LIMIT_MS, &err), 1);
        assert_int_equal(f.kind, LINK_BACKED);
        assert_int_equal(f.number, 77 + i);
        assert_int_equal(f.value, -EINVAL);
        (void)close(bad[i]);
    }
    (void)close(fd);
}

static void a_client_is_connected_with_the_worker(void **state)
{
    struct fake w;
    struct link_frame f;
    int fds[LINK_FDS_MAX];
    char text[6] = "";

    (void)state;
    NEED_FUSE();
    (void)start_mounted();
    (void)start_serving(&w, 0);
    assert_true(asked(LINK_CONTROL, &f, fds));
    assert_int_equal(f.kind, LINK_CONNECTED);
    assert_int_equal(f.value, 0);
    struct pollfd p = {.fd = fds[0], .events = POLLIN};
    assert_int_equal(poll(&p, 1, LIMIT_MS), 1);
    assert_int_equal(read(fds[0], text, sizeof(text)), 5);
    assert_string_equal(text, "hello");
    (void)close(fds[0]);
    (void)told(w, SAYS_CONNECTED);
}

/* ---- nobody serves ---- */

static void requests_of_an_orphan_are_answered_eio(void **state)
{
    struct fake w;

    (void)state;
    NEED_FUSE();
    probe_config.orphan_timeout = 1;
    (void)start_mounted();
    pid_t early = start_reader(); /* waits from the start */
    WAIT_UNTIL(status().state == KEEPER_ORPHANED);
    assert_int_equal(ended(early), EIO);
    assert_int_equal(ended(start_reader()), EIO);
    assert_true(status().orphaned >= 2);
    assert_true(logged("no worker for 1 s"));
    (void)start_serving(&w, LINK_STANDBY);
    assert_int_equal(ended(start_reader()), 0);
    /* Both kinds of slots, filled by one that dies. */
    tell(w, DO_HOLD);
    pid_t held = start_reader();
    (void)told(w, SAYS_HOLDS);
    tell(w, DO_PARK);
    pid_t parked = start_reader_of("file2"); /* the first one's page is locked */
    (void)told(w, SAYS_HOLDS);
    kill_fake(w);
    assert_int_equal(ended(held), EIO);
    assert_int_equal(ended(parked), EIO);
    assert_int_equal(status().state, KEEPER_ORPHANED);
    w = start_fake(LINK_STANDBY);
    assert_int_equal(told(w, SAYS_REDONE), 0);
    assert_int_equal(ended(start_reader()), 0);
}

static void what_lies_in_slots_is_not_believed(void **state)
{
    struct fake w;

    (void)state;
    NEED_FUSE();
    probe_config.orphan_timeout = 1;
    (void)start_mounted();
    (void)start_serving(&w, 0);
    tell(w, DO_LITTER);
    assert_int_equal(ended(w.pid), 0);
    WAIT_UNTIL(status().state == KEEPER_ORPHANED);
    assert_int_equal(status().orphaned, 1); /* only the one that looked like a read */
    w = start_fake(0);
    assert_int_equal(told(w, SAYS_REDONE), 0); /* and all slots are free */
}

static void an_orphan_lets_interrupted_readers_go(void **state)
{
    struct fake w;

    (void)state;
    NEED_FUSE();
    probe_config.orphan_timeout = 1;
    (void)start_mounted();
    (void)start_serving(&w, 0);
    tell(w, DO_HOLD);
    pid_t reader = start_reader();
    (void)told(w, SAYS_HOLDS);
    assert_int_equal(kill(w.pid, SIGSTOP), 0);
    assert_int_equal(kill(reader, SIGKILL), 0); /* an INTERRUPT waits to be taken */
    kill_fake(w);
    (void)ended(reader);
    WAIT_UNTIL(status().state == KEEPER_ORPHANED);
    assert_int_equal(ended(start_reader()), EIO);
}

/* A worker that registers and says nothing more. */
static pid_t start_mute(void)
{
    pid_t pid = remember(fork());

    if (pid > 0)
        return pid;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)hello(ARENA, getpid(), 0);
    for (;;)
        (void)pause();
}

static void one_that_never_serves_does_not_end_the_wait(void **state)
{
    struct link_state s;

    (void)state;
    NEED_FUSE();
    probe_config.orphan_timeout = 1;
    (void)start_mounted();
    WAIT_UNTIL(status().state == KEEPER_ORPHANED);
    pid_t mute = start_mute();
    WAIT_UNTIL(status().state == KEEPER_TAKEOVER);
    pid_t reader = start_reader();
    assert_int_equal(waitpid(reader, NULL, WNOHANG), 0); /* it has hopes */
    kill_child(mute);
    WAIT_UNTIL((s = status()).worker_pid == 0);
    assert_int_equal(s.state, KEEPER_ORPHANED); /* at once */
    assert_int_equal(ended(reader), EIO);
}

/* ---- keepers ---- */

static void a_new_keeper_takes_over_without_a_pause(void **state)
{
    struct fake w;

    (void)state;
    NEED_FUSE();
    pid_t old = start_mounted();
    (void)start_serving(&w, 0);
    struct fake standby = start_standby();
    tell(w, DO_HOLD);
    pid_t reader = start_reader();
    (void)told(w, SAYS_HOLDS);
    for (unsigned i = 0; i < 3; i++) {
        pid_t next = start_keeper(&probe_config);
        assert_int_equal(ended(old), 0);
        (void)told(w, SAYS_ADOPTED);
        WAIT_UNTIL(status().standbys == 1);
        struct link_state s = status();
        assert_int_equal(s.keeper_pid, next);
        assert_int_equal(s.worker_pid, w.pid);
        assert_int_equal(s.state, KEEPER_SERVING);
        old = next;
    }
    kill_fake(w);
    assert_int_equal(told(standby, SAYS_ACTIVE), 2);
    assert_int_equal(ended(reader), 0);
    assert_int_equal(ended(start_reader()), 0);
    assert_int_equal(status().deaths, 1);
}

static void a_keeper_without_a_worker_hands_over_too(void **state)
{
    struct fake w;

    (void)state;
    NEED_FUSE();
    probe_config.orphan_timeout = 1;
    pid_t old = start_mounted();
    WAIT_UNTIL(status().state == KEEPER_ORPHANED);
    (void)start_keeper(&probe_config); /* without an arena */
    assert_int_equal(ended(old), 0);
    assert_int_equal(status().state, KEEPER_ORPHANED); /* still, not again */
    (void)start_serving(&w, 0);
    kill_fake(w);
    WAIT_UNTIL(status().worker_pid == 0);
    old = status().keeper_pid;
    (void)start_keeper(&probe_config); /* with one */
    assert_int_equal(ended(old), 0);
    assert_int_equal(start_serving(&w, 0), 2);
    assert_int_equal(ended(start_reader()), 0);
}

/* Asks for everything; the link. */
static int ask_to_succeed(struct link_frame *f, int *fds)
{
    int fd = connect_as_root();

    memset(f, 0, sizeof(*f));
    assert_int_equal(link_send(fd, LINK_SUCCEED, f, NULL, 0, &err), 0);
    assert_int_equal(link_wait(fd, f, fds, LIMIT_MS, &err), 1);
    assert_int_equal(f->kind, LINK_HANDED);
    return fd;
}

static void a_successor_that_dies_changes_nothing(void **state)
{
    struct fake w;
    struct link_frame f;
    int fds[LINK_FDS_MAX];

    (void)state;
    NEED_FUSE();
    pid_t keeper = start_mounted();
    (void)start_serving(&w, 0);
    struct fake standby = start_standby();
    int link = ask_to_succeed(&f, fds);
    assert_true(fds[4] >= 0);
    assert_int_equal(f.state.worker_pid, w.pid);
    close_fds(fds);
    f.kind = 0;
    int second = connect_as_root();
    assert_int_equal(link_send(second, LINK_SUCCEED, &f, NULL, 0, &err), 0);
    hung_up_on(second);
    kill_fake(w);
    WAIT_UNTIL(status().worker_pid == 0);
    assert_int_equal(status().standbys, 1); /* nothing is decided meanwhile */
    (void)close(link);
    assert_int_equal(told(standby, SAYS_ACTIVE), 2);
    assert_int_equal(ended(start_reader()), 0);
    assert_int_equal(status().keeper_pid, keeper);
    assert_true(logged("the new keeper did not take over"));
}

static void a_signal_waits_until_a_succession_is_decided(void **state)
{
    struct link_frame f;
    int fds[LINK_FDS_MAX];

    (void)state;
    NEED_FUSE();
    pid_t keeper = start_mounted();
    int link = ask_to_succeed(&f, fds);
    close_fds(fds);
    assert_int_equal(kill(keeper, SIGTERM), 0);
    int other = connect_as_root();
    memset(&f, 0, sizeof(f));
    assert_int_equal(link_send(other, LINK_UNMOUNT, &f, NULL, 0, &err), 0);
    hung_up_on(other);
    assert_int_equal(status().keeper_pid, keeper);
    assert_true(is_mounted());
    (void)close(link);
    assert_int_equal(ended(keeper), 0);
    assert_false(is_mounted());
}

static void a_successor_that_says_nothing_is_hung_up_on(void **state)
{
    struct link_frame f;
    int fds[LINK_FDS_MAX];

    (void)state;
    NEED_FUSE();
    pid_t keeper = start_mounted();
    int link = ask_to_succeed(&f, fds);
    close_fds(fds);
    hung_up_on(link);
    assert_int_equal(status().keeper_pid, keeper);
}

static void a_successor_that_has_confirmed_is_told_so(void **state)
{
    struct fake w;
    struct link_frame f;
    int fds[LINK_FDS_MAX], none[LINK_FDS_MAX];

    (void)state;
    NEED_FUSE();
    pid_t keeper = start_mounted();
    (void)start_serving(&w, 0);
    int link = ask_to_succeed(&f, fds);
    assert_int_equal(link_send(link, LINK_ADOPTED, &f, NULL, 0, &err), 0);
    assert_int_equal(link_wait(link, &f, none, LIMIT_MS, &err), 1);
    assert_int_equal(f.kind, LINK_ADOPTED);
    assert_int_equal(ended(keeper), 0);
    assert_true(is_mounted());
    assert_int_equal(ended(start_reader()), 0);
    /* This process ends as well, and nothing is lost: the worker holds it all. */
    close_fds(fds);
    (void)close(link);
    (void)start_keeper(&probe_config);
    (void)told(w, SAYS_ADOPTED);
    assert_int_equal(ended(start_reader()), 0);
}

/* Listens in a keeper's stead and answers a SUCCEED with this, or not at all. */
static int failing_start(int kind, const int *fds, unsigned n, bool as_other)
{
    int listener = link_listen(probe_socket, (gid_t)-1, &err);
    struct link_frame f;
    int none[LINK_FDS_MAX];
    pid_t other = 0;

    assert_true(listener >= 0);
    if (as_other) { /* the credentials are those of who called listen(2) */
        other = remember(fork());
        if (other == 0) {
            (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (chmod(probe_dir, 0777) < 0 || unlink(probe_socket) < 0 || setuid(65534) < 0 ||
                (listener = link_listen(probe_socket, (gid_t)-1, NULL)) < 0 ||
                chmod(probe_socket, 0666) < 0)
                _exit(1);
            for (;;)
                (void)pause();
        }
        struct stat st;
        WAIT_UNTIL(stat(probe_socket, &st) == 0 && st.st_uid == 65534 && (st.st_mode & 0006) != 0);
    }
    pid_t keeper = start_keeper(&probe_config);
    if (!as_other) {
        int fd = -1;
        do { /* workers knock as well */
            (void)close(fd);
            struct pollfd p = {.fd = listener, .events = POLLIN};
            assert_int_equal(poll(&p, 1, LIMIT_MS), 1);
            fd = accept(listener, NULL, NULL);
            assert_int_equal(link_wait(fd, &f, none, LIMIT_MS, &err), 1);
            close_fds(none);
        } while (f.kind != LINK_SUCCEED);
        if (kind > 0)
            assert_int_equal(link_send(fd, (enum link_kind)kind, &f, fds, n, &err), 0);
        if (kind == LINK_HANDED && n > 3) /* until it has confirmed */
            assert_int_equal(link_wait(fd, &f, none, LIMIT_MS, &err), 1);
        if (kind >= 0)
            (void)close(fd);
    }
    int code = ended(keeper);
    if (other > 0)
        kill_child(other);
    (void)close(listener);
    return code;
}

static void a_keeper_that_does_not_hand_over_is_left_alone(void **state)
{
    (void)state;
    NEED_FUSE();
    assert_int_equal(failing_start(0, NULL, 0, false), 1);
    assert_true(logged("does not hand over: it hung up"));
    assert_int_equal(failing_start(LINK_STATE, NULL, 0, false), 1);
    assert_int_equal(failing_start(-1, NULL, 0, false), 1);
    assert_true(logged("does not hand over: no answer within 5000 ms"));
    assert_int_equal(failing_start(0, NULL, 0, true), 1);
    assert_true(logged("is not root but user 65534"));
    int null = open("/dev/null", O_RDONLY), three[] = {null, null, null};
    assert_int_equal(failing_start(LINK_HANDED, three, 3, false), 1);
    assert_true(logged("the root is not that of the mount"));
    (void)close(null);
    assert_false(is_mounted());
}

static void a_keeper_that_ends_before_its_last_word_is_an_error(void **state)
{
    struct fake w;
    struct link_frame f;
    int fds[LINK_FDS_MAX];

    (void)state;
    NEED_FUSE();
    pid_t keeper = start_mounted();
    (void)start_serving(&w, 0);
    int link = ask_to_succeed(&f, fds);
    kill_child(keeper);
    assert_int_equal(failing_start(LINK_HANDED, fds, 4, false), 1);
    assert_true(logged("does not hand over: it hung up"));
    assert_true(is_mounted());
    close_fds(fds);
    (void)close(link);
    (void)start_keeper(&probe_config);
    (void)told(w, SAYS_ADOPTED);
}

static void a_keeper_that_dies_is_replaced_from_its_worker(void **state)
{
    struct fake w;

    (void)state;
    NEED_FUSE();
    pid_t keeper = start_mounted();
    (void)start_serving(&w, 0);
    struct fake standby = start_standby();
    tell(w, DO_HOLD);
    pid_t reader = start_reader();
    (void)told(w, SAYS_HOLDS);
    for (unsigned i = 0; i < 2; i++) {
        kill_child(keeper);
        keeper = start_keeper(&probe_config);
        (void)told(w, SAYS_ADOPTED);
        WAIT_UNTIL(status().worker_pid == w.pid && status().standbys == 1);
    }
    assert_true(logged("took the mount over from worker"));
    kill_fake(w);
    assert_int_equal(told(standby, SAYS_ACTIVE), 2);
    assert_int_equal(ended(reader), 0);
    assert_int_equal(ended(start_reader()), 0);
}

static void sigterm_leaves_the_mount_to_the_worker(void **state)
{
    struct fake w;

    (void)state;
    NEED_FUSE();
    probe_config.unmount = false;
    pid_t keeper = start_mounted();
    (void)start_serving(&w, 0);
    assert_int_equal(kill(keeper, SIGTERM), 0);
    assert_int_equal(ended(keeper), 0);
    assert_true(is_mounted());
    assert_int_equal(ended(start_reader()), 0);
    (void)start_keeper(&probe_config);
    (void)told(w, SAYS_ADOPTED);
    assert_int_equal(ended(start_reader()), 0);
}

/* What a worker could bring that is not this mount's, one after the other. */
static void only_the_mounts_own_descriptors_are_adopted(void **state)
{
    struct fake w;
    struct link_frame f;
    int fds[LINK_FDS_MAX];

    (void)state;
    NEED_FUSE();
    pid_t keeper = start_mounted();
    (void)start_serving(&w, 0);
    int link = ask_to_succeed(&f, fds); /* dev memfd root arena pidfd */
    assert_int_equal(kill(w.pid, SIGSTOP), 0);
    kill_child(keeper);
    (void)close(link);
    (void)start_keeper(&probe_config);
    int self = pidfd_open(getpid(), 0), null = open("/dev/null", O_RDWR);
    int other = open("/dev/fuse", O_RDWR), plain = memfd_create("m", MFD_ALLOW_SEALING);
    int sealed = memfd_create("m", MFD_ALLOW_SEALING);
    const uint32_t version = SHARED_VERSION;
    assert_int_equal(ftruncate(sealed, sizeof(struct shared)), 0);
    assert_int_equal(pwrite(sealed, &version, sizeof(version), offsetof(struct shared, version)),
                     sizeof(version));
    assert_int_equal(fcntl(sealed, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
    const int bad[][5] = {
        {self, fds[0], fds[1], fds[3], null},   {self, null, fds[1], fds[3], fds[2]},
        {self, other, fds[1], fds[3], fds[2]},  {self, fds[0], plain, fds[3], fds[2]},
        {self, fds[0], null, fds[3], fds[2]},   {self, fds[0], fds[1], plain, fds[2]},
        {null, fds[0], fds[1], fds[3], fds[2]}, {self, fds[0], sealed, fds[3], fds[2]},
    };
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        int fd;
        WAIT_UNTIL((fd = link_connect(probe_socket, NULL)) >= 0);
        assert_int_equal(link_send(fd, LINK_ADOPT, &f, bad[i], 5, &err), 0);
        hung_up_on(fd);
    }
    assert_int_equal(kill(w.pid, SIGCONT), 0);
    (void)told(w, SAYS_ADOPTED);
    assert_int_equal(ended(start_reader()), 0);
    close_fds(fds);
    (void)close(self);
    (void)close(null);
    (void)close(other);
    (void)close(plain);
    (void)close(sealed);
}

/* Kernels that tell a device's connection in /proc/self/fdinfo only. */
static void the_device_of_another_mount_is_not_adopted(void **state)
{
    char path[200], text[256] = "";
    struct fake w;
    struct link_frame f;
    int fds[LINK_FDS_MAX], dev, root;
    struct shared *s = calloc(1, sizeof(*s));

    (void)state;
    NEED_FUSE();
    pid_t keeper = start_mounted();
    (void)start_serving(&w, 0);
    int link = ask_to_succeed(&f, fds);
    assert_int_equal(kill(w.pid, SIGSTOP), 0);
    kill_child(keeper);
    (void)close(link);
    (void)snprintf(path, sizeof(path), "%s/other", probe_dir);
    assert_int_equal(mkdir(path, 0755), 0);
    struct keeper_config other = probe_config;
    other.mountpoint = path;
    assert_int_equal(mount_make(&other, s, &dev, &root, &err), 0);
    (void)start_keeper(&probe_config);
    int self = pidfd_open(getpid(), 0), link2;
    WAIT_UNTIL((link2 = link_connect(probe_socket, NULL)) >= 0);
    const int bad[] = {self, dev, fds[1], fds[3], fds[2]};
    assert_int_equal(link_send(link2, LINK_ADOPT, &f, bad, 5, &err), 0);
    (void)snprintf(text, sizeof(text), "/proc/self/fdinfo/%d", dev);
    hfc_autobuf struct hfc_buf info = HFC_BUF(4096);
    assert_int_equal(hfc_file_read(AT_FDCWD, text, &info, &err), 0);
    bool told_there = strstr(info.data, "fuse_connection:") != NULL;
    assert_int_equal(umount2(path, MNT_DETACH), 0);
    if (told_there)
        hung_up_on(link2);
    close_fds(fds);
    (void)close(self);
    (void)close(dev);
    (void)close(root);
    free(s);
    if (!told_there)
        skip();
    assert_int_equal(kill(w.pid, SIGCONT), 0);
    (void)told(w, SAYS_ADOPTED);
}

static void if_both_die_the_mount_is_made_anew(void **state)
{
    enum mount_found found;
    uint64_t device;
    struct fake w;

    (void)state;
    NEED_FUSE();
    pid_t keeper = start_mounted();
    (void)start_serving(&w, 0);
    kill_child(keeper);
    kill_fake(w);
    (void)start_keeper(&probe_config);
    assert_int_equal(start_serving(&w, 0), 1);
    assert_int_equal(ended(start_reader()), 0);
    assert_int_equal(mount_look(probe_mount, &found, &device, &err), 0);
    assert_int_equal(found, MOUNT_OURS);
    /* Only one: nothing is left beneath. */
    assert_int_equal(mount_clear(probe_mount, &err), 0);
    assert_false(is_mounted());
}

static void a_mount_that_cannot_be_made_anew_is_an_error(void **state)
{
    (void)state;
    NEED_FUSE();
    assert_int_equal(mount("t", probe_mount, "tmpfs", 0, NULL), 0);
    int dev = open("/dev/fuse", O_RDWR);
    char options[100];
    (void)snprintf(options, sizeof(options), "fd=%d,rootmode=40555,user_id=0,group_id=0", dev);
    assert_int_equal(mount("hfcache", probe_mount, "fuse.hfcache", 0, options), 0);
    assert_int_equal(ended(start_keeper(&probe_config)), 1); /* what is beneath is not ours */
    assert_true(logged("something is mounted at"));
    (void)close(dev);
}

static void a_keeper_that_still_waits_can_be_stopped(void **state)
{
    struct fake w;

    (void)state;
    NEED_FUSE();
    pid_t keeper = start_mounted();
    (void)start_serving(&w, 0);
    assert_int_equal(kill(w.pid, SIGSTOP), 0);
    kill_child(keeper);
    keeper = start_keeper(&probe_config);
    WAIT_UNTIL(logged("waiting 3000 ms for the worker"));
    assert_int_equal(status().state, KEEPER_WAITING);
    int link = connect_as_root(); /* nothing to hand over yet */
    struct link_frame f = {0};
    assert_int_equal(link_send(link, LINK_SUCCEED, &f, NULL, 0, &err), 0);
    hung_up_on(link);
    assert_int_equal(kill(keeper, SIGTERM), 0);
    assert_int_equal(ended(keeper), 0);
    assert_true(is_mounted());
}

/* ---- `run` ---- */

static int spawn_behaviour; /* of spawn(): a fake worker's flags, or one of these */
enum { SPAWN_FAILS = -1, SPAWN_DIES = -2, SPAWN_MUTE = -3, SPAWN_DEAF = -4 };

static void say_goodbye(int sig)
{
    (void)sig;
    (void)!write(2, "asked to end\n", 13);
    _exit(0);
}

static void never_register(void)
{
    (void)alarm(KEEPER_LIFE_S); /* the keeper's end alone must not end it */
    (void)signal(SIGTERM, spawn_behaviour == SPAWN_DEAF ? SIG_IGN : say_goodbye);
    (void)dprintf(2, "silent child %d.\n", (int)getpid());
    for (;;)
        (void)pause();
}

static int spawn(void *ctx, bool standby, struct hfc_error *e)
{
    (void)ctx;
    if (spawn_behaviour == SPAWN_FAILS)
        return hfc_error_set(e, ENOMEM, "no process");
    pid_t pid = fork();
    if (pid == 0 && spawn_behaviour == SPAWN_DIES)
        _exit(1);
    if (pid == 0 && spawn_behaviour < 0)
        never_register();
    if (pid == 0)
        fake_run(socket(AF_UNIX, SOCK_DGRAM, 0),
                 (unsigned)spawn_behaviour | (standby ? LINK_STANDBY : 0));
    return pid;
}

static pid_t start_run(int behaviour)
{
    spawn_behaviour = behaviour;
    probe_config.spawn = spawn;
    return start_mounted();
}

static void run_keeps_one_serving_and_one_standing_by(void **state)
{
    (void)state;
    NEED_FUSE();
    pid_t keeper = start_run(0);
    pid_t last = 0;
    for (unsigned i = 0; i < 3; i++) {
        WAIT_UNTIL(status().state == KEEPER_SERVING && status().standbys == 1 &&
                   status().worker_pid != last);
        last = status().worker_pid;
        assert_int_equal(ended(start_reader()), 0);
        assert_int_equal(kill(last, SIGKILL), 0);
    }
    WAIT_UNTIL(status().state == KEEPER_SERVING && status().worker_pid != last);
    last = status().worker_pid;
    assert_int_equal(kill(keeper, SIGTERM), 0);
    assert_int_equal(ended(keeper), 0);
    assert_int_equal(kill(last, 0), -1); /* gone with it */
    assert_false(is_mounted());
}

static void run_kills_workers_that_do_not_end(void **state)
{
    (void)state;
    NEED_FUSE();
    pid_t keeper = start_run(STUBBORN);
    WAIT_UNTIL(status().state == KEEPER_SERVING && status().standbys == 1);
    pid_t worker = status().worker_pid;
    assert_int_equal(kill(keeper, SIGTERM), 0);
    assert_int_equal(ended(keeper), 0);
    WAIT_UNTIL(kill(worker, 0) < 0);
    assert_false(is_mounted());
}

/* The keeper's only child that has not registered; 0: it is not there yet. */
static pid_t silent_child(void)
{
    hfc_autobuf struct hfc_buf b = HFC_BUF(1 << 20);
    const char *at =
        hfc_file_read(AT_FDCWD, probe_log, &b, NULL) == 0 ? strstr(b.data, "silent child ") : NULL;

    return at != NULL && strchr(at, '.') != NULL ? (pid_t)strtol(at + 13, NULL, 10) : 0;
}

static void run_ends_a_worker_that_has_not_registered(void **state)
{
    pid_t child = 0;

    (void)state;
    NEED_FUSE();
    for (int behaviour = SPAWN_MUTE; behaviour >= SPAWN_DEAF; behaviour--) {
        (void)unlink(probe_log);
        pid_t keeper = start_run(behaviour);
        WAIT_UNTIL((child = silent_child()) > 0);
        assert_int_equal(kill(keeper, SIGTERM), 0);
        assert_int_equal(ended(keeper), 0);
        WAIT_UNTIL(kill(child, 0) < 0);
        assert_int_equal(logged("asked to end"), behaviour == SPAWN_MUTE);
    }
}

static void run_kills_a_worker_that_drains_for_too_long(void **state)
{
    (void)state;
    NEED_FUSE();
    (void)start_run(STUBBORN);
    WAIT_UNTIL(status().state == KEEPER_SERVING && status().standbys == 1);
    struct fake next = start_fake(0);
    (void)told(next, SAYS_ACTIVE);
    assert_true(logged("drains for more than 10 s, it is killed"));
}

static void run_waits_longer_after_each_early_death(void **state)
{
    (void)state;
    NEED_FUSE();
    (void)start_run(SPAWN_DIES);
    WAIT_UNTIL(logged("the next starts in 10 ms"));
    WAIT_UNTIL(logged("the next starts in 20 ms"));
    WAIT_UNTIL(logged("the next starts in 640 ms"));
    assert_false(logged("the next starts in 0 ms"));
}

static void run_goes_on_if_no_worker_can_be_started(void **state)
{
    (void)state;
    NEED_FUSE();
    (void)start_run(SPAWN_FAILS);
    WAIT_UNTIL(logged("no worker can be started: no process: Cannot allocate memory"));
    assert_int_equal(status().state, KEEPER_WAITING);
}

static void run_ends_if_its_first_worker_can_not_serve(void **state)
{
    (void)state;
    NEED_FUSE();
    spawn_behaviour = CANT_FIRST;
    probe_config.spawn = spawn;
    assert_int_equal(ended(start_keeper(&probe_config)), 1);
    assert_false(is_mounted());
}

static void run_replaces_a_later_one_that_can_not(void **state)
{
    (void)state;
    NEED_FUSE();
    (void)start_run(CANT_SECOND);
    WAIT_UNTIL(status().state == KEEPER_SERVING && status().standbys == 1);
    assert_int_equal(kill(status().worker_pid, SIGKILL), 0);
    WAIT_UNTIL(status().state == KEEPER_SERVING && status().generation == 3);
    assert_int_equal(ended(start_reader()), 0);
}

/* By which the fakes end. */
static void run_hands_a_hangup_on_to_the_worker(void **state)
{
    (void)state;
    NEED_FUSE();
    pid_t keeper = start_run(0);
    WAIT_UNTIL(status().state == KEEPER_SERVING && status().standbys == 1);
    pid_t worker = status().worker_pid;
    assert_int_equal(kill(keeper, SIGHUP), 0);
    WAIT_UNTIL(status().state == KEEPER_SERVING && status().worker_pid != worker);
    assert_int_equal(status().deaths, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROBED(a_worker_that_registers_serves),
        PROBED(a_standby_alone_serves),
        PROBED(a_request_in_an_intake_slot_survives_its_worker),
        PROBED(a_parked_request_survives_its_worker),
        PROBED(a_request_survives_five_deaths),
        PROBED(standbys_serve_in_the_order_of_their_coming),
        PROBED(a_broken_link_is_no_death),
        PROBED(a_standby_that_dies_is_forgotten),
        PROBED(a_worker_that_replaces_comes_when_the_old_one_is_gone),
        PROBED(of_two_that_replace_the_later_one_serves),
        PROBED(what_a_worker_says_of_itself_is_checked),
        PROBED(frames_of_others_are_refused),
        PROBED(only_root_and_the_workers_user_are_heard),
        PROBED(clients_never_push_out_a_worker),
        PROBED(the_arena_is_the_same_for_the_same_size),
        PROBED(a_worker_that_cannot_be_given_anything_is_passed_over),
        PROBED(memory_that_cannot_be_locked_is_a_warning),
        PROBED(a_worker_drains_when_its_mount_is_gone),
        PROBED(the_serving_one_has_a_place_however_many_register),
        PROBED(a_backing_file_is_registered),
        PROBED(a_client_is_connected_with_the_worker),
        PROBED(requests_of_an_orphan_are_answered_eio),
        PROBED(what_lies_in_slots_is_not_believed),
        PROBED(an_orphan_lets_interrupted_readers_go),
        PROBED(one_that_never_serves_does_not_end_the_wait),
        PROBED(a_new_keeper_takes_over_without_a_pause),
        PROBED(a_keeper_without_a_worker_hands_over_too),
        PROBED(a_successor_that_dies_changes_nothing),
        PROBED(a_signal_waits_until_a_succession_is_decided),
        PROBED(a_successor_that_says_nothing_is_hung_up_on),
        PROBED(a_successor_that_has_confirmed_is_told_so),
        PROBED(a_keeper_that_does_not_hand_over_is_left_alone),
        PROBED(a_keeper_that_ends_before_its_last_word_is_an_error),
        PROBED(a_keeper_that_dies_is_replaced_from_its_worker),
        PROBED(sigterm_leaves_the_mount_to_the_worker),
        PROBED(only_the_mounts_own_descriptors_are_adopted),
        PROBED(the_device_of_another_mount_is_not_adopted),
        PROBED(if_both_die_the_mount_is_made_anew),
        PROBED(a_mount_that_cannot_be_made_anew_is_an_error),
        PROBED(a_keeper_that_still_waits_can_be_stopped),
        PROBED(run_keeps_one_serving_and_one_standing_by),
        PROBED(run_kills_workers_that_do_not_end),
        PROBED(run_ends_a_worker_that_has_not_registered),
        PROBED(run_kills_a_worker_that_drains_for_too_long),
        PROBED(run_waits_longer_after_each_early_death),
        PROBED(run_goes_on_if_no_worker_can_be_started),
        PROBED(run_ends_if_its_first_worker_can_not_serve),
        PROBED(run_replaces_a_later_one_that_can_not),
        PROBED(run_hands_a_hangup_on_to_the_worker),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
