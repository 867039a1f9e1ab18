/* test_mount_session.c: taking requests, parking reads, take-over and drain (mount/session*.c). */
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "mount_peer.h"

#include "fault.h"
#include "metrics.h"
#include "session_internal.h"
#include "strikes.h"

static struct hfc_error err;

static const struct hfc_entry entries[] = {
    {.key = "a", .etag = "etag-a", .size = 1 << 20},
    {.key = "b", .etag = "etag-b", .size = 1 << 20},
};

static int setup(void **state)
{
    (void)state;
    err = (struct hfc_error){0};
    unsetenv("HFCACHE_FAULT");
    peer_open(entries, 2);
    fault_setup(peer.shared);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    peer_close();
    unsetenv("HFCACHE_FAULT");
    fault_setup(NULL);
    return 0;
}

static unsigned slots_in_use(void)
{
    unsigned n = 0;

    for (unsigned i = 0; i < INTAKE_SLOTS; i++)
        n += ((struct fuse_in_header *)(void *)peer.shared->intake[i].bytes)->len != 0;
    for (unsigned i = 0; i < PARKED_SLOTS; i++)
        n += peer.shared->parked[i].in.len != 0;
    return n;
}

static struct parked *first_parked(void)
{
    for (unsigned i = 0; i < PARKED_SLOTS; i++)
        if (peer.shared->parked[i].in.len != 0)
            return &peer.shared->parked[i];
    return NULL;
}

/* What a worker that is gone has left. Returns the request's unique id. */
static uint64_t leave_in_intake(unsigned slot, uint32_t opcode, uint64_t node, const void *args,
                                size_t n)
{
    (void)peer_fill(peer.shared->intake[slot].bytes, opcode, node, args, n);
    return peer.unique;
}

static uint64_t leave_getattr(unsigned slot, uint64_t node)
{
    struct fuse_getattr_in in = {0};

    return leave_in_intake(slot, FUSE_GETATTR, node, &in, sizeof(in));
}

static uint64_t leave_read(unsigned slot, uint64_t node, uint64_t offset, uint32_t size)
{
    struct fuse_read_in in = {.offset = offset, .size = size};

    return leave_in_intake(slot, FUSE_READ, node, &in, sizeof(in));
}

static uint64_t leave_parked(unsigned slot, uint64_t node, uint64_t offset, uint32_t size)
{
    struct fuse_read_in in = {.offset = offset, .size = size};

    (void)peer_fill(&peer.shared->parked[slot], FUSE_READ, node, &in, sizeof(in));
    return peer.unique;
}

static void wait_for_parked(unsigned n)
{
    fake_engine_until_waiting(n);
    assert_int_equal(session_parked(peer.session), n);
}

/* ---- INIT */

static void libfuse_agrees_with_what_the_keeper_negotiated(void **state)
{
    (void)state;
    peer_start(1);
    const struct fuse_init_out *out = &peer.session->init;
    assert_int_equal(out->major, FUSE_KERNEL_VERSION);
    assert_int_equal(out->max_write, 4096);
    /* libfuse 3.14 wants PARALLEL_DIROPS, but never says so. */
    assert_int_equal(out->flags, PEER_FLAGS & ~FUSE_PARALLEL_DIROPS);
}

static void libfuse_wants_nothing_that_the_keeper_has_masked(void **state)
{
    (void)state;
    peer.shared->connection.flags = FUSE_ASYNC_READ;
    peer_start(1);
    const uint32_t plain = FUSE_MAX_PAGES | FUSE_BIG_WRITES;
    assert_int_equal(peer.session->init.flags & ~plain, FUSE_ASYNC_READ);
}

static void the_init_request_of_an_older_kernel_is_shorter(void **state)
{
    struct fuse_in_header *in = (void *)peer.shared->init_request;

    (void)state;
    in->len = peer.shared->init_request_size = sizeof(*in) + 16;
    peer_start(1);
    assert_int_equal(peer_getattr(1), 0);
}

static void fails_to_start(const char *why)
{
    struct session_config config = peer_config(1);

    assert_null(session_start(&config, &err));
    if (strstr(err.msg, why) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", why, err.msg);
}

static void a_broken_init_request_is_refused(void **state)
{
    struct fuse_in_header *in = (void *)peer.shared->init_request;
    struct fuse_init_in *init = (void *)(in + 1);

    (void)state;
    peer.shared->init_request_size = 55;
    fails_to_start("INIT request has 55 bytes");
    peer.shared->init_request_size = INIT_REQUEST_MAX + 1;
    fails_to_start("INIT request has 257 bytes");
    peer.shared->init_request_size = sizeof(*in) + sizeof(*init);
    init->major = 8;
    fails_to_start("no INIT request of protocol 7");
    init->major = FUSE_KERNEL_VERSION;
    in->opcode = FUSE_LOOKUP;
    fails_to_start("no INIT request of protocol 7");
}

static void a_descriptor_that_is_none_is_refused(void **state)
{
    int dev = peer.dev;

    (void)state;
    peer.dev = -1;
    fails_to_start("/dev/fuse");
    assert_int_equal(err.errnum, EBADF);
    peer.dev = dev;
}

/* Returns what was. */
static struct rlimit limit_files(rlim_t n)
{
    struct rlimit was, now;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
    now = (struct rlimit){.rlim_cur = n, .rlim_max = was.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
    return was;
}

static void without_descriptors_it_does_not_start(void **state)
{
    struct rlimit was = limit_files(3);

    (void)state;
    fails_to_start("eventfd");
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
}

#ifndef HFC_SANITIZED /* they want to know where stacks are */
static void without_threads_it_does_not_start(void **state)
{
    pthread_attr_t before, attr;

    (void)state;
    assert_int_equal(pthread_getattr_default_np(&before), 0);
    assert_int_equal(pthread_attr_init(&attr), 0);
    assert_int_equal(pthread_attr_setstacksize(&attr, (size_t)1 << 50), 0);
    assert_int_equal(pthread_setattr_default_np(&attr), 0);
    fails_to_start("a thread for requests");
    assert_int_equal(pthread_setattr_default_np(&before), 0);
    (void)pthread_attr_destroy(&attr);
    (void)pthread_attr_destroy(&before);
}
#endif

static void libfuse_reads_nothing_and_speaks_through_the_log(void **state)
{
    struct fuse_buf buf = {0};

    (void)state;
    peer_start(1);
    assert_int_equal(fuse_session_receive_buf(peer.session->libfuse, &buf), -ENOSYS);
    free(buf.mem);
    fuse_log(FUSE_LOG_ERR, "a word of %s\n", "libfuse");
    assert_true(was_logged("a word of libfuse\n"));
    assert_false(was_logged("libfuse\n\n"));
}

/* ---- requests */

static void requests_are_answered_and_their_slots_cleared(void **state)
{
    (void)state;
    peer_start(2);
    assert_int_equal(peer_lookup(1, "a"), 0);
    assert_int_equal(peer_lookup(1, "nowhere"), ENOENT);
    assert_int_equal(peer_getattr(1), 0);
    peer_stop();
    assert_int_equal(slots_in_use(), 0);
}

static void requests_are_counted(void **state)
{
    uint64_t before = metric_get(M_REQUESTS);

    (void)state;
    peer_start(1);
    assert_int_equal(peer_getattr(1), 0);
    assert_int_equal(peer_getattr(1), 0);
    assert_int_equal(metric_get(M_REQUESTS), before + 2);
}

static void what_would_write_is_refused(void **state)
{
    static const uint32_t writes[] = {
        FUSE_SETATTR, FUSE_SYMLINK,  FUSE_MKNOD,       FUSE_MKDIR,
        FUSE_UNLINK,  FUSE_RMDIR,    FUSE_RENAME,      FUSE_LINK,
        FUSE_WRITE,   FUSE_SETXATTR, FUSE_REMOVEXATTR, FUSE_CREATE,
        FUSE_RENAME2, FUSE_TMPFILE,  FUSE_FALLOCATE,   FUSE_COPY_FILE_RANGE,
    };

    (void)state;
    peer_start(1);
    for (size_t i = 0; i < sizeof(writes) / sizeof(writes[0]); i++)
        if (peer_ask(writes[i], 1, "x\0y", 4) != EROFS)
            fail_msg("opcode %u is not refused", writes[i]);
}

static void what_is_not_there_is_enosys(void **state)
{
    static const uint32_t opcodes[] = {FUSE_FLUSH,  FUSE_FSYNC, FUSE_IOCTL, FUSE_GETLK,
                                       FUSE_SETLKW, FUSE_POLL,  FUSE_BMAP,  0,
                                       52,          CUSE_INIT,  UINT32_MAX, FUSE_INIT};

    (void)state;
    peer_start(1);
    for (size_t i = 0; i < sizeof(opcodes) / sizeof(opcodes[0]); i++)
        if (peer_ask(opcodes[i], 1, NULL, 0) != ENOSYS)
            fail_msg("opcode %u is there", opcodes[i]);
    assert_int_equal(peer_ask(FUSE_READLINK, 1, NULL, 0), EINVAL);
    assert_int_equal(peer_ask(FUSE_DESTROY, 1, NULL, 0), 0);
    assert_int_equal(peer_getattr(1), 0);
}

static void an_interrupt_is_enosys_and_a_forget_has_no_answer(void **state)
{
    struct fuse_interrupt_in interrupt = {.unique = 1};
    struct fuse_forget_in forget = {.nlookup = 1};
    uint64_t id;

    (void)state;
    peer_start(1);
    assert_int_equal(peer_ask(FUSE_INTERRUPT, 0, &interrupt, sizeof(interrupt)), ENOSYS);
    (void)peer_send(FUSE_FORGET, 2, &forget, sizeof(forget));
    (void)peer_send(FUSE_BATCH_FORGET, 2, NULL, 0);
    (void)peer_send(FUSE_NOTIFY_REPLY, 2, NULL, 0);
    id = peer_send(FUSE_STATFS, 1, NULL, 0);
    peer_receive();
    assert_int_equal(peer.packet.out.unique, id); /* the next one after the interrupt's */
}

static void malformed_requests_are_eio_and_harm_nobody(void **state)
{
    uint8_t bytes[INTAKE_SIZE];
    struct fuse_in_header *in = (void *)bytes;
    char name[300];

    (void)state;
    peer_start(1);
    memset(name, 'n', sizeof(name));
    assert_int_equal(peer_ask(FUSE_LOOKUP, 1, name, sizeof(name)), EIO); /* no end */
    assert_int_equal(peer_ask(FUSE_LOOKUP, 1, NULL, 0), EIO);
    assert_int_equal(peer_ask(FUSE_READ, 1, name, 39), EIO); /* too short */
    assert_int_equal(peer_ask(FUSE_GETXATTR, 1, name, 8), EIO);
    size_t n = peer_fill(bytes, FUSE_STATFS, 1, NULL, 0);
    in->len++; /* not what has come */
    peer_send_raw(bytes, n);
    assert_int_equal(peer_answer(peer.unique), EIO);
    peer_send_raw(bytes, sizeof(*in) - 1);
    assert_int_equal(peer_getattr(1), 0);
    assert_true(was_logged("39 bytes from the kernel are no request"));
    assert_true(was_logged("opcode 15, 79 bytes by itself) is answered EIO: malformed"));
}

static void the_largest_request_fits(void **state)
{
    static uint8_t args[INTAKE_SIZE - sizeof(struct fuse_in_header)];

    (void)state;
    peer_start(1);
    assert_int_equal(peer_ask(FUSE_LOOKUP, 1, args, sizeof(args)), ENOENT); /* "" */
    memset(args, 'x', sizeof(args));
    assert_int_equal(peer_ask(FUSE_LOOKUP, 1, args, sizeof(args)), EIO);
}

static void an_answer_that_is_not_accepted_becomes_eio(void **state)
{
    int small = 4096;

    (void)state;
    assert_int_equal(setsockopt(peer.dev, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
    peer_start(1);
    assert_int_equal(peer_answer(peer_send_read(peer_id("a"), 0, 100000)), EIO);
    assert_true(was_logged("an answer of 100016 bytes was not accepted"));
    assert_int_equal(peer_getattr(1), 0);
}

static void the_end_of_the_mount_is_told_once(void **state)
{
    (void)state;
    peer_start(3);
    assert_int_equal(peer_getattr(1), 0);
    (void)close(peer.fd);
    peer.fd = -1;
    for (unsigned i = 0; i < 3; i++)
        (void)pthread_join(peer.session->takers[i].thread, NULL);
    peer.session->started = 0;
    assert_int_equal(peer.ended, 1);
}

static void a_descriptor_that_breaks_ends_the_session(void **state)
{
    int pipes[2], dev = peer.dev;

    (void)state;
    assert_int_equal(pipe(pipes), 0);
    peer.dev = pipes[1];   /* can't be read */
    (void)close(pipes[0]); /* poll(2) tells POLLERR */
    peer_start(1);
    (void)pthread_join(peer.session->takers[0].thread, NULL);
    peer.session->started = 0;
    assert_int_equal(peer.ended, 1);
    assert_true(was_logged("reading failed"));
    (void)close(pipes[1]);
    peer.dev = dev;
}

static void a_failing_poll_ends_the_session(void **state)
{
    (void)state;
    peer_start(1);
    struct rlimit was = limit_files(1);       /* fewer than are asked for */
    (void)peer_send(FUSE_STATFS, 1, NULL, 0); /* wakes it if it is in there already */
    int rc = pthread_join(peer.session->takers[0].thread, NULL);
    peer.session->started = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
    assert_int_equal(rc, 0);
    assert_int_equal(peer.ended, 1);
    assert_true(was_logged("reading failed (22)"));
}

/* ---- reads */

static void a_read_that_need_not_wait_is_answered_at_once(void **state)
{
    (void)state;
    peer_start(1);
    assert_int_equal(peer_answer(peer_send_read(peer_id("a"), 1000, 5000)), 0);
    peer_is_content(1000, 5000);
    assert_int_equal(session_parked(peer.session), 0);
}

static void a_read_is_cut_at_the_end_of_the_file(void **state)
{
    (void)state;
    peer_start(1);
    assert_int_equal(peer_answer(peer_send_read(peer_id("a"), (1 << 20) - 10, 4096)), 0);
    peer_is_content((1 << 20) - 10, 10);
    assert_int_equal(peer_answer(peer_send_read(peer_id("a"), 1 << 20, 4096)), 0);
    assert_int_equal(peer.size, 0);
}

static void errors_of_reads_reach_the_reader(void **state)
{
    static const int errors[] = {EIO, EACCES, ESTALE};

    (void)state;
    peer_start(1);
    for (unsigned waits = 0; waits < 2; waits++) {
        for (unsigned i = 0; i < 3; i++) {
            fake_engine_waits(waits);
            fake_engine.errnum = errors[i];
            uint64_t id = peer_send_read(peer_id("a"), 0, 4096);
            if (waits) {
                wait_for_parked(1);
                assert_int_equal(fake_engine_answer(1), 1);
            }
            assert_int_equal(peer_answer(id), errors[i]);
        }
    }
}

static void a_read_that_waits_costs_no_thread(void **state)
{
    uint64_t id, node = peer_id("a");

    (void)state;
    peer_start(1);
    fake_engine_waits(true);
    id = peer_send_read(node, 777, 4096);
    wait_for_parked(1);
    assert_int_equal(peer_getattr(1), 0); /* by the only thread */

    const struct parked *p = first_parked();
    assert_int_equal(p->in.unique, id);
    assert_int_equal(p->in.len, sizeof(p->in) + sizeof(p->read));
    assert_int_equal(p->in.nodeid, node);
    assert_int_equal(p->read.offset, 777);
    assert_int_equal(p->read.size, 4096);
    assert_int_equal(fake_engine_answer(9), 1);
    assert_int_equal(peer_answer(id), 0);
    peer_is_content(777, 4096);
    peer_stop();
    assert_int_equal(slots_in_use(), 0);
}

static void a_waiting_read_is_not_executing(void **state)
{
    (void)state;
    peer_start(1);
    fake_engine_waits(true);
    (void)peer_send_read(peer_id("a"), 0, 4096);
    wait_for_parked(1);
    assert_int_equal(peer_getattr(1), 0); /* its thread is out of it */
    assert_int_equal(first_parked()->state.flags, 0);
    assert_int_equal(fake_engine_answer(1), 1);
}

/* Sends reads until all parked slots are taken. Returns the first one's id, the rest follow. */
static uint64_t fill_parked_slots(uint64_t node)
{
    uint64_t first = peer.unique + 1;

    fake_engine_waits(true);
    for (unsigned i = 0; i < PARKED_SLOTS; i++)
        (void)peer_send_read(node, i, 64);
    fake_engine_until_waiting(PARKED_SLOTS);
    return first;
}

static _Atomic bool answering;

static void *answer_all_the_time(void *arg)
{
    (void)arg;
    while (atomic_load(&answering))
        if (fake_engine_answer(3) == 0)
            (void)sched_yield();
    return NULL;
}

/* Also those that come to wait only while others are answered. */
static void answer_all(uint64_t first, uint64_t last)
{
    pthread_t thread;

    atomic_store(&answering, true);
    assert_int_equal(pthread_create(&thread, NULL, answer_all_the_time, NULL), 0);
    for (uint64_t id = first; id <= last; id++)
        assert_int_equal(peer_answer(id), 0);
    atomic_store(&answering, false);
    (void)pthread_join(thread, NULL);
}

static void without_a_parked_slot_a_read_waits_in_its_intake_slot(void **state)
{
    uint64_t first, more, getattr;
    struct fuse_getattr_in in = {0};

    (void)state;
    peer_start(1);
    first = fill_parked_slots(peer_id("a"));
    more = peer_send_read(peer_id("b"), 5, 64);
    getattr = peer_send(FUSE_GETATTR, 1, &in, sizeof(in)); /* behind it */
    assert_int_equal(fake_engine_answer(1), 1);
    assert_int_equal(peer_answer(first), 0);
    fake_engine_until_waiting(PARKED_SLOTS); /* it has taken the place */
    assert_int_equal(peer_answer(getattr), 0);
    answer_all(first + 1, more);
    peer_stop();
    assert_int_equal(slots_in_use(), 0);
}

static void all_threads_may_wait_for_room(void **state)
{
    uint64_t first;

    (void)state;
    peer_start(3);
    first = fill_parked_slots(peer_id("a"));
    for (unsigned i = 0; i < 50; i++)
        (void)peer_send_read(peer_id("b"), i, 64);
    answer_all(first, peer.unique);
}

static void a_stop_leaves_a_read_without_room_in_its_slot(void **state)
{
    uint64_t more, before = metric_get(M_REQUESTS);

    (void)state;
    peer_start(1);
    (void)fill_parked_slots(peer_id("a"));
    more = peer_send_read(peer_id("b"), 5, 64);
    while (metric_get(M_REQUESTS) < before + PARKED_SLOTS + 1)
        (void)sched_yield();
    peer_stop();
    assert_int_equal(fake_engine.abandoned, 1);
    assert_int_equal(slots_in_use(), PARKED_SLOTS + 1);
    assert_int_equal(peer.shared->intake_state[0].flags & SLOT_EXECUTING, 0);

    fake_engine_waits(false); /* to the successor everything is at hand */
    peer_start(1);
    assert_int_equal(peer_answer(more), 0);
    assert_int_equal(peer_getattr(1), 0);
    peer_stop();
    assert_int_equal(slots_in_use(), 0);
    assert_int_equal(peer.shared->redone, PARKED_SLOTS + 1);
}

/* ---- the end */

static void *answer_when_waiting(void *n)
{
    unsigned left = *(unsigned *)n;

    while (left > 0) {
        fake_engine_until_waiting(1);
        left -= fake_engine_answer(left);
    }
    return NULL;
}

static void a_drain_waits_for_reads_to_be_answered(void **state)
{
    unsigned n = 5;
    pthread_t thread;

    (void)state;
    peer_start(2);
    fake_engine_waits(true);
    for (unsigned i = 0; i < n; i++)
        (void)peer_send_read(peer_id("a"), i, 64);
    fake_engine_until_waiting(n);
    session_stop(peer.session);
    (void)peer_send(FUSE_STATFS, 1, NULL, 0); /* comes too late */
    assert_int_equal(pthread_create(&thread, NULL, answer_when_waiting, &n), 0);
    session_drain(peer.session, ANSWER_MS + 999);
    assert_int_equal(session_parked(peer.session), 0);
    assert_int_equal(fake_engine.abandoned, 0);
    (void)pthread_join(thread, NULL);
    peer_stop();
    assert_int_equal(slots_in_use(), 0);
    peer_start(1); /* the successor */
    assert_int_equal(peer_answer(peer.unique), 0);
}

static void what_is_not_answered_in_time_is_the_successors(void **state)
{
    uint64_t id;

    (void)state;
    peer_start(1);
    fake_engine_waits(true);
    id = peer_send_read(peer_id("a"), 42, 64);
    wait_for_parked(1);
    session_drain(peer.session, 1);
    assert_int_equal(fake_engine.abandoned, 1);
    assert_int_equal(fake_uses(), 0);
    peer_stop();
    assert_int_equal(fake_engine.abandoned, 1);
    assert_int_equal(slots_in_use(), 1);

    struct parked *p = first_parked();
    peer_start(1);
    wait_for_parked(1);
    assert_ptr_equal(first_parked(), p); /* it waits where it lay */
    assert_int_equal(fake_engine_answer(1), 1);
    assert_int_equal(peer_answer(id), 0);
    peer_is_content(42, 64);
    peer_stop();
    assert_int_equal(slots_in_use(), 0);
}

static void *end_answer(void *w)
{
    while (atomic_load(&fake_engine.abandoned) == 0)
        (void)sched_yield();
    waiter_unpin(w);
    return NULL;
}

static void a_drain_lets_an_answer_that_is_being_given_come_to_its_end(void **state)
{
    struct waiter *w;
    pthread_t thread;

    (void)state;
    peer_start(1);
    fake_engine_waits(true);
    (void)peer_send_read(peer_id("a"), 42, 64);
    wait_for_parked(1);
    session_stop(peer.session);
    struct read *r = fake_pop(&fake_engine);
    w = r->ctx;
    w->state = WAITER_ANSWERING; /* as parked_done() does first */
    fuse_reply_none(w->req);
    assert_int_equal(pthread_create(&thread, NULL, end_answer, w), 0);
    session_drain(peer.session, 1);
    assert_int_equal(session_parked(peer.session), 0);
    (void)pthread_join(thread, NULL);
    blob_done(r->blob);
    assert_int_equal(slots_in_use(), 0);
}

static void an_answer_after_the_drain_is_not_given(void **state)
{
    struct read *late;

    (void)state;
    peer_start(1);
    fake_engine_waits(true);
    (void)peer_send_read(peer_id("a"), 42, 64);
    wait_for_parked(1);
    late = fake_pop(&fake_engine); /* about to be answered */
    session_drain(peer.session, 1);
    fake_finish(&fake_engine, late);
    peer_stop();
    assert_int_equal(slots_in_use(), 1);
    char byte;
    assert_int_equal(recv(peer.fd, &byte, 1, MSG_DONTWAIT), -1);
}

/* ---- take-over */

static void what_a_predecessor_left_is_executed(void **state)
{
    uint64_t ids[] = {leave_getattr(0, 1),
                      leave_getattr(3, 1),
                      leave_getattr(15, 1),
                      leave_parked(0, peer_id("a"), 1, 64),
                      leave_parked(1023, peer_id("b"), 2, 64),
                      leave_read(2, peer_id("b"), 3, 64)};

    (void)state;
    peer_start(2);
    for (unsigned i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
        assert_int_equal(peer_answer(ids[i]), 0);
    peer_stop();
    assert_int_equal(slots_in_use(), 0);
    assert_int_equal(peer.shared->redone, 6);
    assert_int_equal(metric_get(M_REDONE), 6);
}

static void what_waits_again_waits_in_its_slot(void **state)
{
    uint64_t parked = leave_parked(9, peer_id("a"), 1, 64);
    uint64_t intake = leave_read(1, peer_id("b"), 3, 64);

    (void)state;
    fake_engine_waits(true);
    peer_start(1);
    fake_engine_until_waiting(2);
    assert_int_equal(peer_getattr(1), 0);
    assert_int_equal(session_parked(peer.session), 2);
    assert_int_equal(peer.shared->parked[9].in.unique, parked);
    assert_int_equal(fake_engine_answer(2), 2);
    assert_int_equal(peer_answer(parked), 0);
    assert_int_equal(peer_answer(intake), 0);
}

static void reads_of_nodes_that_nobody_knows_are_stale(void **state)
{
    uint64_t id = leave_parked(5, 0x1234567890, 1, 64);

    (void)state;
    peer_start(1);
    assert_int_equal(peer_answer(id), ESTALE);
    peer_stop();
    assert_int_equal(slots_in_use(), 0);
}

static void slots_with_impossible_lengths_are_cleared(void **state)
{
    (void)state;
    (void)leave_getattr(0, 1);
    ((struct fuse_in_header *)(void *)peer.shared->intake[0].bytes)->len = INTAKE_SIZE + 1;
    (void)leave_getattr(1, 1);
    ((struct fuse_in_header *)(void *)peer.shared->intake[1].bytes)->len = 39;
    (void)leave_parked(7, peer_id("a"), 0, 64);
    peer.shared->parked[7].in.len = 81;
    uint64_t other = leave_parked(8, 1, 0, 64);
    peer.shared->parked[8].in.opcode = FUSE_GETATTR; /* would be no read: answered all the same */
    peer_start(2);
    assert_int_equal(peer_answer(other), 0);
    assert_int_equal(peer_getattr(1), 0);
    peer_stop();
    assert_int_equal(slots_in_use(), 0);
    assert_int_equal(peer.shared->redone, 1);
    assert_true(was_logged("a slot with a length of 81 is cleared"));
}

static void suspects_are_executed_alone_before_the_others(void **state)
{
    uint64_t other = leave_getattr(0, 1), suspect = leave_getattr(9, 1);
    uint64_t parked = leave_parked(700, peer_id("a"), 0, 64);

    (void)state;
    peer.shared->intake_state[9].flags = SLOT_EXECUTING;
    peer.shared->parked[700].state.flags = SLOT_BLAMED;
    peer_start(4);
    peer_receive();
    assert_int_equal(peer.packet.out.unique, suspect);
    peer_receive();
    assert_int_equal(peer.packet.out.unique, parked);
    assert_int_equal(peer_answer(other), 0);
    peer_stop();
    assert_true(was_logged("2 requests that the last worker may have died of"));
    assert_int_equal(peer.shared->intake_state[9].strikes, 0);
    assert_int_equal(peer.shared->redone, 3);
}

static void after_three_deaths_a_request_is_eio(void **state)
{
    uint64_t intake = leave_getattr(0, 1), parked = leave_parked(3, peer_id("a"), 0, 64);
    uint64_t second = leave_getattr(1, 1);

    (void)state;
    peer.shared->intake_state[0] = (struct slot_state){SLOT_EXECUTING, STRIKES_MAX - 1};
    peer.shared->parked[3].state = (struct slot_state){SLOT_BLAMED, STRIKES_MAX - 1};
    peer.shared->intake_state[1] = (struct slot_state){SLOT_EXECUTING, STRIKES_MAX - 2};
    peer_start(1);
    assert_int_equal(peer_answer(intake), EIO);
    assert_int_equal(peer_answer(parked), EIO);
    assert_int_equal(peer_answer(second), 0);
    peer_stop();
    assert_int_equal(peer.shared->poisoned, 2);
    assert_int_equal(metric_get(M_POISONED), 2);
    assert_true(was_logged("a request (opcode 3, node 1) has ended 3 workers"));
    assert_int_equal(slots_in_use(), 0);
    assert_int_equal(peer.shared->parked[3].state.strikes, 0);
}

static void strikes_move_with_a_read_that_is_parked(void **state)
{
    (void)state;
    (void)leave_read(0, peer_id("a"), 0, 64);
    peer.shared->intake_state[0] = (struct slot_state){SLOT_EXECUTING, 1};
    fake_engine_waits(true);
    peer_start(1);
    wait_for_parked(1);
    assert_int_equal(first_parked()->state.strikes, 2);
    assert_int_equal(peer.shared->intake_state[0].strikes, 0);
    assert_int_equal(fake_engine_answer(1), 1);
}

static void a_suspect_without_room_waits_for_those_that_are_parked(void **state)
{
    uint64_t first = peer.unique + 1, suspect;

    (void)state;
    for (unsigned i = 0; i < PARKED_SLOTS; i++)
        (void)leave_parked(i, peer_id("a"), i, 64);
    suspect = leave_read(0, peer_id("b"), 7, 64);
    peer.shared->intake_state[0].flags = SLOT_EXECUTING;
    fake_engine_waits(true);
    peer_start(2);
    fake_engine_until_waiting(PARKED_SLOTS);
    assert_int_equal(peer_getattr(1), 0); /* by the thread that does not own the suspect's slot */
    answer_all(first, suspect);
    peer_stop();
    assert_int_equal(slots_in_use(), 0);
    assert_int_equal(peer.shared->redone, PARKED_SLOTS + 1);
}

static void a_stop_during_the_redo_loses_nothing(void **state)
{
    (void)state;
    for (unsigned i = 0; i < PARKED_SLOTS; i++)
        (void)leave_parked(i, peer_id("a"), i, 64);
    uint64_t id = leave_read(0, peer_id("b"), 7, 64);
    fake_engine_waits(true);
    peer_start(1);
    fake_engine_until_waiting(PARKED_SLOTS);
    peer_stop();
    assert_int_equal(slots_in_use(), PARKED_SLOTS + 1);
    fake_engine_waits(false);
    peer_start(1);
    assert_int_equal(peer_answer(id), 0);
}

static void the_time_of_a_take_over_is_measured(void **state)
{
    (void)state;
    peer.shared->died_at = clock_ns() - 5000;
    peer.shared->takeover_ns = 1000000;
    peer_start(1);
    assert_int_equal(peer.shared->takeover_last_ns, 0); /* until the first answer */
    assert_int_equal(peer_getattr(1), 0);
    peer_stop();
    uint64_t last = peer.shared->takeover_last_ns;
    assert_true(last >= 5000);
    assert_int_equal(peer.shared->takeover_ns, 1000000 + last);
    assert_int_equal(metric_get(M_TAKEOVER_SECONDS), 1000000 + last);
    assert_int_equal(peer.shared->died_at, 0);
    peer_start(1); /* nobody has died */
    assert_int_equal(peer_getattr(1), 0);
    peer_stop();
    assert_int_equal(peer.shared->takeover_last_ns, last);
}

static void a_death_in_the_future_is_no_time(void **state)
{
    (void)state;
    peer.shared->died_at = UINT64_MAX;
    peer_start(1);
    assert_int_equal(peer_getattr(1), 0);
    peer_stop();
    assert_int_equal(peer.shared->takeover_ns, 0);
}

static void points_of_faults_are_passed(void **state)
{
    (void)state;
    setenv("HFCACHE_FAULT", "mid-fill:kill:1", 1);
    fault_setup(peer.shared);
    peer_start(1);
    fake_engine_waits(true);
    uint64_t id = peer_send_read(peer_id("a"), 0, 64);
    wait_for_parked(1);
    assert_int_equal(peer_getattr(1), 0);
    assert_int_equal(fake_engine_answer(1), 1);
    assert_int_equal(peer_answer(id), 0);
    peer_stop();
    const _Atomic uint64_t *counts = peer.shared->fault_counts;
    assert_int_equal(counts[FAULT_TAKEOVER], 1);
    assert_int_equal(counts[FAULT_TAKEN], 2);
    assert_int_equal(counts[FAULT_PARKED], 1);
    assert_int_equal(counts[FAULT_REPLY], 2);
    assert_int_equal(counts[FAULT_REPLIED], 2);
}

/* A worker in a process of its own, which dies of `fault`. The reads that it parks are answered. */
static int worker_dies_of(const char *fault)
{
    pid_t pid = fork();
    int status = 0;

    if (pid == 0) {
        unsigned forever = UINT32_MAX;
        pthread_t thread;
        setenv("HFCACHE_FAULT", fault, 1);
        fault_setup(peer.shared);
        (void)signal(SIGSEGV, SIG_DFL); /* the test's own, or a sanitizer's, is in the way */
        strikes_setup(peer.shared);
        peer_start(2);
        (void)pthread_create(&thread, NULL, answer_when_waiting, &forever);
        for (;;)
            (void)pause();
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void a_read_survives_a_death_at(const char *point, bool waits)
{
    char fault[64];

    (void)snprintf(fault, sizeof(fault), "%s:kill:1", point);
    fake_engine_waits(waits);
    uint64_t id = peer_send_read(peer_id("a"), 11, 64);
    assert_int_equal(worker_dies_of(fault), SIGKILL);
    fake_engine_waits(false);
    peer_start(1);
    assert_int_equal(peer_answer(id), 0);
    peer_is_content(11, 64);
    peer_stop();
    assert_int_equal(slots_in_use(), 0);
}

static void a_read_survives_a_death_anywhere(void **state)
{
    (void)state;
    a_read_survives_a_death_at("request-taken", false);
    a_read_survives_a_death_at("request-parked", true);
    teardown(NULL);
    setup(NULL);
    a_read_survives_a_death_at("before-reply", false);
    teardown(NULL);
    setup(NULL);
    a_read_survives_a_death_at("before-reply", true);
    teardown(NULL);
    setup(NULL);
    a_read_survives_a_death_at("after-reply", true); /* answered twice */
}

static void a_poisonous_request_ends_three_workers_and_no_more(void **state)
{
    (void)state;
    setenv("HFCACHE_FAULT_NAME", "a", 1);
    uint64_t id = peer_send(FUSE_LOOKUP, 1, "a", 2);
    uint64_t bystander = peer_send_read(peer_id("b"), 11, 64);
    fake_engine_waits(true);
    for (unsigned i = 0; i < STRIKES_MAX; i++)
        assert_int_equal(worker_dies_of("poison:segv:*"), SIGSEGV);
    unsetenv("HFCACHE_FAULT_NAME");
    fake_engine_waits(false);
    peer_start(1);
    assert_int_equal(peer_answer(id), EIO);
    assert_int_equal(peer_answer(bystander), 0);
    assert_int_equal(peer.shared->poisoned, 1);
}

/* ---- many at once */

enum { READS = 4000, BATCH = 64 };

static void many_reads_by_many_threads_get_their_own_bytes(void **state)
{
    pthread_t threads[2];
    uint64_t nodes[] = {peer_id("a"), peer_id("b")};

    (void)state;
    peer_start(4);
    atomic_store(&answering, true);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, answer_all_the_time, NULL), 0);
    for (unsigned i = 0; i < READS; i += BATCH) {
        uint64_t first = peer.unique + 1;
        fake_engine_waits(i / BATCH % 4 != 0);
        for (unsigned k = 0; k < BATCH; k++)
            (void)peer_send_read(nodes[k % 2], (first + k) * 13, 64 + k);
        for (unsigned k = 0; k < BATCH; k++) {
            peer_receive();
            uint64_t nth = peer.packet.out.unique - first;
            assert_true(nth < BATCH && peer.packet.out.error == 0);
            peer_is_content((first + nth) * 13, 64 + nth);
        }
    }
    atomic_store(&answering, false);
    for (unsigned i = 0; i < 2; i++)
        (void)pthread_join(threads[i], NULL);
    peer_stop();
    assert_int_equal(slots_in_use(), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(libfuse_agrees_with_what_the_keeper_negotiated),
        T(libfuse_wants_nothing_that_the_keeper_has_masked),
        T(the_init_request_of_an_older_kernel_is_shorter),
        T(a_broken_init_request_is_refused),
        T(a_descriptor_that_is_none_is_refused),
        T(without_descriptors_it_does_not_start),
#ifndef HFC_SANITIZED
        T(without_threads_it_does_not_start),
#endif
        T(libfuse_reads_nothing_and_speaks_through_the_log),
        T(requests_are_answered_and_their_slots_cleared),
        T(requests_are_counted),
        T(what_would_write_is_refused),
        T(what_is_not_there_is_enosys),
        T(an_interrupt_is_enosys_and_a_forget_has_no_answer),
        T(malformed_requests_are_eio_and_harm_nobody),
        T(the_largest_request_fits),
        T(an_answer_that_is_not_accepted_becomes_eio),
        T(the_end_of_the_mount_is_told_once),
        T(a_descriptor_that_breaks_ends_the_session),
        T(a_failing_poll_ends_the_session),
        T(a_read_that_need_not_wait_is_answered_at_once),
        T(a_read_is_cut_at_the_end_of_the_file),
        T(errors_of_reads_reach_the_reader),
        T(a_read_that_waits_costs_no_thread),
        T(a_waiting_read_is_not_executing),
        T(without_a_parked_slot_a_read_waits_in_its_intake_slot),
        T(all_threads_may_wait_for_room),
        T(a_stop_leaves_a_read_without_room_in_its_slot),
        T(a_drain_waits_for_reads_to_be_answered),
        T(what_is_not_answered_in_time_is_the_successors),
        T(a_drain_lets_an_answer_that_is_being_given_come_to_its_end),
        T(an_answer_after_the_drain_is_not_given),
        T(what_a_predecessor_left_is_executed),
        T(what_waits_again_waits_in_its_slot),
        T(reads_of_nodes_that_nobody_knows_are_stale),
        T(slots_with_impossible_lengths_are_cleared),
        T(suspects_are_executed_alone_before_the_others),
        T(after_three_deaths_a_request_is_eio),
        T(strikes_move_with_a_read_that_is_parked),
        T(a_suspect_without_room_waits_for_those_that_are_parked),
        T(a_stop_during_the_redo_loses_nothing),
        T(the_time_of_a_take_over_is_measured),
        T(a_death_in_the_future_is_no_time),
        T(points_of_faults_are_passed),
        T(a_read_survives_a_death_anywhere),
        T(a_poisonous_request_ends_three_workers_and_no_more),
        T(many_reads_by_many_threads_get_their_own_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
