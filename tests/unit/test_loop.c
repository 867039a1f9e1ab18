/* test_loop.c: the event loop (lib/loop.c). */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "loop.h"

/* What note() writes down, where it may not be const. */
#define NAME(c) ((char[]){c, '\0'})

static struct hfc_loop *loop;
static struct hfc_error err;
static char order[64];
static bool over;
static int pipe_fds[2];

static int setup(void **state)
{
    (void)state;
    (void)alarm(120);
    over = false;
    order[0] = '\0';
    err = (struct hfc_error){0};
    loop = hfc_loop_new(&err);
    return loop != NULL && pipe(pipe_fds) == 0 ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    hfc_loop_free(loop);
    (void)close(pipe_fds[0]);
    if (pipe_fds[1] >= 0)
        (void)close(pipe_fds[1]);
    return 0;
}

static void note(void *ctx)
{
    size_t n = strlen(order);

    assert_true(n + 1 < sizeof(order));
    order[n] = *(const char *)ctx;
    order[n + 1] = '\0';
}

static void end(void *ctx)
{
    (void)ctx;
    over = true;
}

static void run(void)
{
    over = false;
    assert_int_equal(hfc_loop_run(loop, &over, &err), 0);
}

static void timers_fire_in_due_order_and_equals_as_started(void **state)
{
    struct hfc_timer a = {0}, b = {0}, c = {0}, z = {0};

    (void)state;
    hfc_timer_start(loop, &z, 30, end, NULL);
    hfc_timer_start(loop, &c, 20, note, NAME('c'));
    hfc_timer_start(loop, &a, 0, note, NAME('a'));
    hfc_timer_start(loop, &b, 0, note, NAME('b'));
    assert_string_equal(order, "");
    run();
    assert_string_equal(order, "abc");
    assert_null(a.loop);
}

static void a_timer_set_anew_fires_once_at_its_new_time(void **state)
{
    struct hfc_timer a = {0}, b = {0}, z = {0};

    (void)state;
    hfc_timer_start(loop, &a, 0, note, NAME('a'));
    hfc_timer_start(loop, &b, 1, note, NAME('b'));
    hfc_timer_start(loop, &a, 10, note, NAME('A'));
    hfc_timer_start(loop, &z, 20, end, NULL);
    run();
    assert_string_equal(order, "bA");
}

static void a_stopped_timer_does_not_fire(void **state)
{
    struct hfc_timer a = {0}, b = {0}, z = {0};

    (void)state;
    hfc_timer_start(loop, &a, 0, note, NAME('a'));
    hfc_timer_start(loop, &b, 0, note, NAME('b'));
    hfc_timer_start(loop, &z, 1, end, NULL);
    hfc_timer_stop(&a);
    hfc_timer_stop(&a);
    run();
    assert_string_equal(order, "b");
}

static struct hfc_timer *victim;

static void stop_victim(void *ctx)
{
    note(ctx);
    hfc_timer_stop(victim);
    free(victim);
    victim = NULL;
}

static void a_timer_may_stop_one_that_is_due_as_well(void **state)
{
    struct hfc_timer a = {0}, z = {0};

    (void)state;
    victim = calloc(1, sizeof(*victim));
    assert_non_null(victim);
    hfc_timer_start(loop, &a, 0, stop_victim, NAME('a'));
    hfc_timer_start(loop, victim, 0, note, NAME('v'));
    hfc_timer_start(loop, &z, 1, end, NULL);
    run();
    assert_string_equal(order, "a");
}

static struct hfc_timer eager;
static int eager_calls;

static void start_again(void *ctx)
{
    eager_calls++;
    hfc_timer_start(loop, &eager, 0, start_again, ctx);
}

static void a_timer_that_restarts_itself_does_not_keep_the_loop(void **state)
{
    struct hfc_watch w = {0};

    (void)state;
    eager_calls = 0;
    assert_int_equal(write(pipe_fds[1], "x", 1), 1);
    hfc_timer_start(loop, &eager, 0, start_again, NULL);
    hfc_watch_start(loop, &w, pipe_fds[0], end, NULL);
    run();
    assert_true(eager_calls <= 1);
    hfc_timer_stop(&eager);
    hfc_watch_stop(&w);
}

static void drain(void *ctx)
{
    char c;

    assert_int_equal(read(pipe_fds[0], &c, 1), 1);
    note(&c);
    if (c == 'z')
        end(ctx);
}

static void a_watch_is_called_while_there_is_input(void **state)
{
    struct hfc_watch w = {0};

    (void)state;
    assert_int_equal(write(pipe_fds[1], "xyz", 3), 3);
    hfc_watch_start(loop, &w, pipe_fds[0], drain, NULL);
    run();
    assert_string_equal(order, "xyz");
    hfc_watch_stop(&w);
    hfc_watch_stop(&w);
    struct hfc_timer z = {0};
    assert_int_equal(write(pipe_fds[1], "x", 1), 1);
    hfc_timer_start(loop, &z, 5, end, NULL);
    run();
    assert_string_equal(order, "xyz");
}

static void a_watch_sees_that_the_other_side_hung_up(void **state)
{
    struct hfc_watch w = {0};

    (void)state;
    (void)close(pipe_fds[1]);
    pipe_fds[1] = -1;
    hfc_watch_start(loop, &w, pipe_fds[0], end, NULL);
    run();
    hfc_watch_stop(&w);
}

static struct hfc_watch *watches[HFC_WATCHES_MAX];

static void stop_all_watches(void *ctx)
{
    note(NAME('w'));
    for (int i = 0; i < HFC_WATCHES_MAX; i++) {
        hfc_watch_stop(watches[i]);
        free(watches[i]);
    }
    end(ctx);
}

static void a_watch_may_stop_all_others(void **state)
{
    (void)state;
    assert_int_equal(write(pipe_fds[1], "x", 1), 1);
    for (int i = 0; i < HFC_WATCHES_MAX; i++) {
        watches[i] = calloc(1, sizeof(*watches[i]));
        assert_non_null(watches[i]);
        hfc_watch_start(loop, watches[i], pipe_fds[0], stop_all_watches, NULL);
    }
    run();
    assert_string_equal(order, "w");
}

static struct hfc_watch moved, mover;
static int other_fds[2];

static void move_watch(void *ctx)
{
    (void)ctx;
    hfc_watch_stop(&mover);
    hfc_watch_start(loop, &moved, other_fds[0], note, NAME('m'));
}

static void a_watch_moved_to_a_silent_descriptor_is_not_called_for_the_old_one(void **state)
{
    struct hfc_timer z = {0};

    (void)state;
    assert_int_equal(pipe(other_fds), 0);
    assert_int_equal(write(pipe_fds[1], "x", 1), 1);
    hfc_watch_start(loop, &moved, pipe_fds[0], note, NAME('m'));
    hfc_watch_start(loop, &mover, pipe_fds[0], move_watch, NULL);
    hfc_timer_start(loop, &z, 5, end, NULL);
    run();
    assert_string_equal(order, "");
    hfc_watch_stop(&moved);
    (void)close(other_fds[0]);
    (void)close(other_fds[1]);
}

static void a_loop_whose_end_is_reached_calls_nothing(void **state)
{
    struct hfc_timer a = {0};
    bool until = true;

    (void)state;
    hfc_timer_start(loop, &a, 0, note, NAME('a'));
    assert_int_equal(hfc_loop_run(loop, &until, &err), 0);
    assert_string_equal(order, "");
    hfc_timer_stop(&a);
}

static void stop_loop(void *ctx)
{
    (void)ctx;
    hfc_loop_stop(loop);
}

static void a_stop_calls_each_hook_once_and_the_loop_goes_on(void **state)
{
    struct hfc_timer a = {0}, b = {0};
    struct hfc_stop_hook first = {0}, second = {0}, removed = {0};

    (void)state;
    hfc_stop_hook_remove(&removed);
    hfc_stop_hook_add(loop, &first, note, NAME('1'));
    hfc_stop_hook_add(loop, &removed, note, NAME('x'));
    hfc_stop_hook_add(loop, &second, note, NAME('2'));
    hfc_stop_hook_remove(&removed);
    hfc_timer_start(loop, &a, 0, stop_loop, NULL);
    hfc_timer_start(loop, &b, 1, end, NULL);
    assert_false(hfc_loop_stopped(loop));
    run();
    assert_true(hfc_loop_stopped(loop));
    hfc_loop_stop(loop);
    assert_string_equal(order, "21");
    hfc_stop_hook_remove(&first);
    hfc_stop_hook_remove(&second);
}

static struct hfc_stop_hook *hooks[2];

static void remove_hooks(void *ctx)
{
    note(ctx);
    for (int i = 0; i < 2; i++) {
        hfc_stop_hook_remove(hooks[i]);
        free(hooks[i]);
    }
}

static void a_hook_may_remove_itself_and_others(void **state)
{
    struct hfc_stop_hook last = {0}, late = {0};
    char name[] = "r";

    (void)state;
    hfc_stop_hook_add(loop, &last, note, NAME('z'));
    for (int i = 0; i < 2; i++) {
        hooks[i] = calloc(1, sizeof(*hooks[i]));
        assert_non_null(hooks[i]);
        hfc_stop_hook_add(loop, hooks[i], remove_hooks, name);
    }
    hfc_loop_stop(loop);
    assert_string_equal(order, "rz");
    hfc_stop_hook_add(loop, &late, note, NAME('l'));
    hfc_loop_stop(loop); /* that has happened already */
    assert_string_equal(order, "rz");
    hfc_stop_hook_remove(&late);
    hfc_stop_hook_remove(&last);
}

#ifndef __SANITIZE_THREAD__
static void *wake_loop(void *arg)
{
    (void)arg;
    __atomic_store_n(&over, true, __ATOMIC_RELEASE);
    hfc_loop_wake(loop);
    return NULL;
}

/* The flag that the loop reads is a plain one: not for ThreadSanitizer. Without the call the loop
 * would wait for the late timer. */
static void a_waiting_loop_can_be_woken_by_a_thread(void **state)
{
    struct hfc_timer late = {0};
    pthread_t thread;

    (void)state;
    over = false;
    hfc_timer_start(loop, &late, 20000, note, NAME('l'));
    assert_int_equal(pthread_create(&thread, NULL, wake_loop, NULL), 0);
    assert_int_equal(hfc_loop_run(loop, &over, &err), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_string_equal(order, "");
    hfc_timer_stop(&late);
}
#endif

static void a_loop_that_cannot_wait_reports_it(void **state)
{
    struct hfc_watch w[HFC_WATCHES_MAX] = {0};
    struct rlimit limit, low;

    (void)state;
    for (int i = 0; i < HFC_WATCHES_MAX; i++)
        hfc_watch_start(loop, &w[i], pipe_fds[0], end, NULL);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    low = (struct rlimit){.rlim_cur = 2, .rlim_max = limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    assert_int_equal(hfc_loop_run(loop, &over, &err), -1);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(err.errnum, EIO);
    assert_non_null(strstr(err.msg, "event loop"));
    for (int i = 0; i < HFC_WATCHES_MAX; i++)
        hfc_watch_stop(&w[i]);
}

static void without_descriptors_there_is_no_loop(void **state)
{
    struct rlimit limit, low;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    low = (struct rlimit){.rlim_cur = 3, .rlim_max = limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    struct hfc_loop *none = hfc_loop_new(&err);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_null(none);
    assert_int_equal(err.errnum, EMFILE);
}

static void freeing_no_loop_is_fine(void **state)
{
    (void)state;
    hfc_loop_free(NULL);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(timers_fire_in_due_order_and_equals_as_started),
        T(a_timer_set_anew_fires_once_at_its_new_time),
        T(a_stopped_timer_does_not_fire),
        T(a_timer_may_stop_one_that_is_due_as_well),
        T(a_timer_that_restarts_itself_does_not_keep_the_loop),
        T(a_watch_is_called_while_there_is_input),
        T(a_watch_sees_that_the_other_side_hung_up),
        T(a_watch_may_stop_all_others),
        T(a_watch_moved_to_a_silent_descriptor_is_not_called_for_the_old_one),
        T(a_loop_whose_end_is_reached_calls_nothing),
        T(a_stop_calls_each_hook_once_and_the_loop_goes_on),
        T(a_hook_may_remove_itself_and_others),
#ifndef __SANITIZE_THREAD__
        T(a_waiting_loop_can_be_woken_by_a_thread),
#endif
        T(a_loop_that_cannot_wait_reports_it),
        T(without_descriptors_there_is_no_loop),
        T(freeing_no_loop_is_fine),
    };
    return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
