/* test_lock.c: the lock of a bucket (refresh/lock.c, refresh/lock_holder.c), on a store in memory
 * that does as it is told, and on a directory.
 */
#include <assert.h>
#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "index.h"
#include "lock_internal.h"
#include "store_internal.h"

/* A store with one object. What the next operations of a kind do is scripted. */

enum { SCRIPT_MAX = 64 };

struct act {
    int errnum;  /* 0: well */
    bool silent; /* does its work, but ends with the error all the same */
    bool hang;   /* no answer until stub_answer() */
};

struct stub {
    struct hfc_store base;
    bool plain; /* knows no conditions: EINVAL */
    bool exists;
    char object[8192];
    size_t size;
    int64_t modified;
    unsigned version;
    struct act script[HFC_OP_KINDS][SCRIPT_MAX];
    unsigned scripted[HFC_OP_KINDS]; /* where the script ends */
    unsigned done[HFC_OP_KINDS];
    struct hfc_store_op *hanging;
    void (*after)(struct stub *s, enum hfc_op_kind kind); /* something happens behind it */
};

static struct hfc_loop *loop;
static struct hfc_error err;
static struct stub *stub;
static int64_t now_s;

static struct stub *stub_of(struct hfc_store_op *op)
{
    return (struct stub *)(void *)op->store;
}

static void tag(const struct stub *s, char *etag)
{
    (void)snprintf(etag, HFC_ETAG_MAX, "v%u", s->version);
}

static int refusal(const struct stub *s, const struct hfc_store_op *op)
{
    char etag[HFC_ETAG_MAX];

    if (op->kind == HFC_OP_GET)
        return s->exists ? 0 : ENOENT;
    if (op->kind != HFC_OP_PUT || op->condition == HFC_ALWAYS)
        return 0;
    if (s->plain)
        return EINVAL;
    if (op->condition == HFC_IF_ABSENT)
        return s->exists ? EEXIST : 0;
    tag(s, etag);
    return !s->exists ? ENOENT : strcmp(etag, op->if_match) != 0 ? ESTALE : 0;
}

static void work(struct stub *s, struct hfc_store_op *op)
{
    if (op->kind == HFC_OP_DELETE) {
        s->exists = false;
    } else if (op->kind == HFC_OP_PUT) {
        assert(op->body.size < sizeof(s->object));
        s->size = (size_t)op->body.read(op->body.ctx, 0, s->object, sizeof(s->object) - 1);
        assert(s->size == op->body.size);
        s->object[s->size] = '\0';
        s->exists = true;
        s->modified = now_s;
        s->version++;
    } else {
        (void)op->call.data(op->ctx, s->object, s->size / 2);
        (void)op->call.data(op->ctx, s->object + s->size / 2, s->size - s->size / 2);
    }
}

static void end(struct stub *s, struct hfc_store_op *op, int errnum)
{
    struct hfc_store_reply reply = {.object = {.size = s->size, .modified = s->modified}};
    struct hfc_error e;

    tag(s, reply.object.etag);
    (void)hfc_error_set(&e, errnum, "%s", op->key);
    if (s->after != NULL)
        s->after(s, op->kind);
    hfc_store_op_end(op, &reply, errnum != 0 ? &e : NULL);
}

static void start(struct hfc_store_op *op)
{
    struct stub *s = stub_of(op);
    unsigned n = s->done[op->kind]++;
    struct act act = n < SCRIPT_MAX ? s->script[op->kind][n] : (struct act){0};
    int errnum = act.errnum != 0 && !act.silent ? act.errnum : refusal(s, op);

    assert_string_equal(op->key, HFC_LOCK_KEY);
    if (errnum == 0)
        work(s, op);
    if (act.hang)
        s->hanging = op;
    else
        end(s, op, act.silent && errnum == 0 ? act.errnum : errnum);
}

static void stub_answer(void)
{
    struct hfc_store_op *op = stub->hanging;

    assert_non_null(op);
    stub->hanging = NULL;
    end(stub, op, 0);
}

static void release_op(struct hfc_store_op *op)
{
    if (stub->hanging == op)
        stub->hanging = NULL;
}

static void close_stub(struct hfc_store *s)
{
    (void)s; /* static */
}

static void scripted(enum hfc_op_kind kind, struct act act)
{
    unsigned *next = &stub->scripted[kind];

    if (*next < stub->done[kind])
        *next = stub->done[kind];
    assert(*next < SCRIPT_MAX);
    stub->script[kind][(*next)++] = act;
}

static const struct hfc_store_backend backend = {
    .op_size = sizeof(struct hfc_store_op),
    .start = {[HFC_OP_GET] = start, [HFC_OP_PUT] = start, [HFC_OP_DELETE] = start},
    .release = release_op,
    .close = close_stub,
};

/* Somebody's side of a lock, and what it hears. */
struct side {
    struct lock *lock;
    bool done, lost, released;
    int done_errnum, release_errnum;
    char error[HFC_ERROR_MAX], lost_error[HFC_ERROR_MAX], said[HFC_ERROR_MAX];
    unsigned times_said, times_done, times_lost;
};

static struct side one, two;

static int64_t fake_now(void)
{
    return now_s;
}

static const struct lock_times quick = {
    .expires = 120000, .renew = 20, .poll = 2, .settle = 2, .grace = 10000, .now = fake_now};
static const struct lock_times calm = {
    .expires = 120000, .renew = 60000, .poll = 2, .settle = 2, .grace = 10000, .now = fake_now};

static int setup(void **state)
{
    static struct stub the_stub;
    const struct hfc_store_config config = {0};

    (void)state;
    now_s = 1714564800;
    stub = &the_stub;
    *stub = (struct stub){0};
    one = two = (struct side){0};
    loop = hfc_loop_new(&err);
    hfc_store_init(&stub->base, &backend, loop, "s3://bucket", "", &config);
    return loop != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    lock_free(one.lock);
    lock_free(two.lock);
    hfc_store_close(&stub->base);
    hfc_loop_free(loop);
    return 0;
}

static void on_say(void *ctx, const char *text)
{
    struct side *s = ctx;

    s->times_said++;
    (void)snprintf(s->said, sizeof(s->said), "%s", text);
}

static void on_done(void *ctx, const struct hfc_error *e)
{
    struct side *s = ctx;

    s->done = true;
    s->times_done++;
    s->done_errnum = e != NULL ? e->errnum : 0;
    (void)snprintf(s->error, sizeof(s->error), "%s", e != NULL ? e->msg : "");
}

static void on_lost(void *ctx, const struct hfc_error *e)
{
    struct side *s = ctx;

    s->lost = true;
    s->times_lost++;
    assert_int_equal(e->errnum, ESTALE);
    assert_false(lock_held(s->lock));
    (void)snprintf(s->lost_error, sizeof(s->lost_error), "%s", e->msg);
}

static void on_released(void *ctx, const struct hfc_error *e)
{
    struct side *s = ctx;

    s->released = true;
    s->release_errnum = e != NULL ? e->errnum : 0;
}

static void run(const bool *until)
{
    assert_int_equal(hfc_loop_run(loop, until, &err), 0);
}

static void set_true(void *ctx)
{
    *(bool *)ctx = true;
}

static void run_for(int64_t ms)
{
    bool over = false;
    struct hfc_timer t = {0};

    hfc_timer_start(loop, &t, ms, set_true, &over);
    run(&over);
}

/* Until so many operations of the kind were started. */
static void run_until(enum hfc_op_kind kind, unsigned n)
{
    while (stub->done[kind] < n)
        run_for(1);
}

static void acquire_in(struct side *s, struct hfc_store *store, const struct lock_times *times,
                       int64_t wait_ms)
{
    s->lock = lock_new_with(loop, store, times);
    lock_acquire(s->lock, wait_ms, on_say, on_done, on_lost, s);
    assert_false(s->done); /* never from within */
}

static void acquire(struct side *s, const struct lock_times *times, int64_t wait_ms)
{
    acquire_in(s, &stub->base, times, wait_ms);
    run(&s->done);
}

static void get_lock(struct side *s, const struct lock_times *times)
{
    acquire(s, times, 0);
    assert_string_equal(s->error, "");
    assert_true(lock_held(s->lock));
}

static void release(struct side *s)
{
    lock_release(s->lock, on_released, s);
    assert_false(s->released);
    assert_false(lock_held(s->lock));
    run(&s->released);
}

/* Puts a lock of somebody else there. */
static void place(const char *process, int64_t expires)
{
    stub->size = (size_t)snprintf(stub->object, sizeof(stub->object),
                                  "{\"version\": 1, \"owner\": \"other pid 7\", \"process\": "
                                  "\"%s\", \"token\": \"abc\", \"since\": %lld, \"expires\": %lld}",
                                  process, (long long)now_s - 35, (long long)expires);
    stub->exists = true;
    stub->modified = now_s - 35;
    stub->version++;
}

static void place_text(const char *text, int64_t modified)
{
    stub->size = (size_t)snprintf(stub->object, sizeof(stub->object), "%s", text);
    stub->exists = true;
    stub->modified = modified;
    stub->version++;
}

static void assert_has(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("not found: %s\nin: %s", part, text);
}

static void assert_holder(const struct side *s)
{
    struct lock_holder h;

    (void)s;
    assert_true(stub->exists && lock_holder_read(stub->object, stub->size, &h));
    assert_string_not_equal(h.token, "abc");
    assert_int_equal(h.expires, now_s + 120);
}

/* Getting it and giving it back. */

static void a_free_lock_is_taken_with_one_put_and_given_back_with_one_delete(void **state)
{
    struct lock_holder h;

    (void)state;
    get_lock(&one, &calm);
    assert_true(lock_holder_read(stub->object, stub->size, &h));
    assert_has(h.owner, " pid ");
    assert_int_equal(h.since, now_s);
    assert_int_equal(h.expires, now_s + 120);
    assert_int_equal(strlen(h.token), 32);
    assert_int_equal(one.times_said, 0);
    release(&one);
    assert_int_equal(one.release_errnum, 0);
    assert_false(stub->exists);
    assert_int_equal(stub->done[HFC_OP_PUT], 1);
    assert_int_equal(stub->done[HFC_OP_GET], 0);
    assert_int_equal(stub->done[HFC_OP_DELETE], 1);
}

static void it_can_be_taken_again_after_a_release(void **state)
{
    (void)state;
    get_lock(&one, &calm);
    release(&one);
    one.done = false;
    now_s += 5;
    lock_acquire(one.lock, 0, on_say, on_done, on_lost, &one);
    run(&one.done);
    assert_true(lock_held(one.lock));
    assert_holder(&one);
}

static void the_public_constructor_uses_the_public_times(void **state)
{
    struct lock_holder h;

    (void)state;
    one.lock = lock_new(loop, &stub->base);
    lock_acquire(one.lock, LOCK_WAIT_MS, NULL, on_done, on_lost, &one);
    run(&one.done);
    assert_true(lock_held(one.lock));
    assert_true(lock_holder_read(stub->object, stub->size, &h));
    assert_int_equal(h.expires - h.since, LOCK_EXPIRES_S);
    assert_in_range(h.since, (int64_t)time(NULL) - 60, (int64_t)time(NULL));
}

static void a_second_one_is_told_once_and_gives_up_at_the_end_of_its_patience(void **state)
{
    (void)state;
    get_lock(&one, &calm);
    now_s += 35;
    acquire(&two, &calm, 300);
    assert_int_equal(two.done_errnum, EBUSY);
    assert_has(two.error, "lock of s3://bucket: held by ");
    assert_has(two.error, ", since 2024-05-01T12:00:00Z, expires in 85 s");
    assert_int_equal(two.times_said, 1);
    assert_has(two.said, "waiting for the lock of ");
    assert_has(two.said, " on s3://bucket, since 2024-05-01T12:00:00Z, expires in 85 s");
    assert_true(stub->done[HFC_OP_GET] >= 2);
    assert_int_equal(stub->done[HFC_OP_PUT], 2);
    assert_false(lock_held(two.lock));
    assert_true(lock_held(one.lock));
    release(&two); /* of nothing */
    assert_true(stub->exists);
}

static void who_has_no_patience_does_not_wait(void **state)
{
    (void)state;
    place("", now_s + 100);
    acquire(&one, &calm, 0);
    assert_int_equal(one.done_errnum, EBUSY);
    assert_int_equal(one.times_said, 0);
    assert_int_equal(stub->done[HFC_OP_GET], 1);
}

static void a_second_one_gets_it_when_the_first_gives_it_back(void **state)
{
    (void)state;
    get_lock(&one, &calm);
    acquire_in(&two, &stub->base, &calm, 600000);
    run_until(HFC_OP_GET, 2);
    assert_false(two.done);
    release(&one);
    run(&two.done);
    assert_true(lock_held(two.lock));
    assert_false(one.lost);
}

/* Taking over. */

static void an_expired_lock_is_taken_over_after_the_grace(void **state)
{
    (void)state;
    place("", now_s - 9);
    acquire(&one, &calm, 0);
    assert_int_equal(one.done_errnum, EBUSY);
    now_s += 1;
    get_lock(&two, &calm);
    assert_has(two.said, "taking over the lock of other pid 7");
    assert_has(two.said, "it has expired");
    assert_holder(&two);
}

static void what_is_no_lock_is_replaced_once_it_is_old(void **state)
{
    static const char dead[] = "{\"owner\": \"x\", \"token\": \"t\", \"expires\": 1}";
    static char huge[LOCK_BYTES_MAX + 100];
    static const char *const texts[] = {"",
                                        "not json",
                                        "[]",
                                        "{\"owner\": \"x\"}",
                                        "{\"owner\": \"x\", \"token\": \"t\", \"expires\": -1}",
                                        "{\"owner\":\"x\",\"token\":\"t\",\"expires\":"
                                        "253402300800}",
                                        "{\"owner\":\"x\",\"token\":\"t\",\"since\":-5,\"expires\":"
                                        "1}",
                                        huge};

    (void)state;
    memset(huge, ' ', sizeof(huge) - 1);
    memcpy(huge, dead, strlen(dead)); /* and blanks behind it */
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        place_text(texts[i], now_s - 129);
        acquire(&one, &calm, 0);
        assert_int_equal(one.done_errnum, EBUSY);
        assert_has(one.error, "held by somebody unknown on s3://bucket");
        place_text(texts[i], 0); /* a server that does not tell */
        one.done = false;
        lock_acquire(one.lock, 0, on_say, on_done, on_lost, &one);
        run(&one.done);
        assert_int_equal(one.done_errnum, EBUSY);
        place_text(texts[i], now_s - 130);
        get_lock(&two, &calm);
        lock_free(one.lock);
        lock_free(two.lock);
        one = two = (struct side){0};
    }
}

/* The process text of a child that has ended. */
static void dead_process(char process[LOCK_PROCESS_SIZE])
{
    int fds[2], status;
    struct lock_holder h;

    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        lock_holder_self(&h);
        _Exit(write(fds[1], h.process, sizeof(h.process)) == (ssize_t)sizeof(h.process) ? 0 : 1);
    }
    assert_int_equal(read(fds[0], process, LOCK_PROCESS_SIZE), LOCK_PROCESS_SIZE);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

static void the_lock_of_a_process_that_is_gone_is_taken_over_at_once(void **state)
{
    char process[LOCK_PROCESS_SIZE];

    (void)state;
    dead_process(process);
    place(process, now_s + 100);
    get_lock(&one, &calm);
    assert_has(one.said, "its process is gone");
    assert_holder(&one);
}

static void only_a_process_that_was_here_is_known_to_be_gone(void **state)
{
    struct lock_holder self;
    char dead[LOCK_PROCESS_SIZE], text[LOCK_PROCESS_SIZE + 40];

    (void)state;
    lock_holder_self(&self);
    dead_process(dead);
    assert_true(lock_process_gone(dead));
    assert_false(lock_process_gone(self.process));
    assert_false(lock_process_gone(""));
    assert_false(lock_process_gone("boot/1/1/1"));
    /* The boot's identity or the namespace is another one. */
    (void)snprintf(text, sizeof(text), "x%s", dead + 1);
    assert_false(lock_process_gone(text));
    char *ns = strchr(dead, '/');
    (void)snprintf(text, sizeof(text), "%.*s/1%s", (int)(ns - dead), dead, strchr(ns + 1, '/'));
    assert_false(lock_process_gone(text));
    /* The number was used again: this process with another start time. */
    char *start_time = strrchr(self.process, '/');
    (void)snprintf(text, sizeof(text), "%.*s/1", (int)(start_time - self.process), self.process);
    assert_true(lock_process_gone(text));
    /* Nonsense where the numbers should be. */
    (void)snprintf(text, sizeof(text), "%.*s", (int)(start_time - self.process), self.process);
    assert_false(lock_process_gone(text));
    (void)snprintf(text, sizeof(text), "%.*s/", (int)(start_time - self.process), self.process);
    assert_false(lock_process_gone(text));
    char *pid = memrchr(self.process, '/', (size_t)(start_time - self.process));
    (void)snprintf(text, sizeof(text), "%.*s/-5/7", (int)(pid - self.process), self.process);
    assert_false(lock_process_gone(text));
}

static void of_two_that_take_over_one_wins(void **state)
{
    (void)state;
    place("", now_s - 100);
    acquire_in(&one, &stub->base, &calm, 600000);
    acquire_in(&two, &stub->base, &calm, 600000);
    while (!one.done && !two.done)
        run_for(1);
    struct side *winner = one.done ? &one : &two, *other = one.done ? &two : &one;
    run_for(10);
    assert_true(lock_held(winner->lock));
    assert_false(other->done);
    release(winner);
    run(&other->done);
    assert_true(lock_held(other->lock));
}

static void vanish(struct stub *s, enum hfc_op_kind kind)
{
    if (kind == HFC_OP_GET)
        s->exists = false;
}

static void a_dead_lock_that_vanishes_meanwhile_is_no_trouble(void **state)
{
    (void)state;
    place("", now_s - 100);
    stub->after = vanish;
    get_lock(&one, &calm);
}

static void change(struct stub *s, enum hfc_op_kind kind)
{
    s->version += kind == HFC_OP_GET;
}

static void a_dead_lock_that_always_changes_is_not_fought_for_in_a_hurry(void **state)
{
    (void)state;
    place("", now_s - 100);
    stub->after = change;
    acquire(&one, &calm, 0);
    assert_int_equal(one.done_errnum, EBUSY);
    assert_int_equal(stub->done[HFC_OP_PUT], 4);
}

static void a_store_that_contradicts_itself_is_not_asked_in_a_hurry(void **state)
{
    (void)state;
    for (int i = 0; i < SCRIPT_MAX; i++) {
        stub->script[HFC_OP_PUT][i] = (struct act){.errnum = EEXIST};
        stub->script[HFC_OP_GET][i] = (struct act){.errnum = ENOENT};
    }
    acquire(&one, &calm, 0);
    assert_int_equal(one.done_errnum, EBUSY);
    assert_int_equal(stub->done[HFC_OP_PUT], 4);
}

/* Failures. */

static void refusals_are_told_as_they_are(void **state)
{
    static const int fatal[] = {EACCES, ENOENT, ECANCELED};

    (void)state;
    for (size_t i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++) {
        scripted(HFC_OP_PUT, (struct act){.errnum = fatal[i]});
        acquire(&one, &calm, 1000);
        assert_int_equal(one.done_errnum, fatal[i]);
        assert_has(one.error, "lock of s3://bucket: " HFC_LOCK_KEY);
        assert_false(lock_held(one.lock));
        lock_free(one.lock);
        one = (struct side){0};
    }
    assert_int_equal(stub->done[HFC_OP_GET], 0);
}

static void an_answer_that_was_lost_is_no_failure(void **state)
{
    (void)state;
    scripted(HFC_OP_PUT, (struct act){.errnum = EAGAIN, .silent = true});
    get_lock(&one, &quick);
    assert_int_equal(stub->done[HFC_OP_GET], 1);
    run_until(HFC_OP_PUT, 3); /* it is renewed with the right ETag */
    assert_int_equal(stub->done[HFC_OP_GET], 1);
    assert_false(one.lost);
    release(&one);
    lock_free(one.lock);
    one = (struct side){0};
    /* The store's own second try met the object of the first. */
    *stub = (struct stub){.base = stub->base};
    scripted(HFC_OP_PUT, (struct act){.errnum = EEXIST, .silent = true});
    get_lock(&one, &calm);
}

static void a_put_that_failed_is_told_as_what_it_was(void **state)
{
    (void)state;
    scripted(HFC_OP_PUT, (struct act){.errnum = EAGAIN});
    acquire(&one, &calm, 1000);
    assert_int_equal(one.done_errnum, EAGAIN);
    scripted(HFC_OP_PUT, (struct act){.errnum = ENOTCONN});
    scripted(HFC_OP_GET, (struct act){.errnum = EIO});
    acquire(&two, &calm, 1000);
    assert_int_equal(two.done_errnum, ENOTCONN);
}

static void a_look_that_fails_is_told(void **state)
{
    (void)state;
    place("", now_s + 100);
    scripted(HFC_OP_GET, (struct act){.errnum = EIO});
    acquire(&one, &calm, 1000);
    assert_int_equal(one.done_errnum, EIO);
}

static void a_lock_that_comes_too_late_is_none(void **state)
{
    struct lock_times short_lived = calm;

    (void)state;
    short_lived.expires = 0;
    acquire(&one, &short_lived, 0);
    assert_int_equal(one.done_errnum, EAGAIN);
    assert_has(one.error, "longer to get than it lives");
}

/* Renewal. */

static void it_is_renewed_in_time(void **state)
{
    struct lock_holder h;

    (void)state;
    get_lock(&one, &quick);
    int64_t since = now_s, until = one.lock->valid_until;
    for (unsigned i = 0; i < 3; i++) {
        now_s += 30;
        run_until(HFC_OP_PUT, 2 + i);
        assert_true(lock_holder_read(stub->object, stub->size, &h));
        assert_int_equal(h.expires, now_s + 120);
        assert_int_equal(h.since, since);
    }
    run_for(1);
    assert_true(lock_held(one.lock));
    assert_true(one.lock->valid_until >= until + 60);
    assert_true(one.lock->expiry.due >= until + 60);
    release(&one);
    assert_false(stub->exists);
    assert_int_equal(one.times_done, 1);
}

static void a_renewal_that_fails_is_tried_again(void **state)
{
    (void)state;
    get_lock(&one, &quick);
    scripted(HFC_OP_PUT, (struct act){.errnum = EAGAIN});
    scripted(HFC_OP_PUT, (struct act){.errnum = EACCES});
    scripted(HFC_OP_PUT, (struct act){.errnum = ENOTCONN, .silent = true});
    run_until(HFC_OP_PUT, 7); /* two after the fifth, which found that the fourth had worked */
    assert_true(lock_held(one.lock));
    assert_false(one.lost);
    assert_int_equal(stub->done[HFC_OP_GET], 1);
}

static void an_answer_to_a_renewal_that_was_lost_is_recognised(void **state)
{
    (void)state;
    get_lock(&one, &quick);
    int64_t until = one.lock->valid_until;
    scripted(HFC_OP_PUT, (struct act){.errnum = ESTALE, .silent = true});
    run_until(HFC_OP_GET, 1);
    run_for(1);
    assert_true(one.lock->valid_until >= until + 20); /* it counts as a renewal */
    run_until(HFC_OP_PUT, 4);
    assert_true(lock_held(one.lock));
    assert_int_equal(stub->done[HFC_OP_GET], 1);
}

static void a_lock_that_can_not_be_renewed_is_lost_when_it_expires(void **state)
{
    struct lock_times short_lived = quick;

    (void)state;
    short_lived.expires = 400;
    get_lock(&one, &short_lived);
    for (int i = 0; i < SCRIPT_MAX; i++)
        stub->script[HFC_OP_PUT][i] = (struct act){.errnum = ENOTCONN};
    run(&one.lost);
    assert_has(one.lost_error, "lock of s3://bucket: it could not be renewed in time: ");
    assert_has(one.lost_error, "Transport endpoint is not connected");
    assert_int_equal(one.times_lost, 1);
    release(&one);
    assert_true(stub->exists); /* it may be another one's by now */
    assert_int_equal(stub->done[HFC_OP_DELETE], 0);
}

static void a_renewal_without_an_answer_does_not_hide_the_loss(void **state)
{
    struct lock_times short_lived = quick;

    (void)state;
    short_lived.expires = 400;
    get_lock(&one, &short_lived);
    scripted(HFC_OP_PUT, (struct act){.hang = true});
    run(&one.lost);
    assert_has(one.lost_error, "could not be renewed in time");
    release(&one);
    assert_int_equal(one.times_lost, 1);
}

static void a_lock_that_was_taken_is_lost(void **state)
{
    (void)state;
    get_lock(&one, &quick);
    place("", now_s + 100);
    run(&one.lost);
    assert_has(one.lost_error, "lock of s3://bucket: it was taken by other pid 7");
    release(&one);
    assert_true(stub->exists);
    lock_free(one.lock);
    one = (struct side){0};
    stub->exists = false;
    get_lock(&one, &quick);
    place_text("?", now_s);
    run(&one.lost);
    assert_has(one.lost_error, "taken by somebody unknown");
}

static void a_lock_that_was_deleted_is_lost(void **state)
{
    (void)state;
    get_lock(&one, &quick);
    stub->exists = false;
    run(&one.lost);
    assert_has(one.lost_error, "somebody deleted it");
}

static void a_look_during_renewal_that_fails_is_made_again(void **state)
{
    (void)state;
    get_lock(&one, &quick);
    scripted(HFC_OP_PUT, (struct act){.errnum = ESTALE});
    scripted(HFC_OP_PUT, (struct act){.errnum = ESTALE});
    scripted(HFC_OP_GET, (struct act){.errnum = EIO});
    run_until(HFC_OP_PUT, 5);
    assert_true(lock_held(one.lock));
    assert_int_equal(stub->done[HFC_OP_GET], 2);
}

/* Servers that know no conditions. */

static void without_conditions_a_look_afterwards_tells_who_has_it(void **state)
{
    (void)state;
    stub->plain = true;
    get_lock(&one, &quick);
    assert_int_equal(stub->done[HFC_OP_PUT], 2); /* refused; plain */
    assert_int_equal(stub->done[HFC_OP_GET], 2); /* before and after */
    acquire(&two, &quick, 10);
    assert_int_equal(two.done_errnum, EBUSY);
    now_s += 30;
    run_until(HFC_OP_PUT, 5);
    assert_true(lock_held(one.lock));
    assert_holder(&one);
    release(&one);
    assert_false(stub->exists);
}

static void overwrite(struct stub *s, enum hfc_op_kind kind)
{
    if (kind != HFC_OP_PUT || s->done[HFC_OP_PUT] != 2)
        return;
    place("", now_s + 100);
}

static void without_conditions_the_last_one_to_write_has_it(void **state)
{
    (void)state;
    stub->plain = true;
    stub->after = overwrite;
    acquire(&one, &calm, 10);
    assert_int_equal(one.done_errnum, EBUSY);
    assert_has(one.error, "other pid 7");
    assert_int_equal(stub->done[HFC_OP_PUT], 2);
}

static void without_conditions_a_dead_lock_is_overwritten(void **state)
{
    (void)state;
    stub->plain = true;
    place("", now_s - 100);
    get_lock(&one, &calm);
    assert_holder(&one);
}

static void without_conditions_a_lock_that_was_taken_is_lost_too(void **state)
{
    (void)state;
    stub->plain = true;
    get_lock(&one, &quick);
    place("", now_s + 100);
    run(&one.lost);
    assert_has(one.lost_error, "taken by other pid 7");
}

static void conditions_may_turn_out_to_be_unknown_at_the_renewal(void **state)
{
    (void)state;
    get_lock(&one, &quick);
    stub->plain = true;
    run_until(HFC_OP_PUT, 4);
    assert_true(lock_held(one.lock));
    assert_false(one.lost);
}

static void a_put_that_is_impossible_anyway_is_told(void **state)
{
    (void)state;
    scripted(HFC_OP_PUT, (struct act){.errnum = EINVAL});
    scripted(HFC_OP_PUT, (struct act){.errnum = EINVAL});
    acquire(&one, &calm, 1000);
    assert_int_equal(one.done_errnum, EINVAL);
    assert_int_equal(stub->done[HFC_OP_PUT], 2);
}

/* Release and end. */

static void a_deletion_that_fails_is_told(void **state)
{
    (void)state;
    get_lock(&one, &calm);
    scripted(HFC_OP_DELETE, (struct act){.errnum = EACCES});
    release(&one);
    assert_int_equal(one.release_errnum, EACCES);
}

static void a_release_waits_for_the_renewal_under_way(void **state)
{
    (void)state;
    get_lock(&one, &quick);
    scripted(HFC_OP_PUT, (struct act){.hang = true});
    run_until(HFC_OP_PUT, 2);
    lock_release(one.lock, on_released, &one);
    run_for(5);
    assert_false(one.released);
    assert_int_equal(stub->done[HFC_OP_DELETE], 0);
    stub_answer();
    run(&one.released);
    assert_false(stub->exists);
    assert_int_equal(one.times_done, 1);
}

static void a_release_waits_for_a_look_under_way_and_leaves_what_is_not_ours(void **state)
{
    (void)state;
    stub->plain = true;
    get_lock(&one, &quick);
    scripted(HFC_OP_GET, (struct act){.hang = true});
    run_until(HFC_OP_GET, 3);
    lock_release(one.lock, on_released, &one);
    place("", now_s + 100);
    stub_answer();
    run(&one.released);
    assert_true(stub->exists);
}

static void a_release_breaks_off_a_put_and_cleans_up_after_it(void **state)
{
    (void)state;
    scripted(HFC_OP_PUT, (struct act){.hang = true}); /* written, but no answer */
    acquire_in(&one, &stub->base, &calm, 1000);
    run_until(HFC_OP_PUT, 1);
    assert_true(stub->exists);
    release(&one);
    assert_true(one.done);
    assert_int_equal(one.done_errnum, ECANCELED);
    assert_int_equal(one.times_done, 1);
    assert_false(stub->exists);
}

static void a_release_breaks_off_waiting(void **state)
{
    (void)state;
    place("", now_s + 100);
    acquire_in(&one, &stub->base, &calm, 600000);
    while (one.times_said == 0)
        run_for(1);
    while (stub->done[HFC_OP_GET] < 2)
        run_for(1);
    release(&one);
    assert_int_equal(one.done_errnum, ECANCELED);
    assert_true(stub->exists);
    /* And while it looks. */
    one.done = one.released = false;
    scripted(HFC_OP_GET, (struct act){.hang = true});
    lock_acquire(one.lock, 1000, on_say, on_done, on_lost, &one);
    while (stub->hanging == NULL)
        run_for(1);
    stub->exists = false;
    release(&one);
    assert_int_equal(one.done_errnum, ECANCELED);
    assert_int_equal(one.release_errnum, 0);
}

static void a_release_that_can_not_look_tells_so(void **state)
{
    (void)state;
    place("", now_s + 100);
    acquire_in(&one, &stub->base, &calm, 600000);
    while (one.times_said == 0)
        run_for(1);
    stub->done[HFC_OP_GET] = 0;
    for (int i = 0; i < SCRIPT_MAX; i++)
        stub->script[HFC_OP_GET][i] = (struct act){.errnum = EIO};
    lock_release(one.lock, on_released, &one);
    run(&one.released);
    assert_int_equal(one.release_errnum, EIO);
}

static void a_stop_ends_waiting(void **state)
{
    const struct lock_times patient = {.expires = 120000,
                                       .renew = 60000,
                                       .poll = 600000,
                                       .settle = 2,
                                       .grace = 10000,
                                       .now = fake_now};

    (void)state;
    place("", now_s + 100);
    acquire_in(&one, &stub->base, &patient, 600000);
    while (one.times_said == 0)
        run_for(1);
    hfc_loop_stop(loop);
    run(&one.done);
    assert_int_equal(one.done_errnum, ECANCELED);
    acquire_in(&two, &stub->base, &patient, 600000); /* after the stop */
    run(&two.done);
    assert_int_equal(two.done_errnum, ECANCELED);
}

static void a_stop_leaves_a_lock_that_is_held(void **state)
{
    (void)state;
    get_lock(&one, &calm);
    hfc_loop_stop(loop);
    assert_true(lock_held(one.lock));
    release(&one);
    assert_false(stub->exists);
}

static void it_may_be_freed_at_any_time_before_its_store_is_closed(void **state)
{
    (void)state;
    lock_free(NULL);
    get_lock(&one, &calm);
    lock_free(one.lock);
    one = (struct side){0};
    place("", now_s + 100);
    scripted(HFC_OP_GET, (struct act){.hang = true});
    acquire_in(&one, &stub->base, &calm, 1000);
    run_until(HFC_OP_GET, 1); /* teardown frees it and closes the store */
}

/* What stands in the object. */

static void a_holder_is_read_as_it_was_written(void **state)
{
    hfc_autobuf struct hfc_buf text = HFC_BUF(LOCK_BYTES_MAX);
    struct lock_holder h, back, other;

    (void)state;
    lock_holder_self(&h);
    lock_holder_self(&other);
    assert_string_not_equal(h.token, other.token);
    assert_string_equal(h.process, other.process);
    h.since = 12;
    h.expires = 132;
    lock_holder_write(&h, &text);
    assert_true(lock_holder_read(text.data, text.len, &back));
    assert_string_equal(back.owner, h.owner);
    assert_string_equal(back.process, h.process);
    assert_string_equal(back.token, h.token);
    assert_int_equal(back.since, 12);
    assert_int_equal(back.expires, 132);
    assert_false(lock_holder_read(text.data, text.len - 2, &back));
    const char *least = "{\"owner\": \"a\", \"token\": \"b\", \"expires\": 1}";
    assert_true(lock_holder_read(least, strlen(least), &back));
    assert_string_equal(back.process, "");
}

/* The same on a directory. */

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st, (void)kind, (void)at;
    return remove(path);
}

static void it_works_on_a_directory(void **state)
{
    char dir[] = "/tmp/hfc-test-lock-XXXXXX", url[64], path[100];
    const struct hfc_store_config config = {.http.connections = 4, .retry = HFC_RETRY_DEFAULT};

    (void)state;
    assert_non_null(mkdtemp(dir));
    (void)snprintf(url, sizeof(url), "file://%s", dir);
    (void)snprintf(path, sizeof(path), "%s/%s", dir, HFC_LOCK_KEY);
    struct hfc_store *store = hfc_store_open(loop, url, &config, &err);
    assert_non_null(store);
    acquire_in(&one, store, &quick, 0);
    run(&one.done);
    assert_true(lock_held(one.lock));
    acquire_in(&two, store, &quick, 600000);
    while (two.times_said == 0)
        run_for(1);
    run_for(50); /* one is renewed */
    assert_true(lock_held(one.lock));
    release(&one);
    run(&two.done);
    assert_true(lock_held(two.lock));
    assert_int_equal(access(path, R_OK), 0);
    release(&two);
    assert_int_not_equal(access(path, R_OK), 0);
    lock_free(one.lock);
    lock_free(two.lock);
    one.lock = two.lock = NULL;
    hfc_store_close(store);
    assert_int_equal(nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_free_lock_is_taken_with_one_put_and_given_back_with_one_delete),
        T(it_can_be_taken_again_after_a_release),
        T(the_public_constructor_uses_the_public_times),
        T(a_second_one_is_told_once_and_gives_up_at_the_end_of_its_patience),
        T(who_has_no_patience_does_not_wait),
        T(a_second_one_gets_it_when_the_first_gives_it_back),
        T(an_expired_lock_is_taken_over_after_the_grace),
        T(what_is_no_lock_is_replaced_once_it_is_old),
        T(the_lock_of_a_process_that_is_gone_is_taken_over_at_once),
        T(only_a_process_that_was_here_is_known_to_be_gone),
        T(of_two_that_take_over_one_wins),
        T(a_dead_lock_that_vanishes_meanwhile_is_no_trouble),
        T(a_dead_lock_that_always_changes_is_not_fought_for_in_a_hurry),
        T(a_store_that_contradicts_itself_is_not_asked_in_a_hurry),
        T(refusals_are_told_as_they_are),
        T(an_answer_that_was_lost_is_no_failure),
        T(a_put_that_failed_is_told_as_what_it_was),
        T(a_look_that_fails_is_told),
        T(a_lock_that_comes_too_late_is_none),
        T(it_is_renewed_in_time),
        T(a_renewal_that_fails_is_tried_again),
        T(an_answer_to_a_renewal_that_was_lost_is_recognised),
        T(a_lock_that_can_not_be_renewed_is_lost_when_it_expires),
        T(a_renewal_without_an_answer_does_not_hide_the_loss),
        T(a_lock_that_was_taken_is_lost),
        T(a_lock_that_was_deleted_is_lost),
        T(a_look_during_renewal_that_fails_is_made_again),
        T(without_conditions_a_look_afterwards_tells_who_has_it),
        T(without_conditions_the_last_one_to_write_has_it),
        T(without_conditions_a_dead_lock_is_overwritten),
        T(without_conditions_a_lock_that_was_taken_is_lost_too),
        T(conditions_may_turn_out_to_be_unknown_at_the_renewal),
        T(a_put_that_is_impossible_anyway_is_told),
        T(a_deletion_that_fails_is_told),
        T(a_release_waits_for_the_renewal_under_way),
        T(a_release_waits_for_a_look_under_way_and_leaves_what_is_not_ours),
        T(a_release_breaks_off_a_put_and_cleans_up_after_it),
        T(a_release_breaks_off_waiting),
        T(a_release_that_can_not_look_tells_so),
        T(a_stop_ends_waiting),
        T(a_stop_leaves_a_lock_that_is_held),
        T(it_may_be_freed_at_any_time_before_its_store_is_closed),
        T(a_holder_is_read_as_it_was_written),
        T(it_works_on_a_directory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
