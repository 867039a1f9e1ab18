/* test_mount_strikes.c: which request a worker died of (mount/strikes.c). */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "strikes.h"

static struct shared *shared;

static int setup(void **state)
{
    (void)state;
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return shared != MAP_FAILED ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    return munmap(shared, sizeof(*shared));
}

static void occupy(unsigned intake)
{
    struct fuse_in_header in = {.len = sizeof(in)};

    memcpy(shared->intake[intake].bytes, &in, sizeof(in));
}

static void park(unsigned slot, uint64_t node)
{
    shared->parked[slot].in =
        (struct fuse_in_header){.len = sizeof(struct fuse_in_header), .nodeid = node};
}

static void a_slot_is_executing_while_a_thread_is_at_work_on_it(void **state)
{
    struct slot_state *a = &shared->intake_state[0], *b = &shared->parked[5].state;

    (void)state;
    strikes_enter(a);
    assert_int_equal(a->flags, SLOT_EXECUTING);
    strikes_enter(b); /* answered by the way */
    assert_int_equal(b->flags, SLOT_EXECUTING);
    strikes_leave(b);
    assert_int_equal(b->flags, 0);
    assert_int_equal(a->flags, SLOT_EXECUTING);
    strikes_leave(a);
    assert_int_equal(a->flags, 0);
}

static void who_comes_through_is_no_suspect_any_more(void **state)
{
    struct slot_state *a = &shared->intake_state[0];

    (void)state;
    a->flags = SLOT_SUSPECT;
    strikes_enter(a);
    assert_int_equal(a->flags, SLOT_SUSPECT | SLOT_EXECUTING);
    strikes_leave(a);
    assert_int_equal(a->flags, 0);
}

static void judging_gives_strikes_to_those_at_work_and_those_blamed(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++)
        occupy(i);
    park(8, 2);
    shared->intake_state[0].flags = SLOT_EXECUTING;
    shared->intake_state[1].flags = SLOT_BLAMED;
    shared->intake_state[2].flags = 0;
    shared->intake_state[3].flags = SLOT_EXECUTING | SLOT_BLAMED;
    shared->parked[8].state.flags = SLOT_BLAMED;
    assert_int_equal(strikes_judge(shared), 4);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(shared->intake_state[i].strikes, i == 2 ? 0 : 1);
        assert_int_equal(shared->intake_state[i].flags, i == 2 ? 0 : SLOT_SUSPECT);
    }
    assert_int_equal(shared->parked[8].state.strikes, 1);
    assert_int_equal(shared->parked[8].state.flags, SLOT_SUSPECT);
}

static void a_suspect_that_was_not_at_work_keeps_its_strikes_and_stays_one(void **state)
{
    (void)state;
    occupy(0);
    occupy(1);
    shared->intake_state[0] = (struct slot_state){SLOT_SUSPECT, 1};
    shared->intake_state[1] = (struct slot_state){SLOT_SUSPECT | SLOT_EXECUTING, 1};
    assert_int_equal(strikes_judge(shared), 2);
    assert_int_equal(shared->intake_state[0].strikes, 1);
    assert_int_equal(shared->intake_state[0].flags, SLOT_SUSPECT);
    assert_int_equal(shared->intake_state[1].strikes, 2);
}

static void an_empty_slot_has_no_strikes(void **state)
{
    (void)state;
    shared->intake_state[7] = (struct slot_state){SLOT_EXECUTING, 2};
    shared->parked[7].state = (struct slot_state){SLOT_BLAMED, 2};
    assert_int_equal(strikes_judge(shared), 0);
    assert_int_equal(shared->intake_state[7].strikes, 0);
    assert_int_equal(shared->intake_state[7].flags, 0);
    assert_int_equal(shared->parked[7].state.strikes, 0);
}

static void the_third_strike_is_the_last(void **state)
{
    struct slot_state *a = &shared->intake_state[0];

    (void)state;
    occupy(0);
    for (unsigned i = 0; i < STRIKES_MAX; i++) {
        assert_false(strikes_out(a));
        strikes_enter(a);
        (void)strikes_judge(shared);
        strikes_leave(a);
    }
    assert_true(strikes_out(a));
    strikes_clear(a);
    assert_false(strikes_out(a));
    assert_int_equal(a->flags, 0);
}

#ifndef HFC_SANITIZED

/* The signal by which a process ends that does this. */
static int end_of(void (*what)(void))
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        const struct rlimit none = {0, 0};
        (void)setrlimit(RLIMIT_CORE, &none);
        strikes_setup(shared);
        what();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static volatile int *volatile nowhere;

static void crash_at_work(void)
{
    strikes_enter(&shared->intake_state[3]);
    strikes_enter(&shared->parked[4].state);
    *nowhere = 1;
}

static void a_crash_blames_the_slot_of_its_thread(void **state)
{
    (void)state;
    assert_int_equal(end_of(crash_at_work), SIGSEGV);
    assert_int_equal(shared->parked[4].state.flags, SLOT_EXECUTING | SLOT_BLAMED);
    assert_int_equal(shared->intake_state[3].flags, SLOT_EXECUTING);
}

static void abort_at_work(void)
{
    strikes_enter(&shared->intake_state[3]);
    abort();
}

static void a_failed_assertion_is_a_crash(void **state)
{
    (void)state;
    assert_int_equal(end_of(abort_at_work), SIGABRT);
    assert_int_equal(shared->intake_state[3].flags, SLOT_EXECUTING | SLOT_BLAMED);
}

static void crash_for_a_blob(void)
{
    strikes_blob(0x1000);
    *nowhere = 1;
}

static void a_crash_on_behalf_of_a_blob_blames_its_readers(void **state)
{
    (void)state;
    park(0, 0x1000);
    park(1, 0x1001); /* the same blob, opened in another way */
    park(2, 0x2000);
    shared->parked[3].in.nodeid = 0x1000; /* free */
    assert_int_equal(end_of(crash_for_a_blob), SIGSEGV);
    assert_int_equal(shared->parked[0].state.flags, SLOT_BLAMED);
    assert_int_equal(shared->parked[1].state.flags, SLOT_BLAMED);
    assert_int_equal(shared->parked[2].state.flags, 0);
    assert_int_equal(shared->parked[3].state.flags, 0);
}

static void crash_after_work(void)
{
    park(0, 0x1000);
    strikes_blob(0x1000);
    strikes_blob(0);
    strikes_enter(&shared->intake_state[0]);
    strikes_leave(&shared->intake_state[0]);
    *nowhere = 1;
}

static void a_crash_of_nobody_in_particular_blames_nobody(void **state)
{
    (void)state;
    assert_int_equal(end_of(crash_after_work), SIGSEGV);
    assert_int_equal(shared->parked[0].state.flags, 0);
    assert_int_equal(shared->intake_state[0].flags, 0);
}

/* In this process, which goes on: the handler passes on a signal that is ignored. */
static void the_handler_looks_at_its_own_thread_first(void **state)
{
    struct sigaction installed, before;

    (void)state;
    assert_int_equal(sigaction(SIGFPE, NULL, &before), 0);
    strikes_setup(shared);
    assert_int_equal(sigaction(SIGFPE, NULL, &installed), 0);
    assert_int_equal(sigaction(SIGFPE, &before, NULL), 0);
    park(0, 0x1000);
    park(1, 0x2000);
    strikes_blob(0x1000);
    strikes_enter(&shared->intake_state[0]);
    installed.sa_handler(SIGURG);
    assert_int_equal(shared->intake_state[0].flags, SLOT_EXECUTING | SLOT_BLAMED);
    assert_int_equal(shared->parked[0].state.flags, 0);
    strikes_leave(&shared->intake_state[0]);
    installed.sa_handler(SIGURG);
    strikes_blob(0);
    assert_int_equal(shared->parked[0].state.flags, SLOT_BLAMED);
    assert_int_equal(shared->parked[1].state.flags, 0);
}

static char *volatile last_frame;

static unsigned deeper(unsigned n);
static unsigned (*volatile step)(unsigned) = deeper; /* unseen by the compiler */

static unsigned deeper(unsigned n)
{
    char frame[4096];

    memset(frame, (int)n, sizeof(frame));
    last_frame = frame;
    return step(n + 1) + (unsigned char)frame[n % sizeof(frame)];
}

static void use_up_the_stack(void)
{
    const struct rlimit small = {256 * 1024, 256 * 1024};

    (void)setrlimit(RLIMIT_STACK, &small);
    strikes_enter(&shared->intake_state[1]);
    (void)step(0);
}

static void a_stack_that_is_used_up_is_blamed_as_well(void **state)
{
    (void)state;
    assert_int_equal(end_of(use_up_the_stack), SIGSEGV);
    assert_int_equal(shared->intake_state[1].flags, SLOT_EXECUTING | SLOT_BLAMED);
}

#endif

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_slot_is_executing_while_a_thread_is_at_work_on_it),
        T(who_comes_through_is_no_suspect_any_more),
        T(judging_gives_strikes_to_those_at_work_and_those_blamed),
        T(a_suspect_that_was_not_at_work_keeps_its_strikes_and_stays_one),
        T(an_empty_slot_has_no_strikes),
        T(the_third_strike_is_the_last),
#ifndef HFC_SANITIZED
        T(a_crash_blames_the_slot_of_its_thread),
        T(a_failed_assertion_is_a_crash),
        T(a_crash_on_behalf_of_a_blob_blames_its_readers),
        T(a_crash_of_nobody_in_particular_blames_nobody),
        T(the_handler_looks_at_its_own_thread_first),
        T(a_stack_that_is_used_up_is_blamed_as_well),
#endif
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
