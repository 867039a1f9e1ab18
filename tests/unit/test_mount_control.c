/* test_mount_control.c: what the worker answers to status, warm, drop and scrub (mount/control*.c).
 *
 * Clients are descriptors on the same loop; time that has to pass is added to the clock.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "control_internal.h"
#include "fake_parts.h"
#include "metrics.h"

enum { MIB = 1024 * 1024, PATIENCE_MS = 60000, CLIENTS = 6, LINES = 64 };

/* The clock: see mk/test.mk. */
static _Atomic int64_t skew;
int64_t __real_hfc_now_ms(void);
int64_t __wrap_hfc_now_ms(void);

int64_t __wrap_hfc_now_ms(void)
{
    return __real_hfc_now_ms() + skew;
}

struct client {
    int fd;
    struct hfc_watch watch;
    struct hfc_buf in;
    json_t *lines[LINES];
    unsigned n;
    bool ended;
};

static struct hfc_loop *loop;
static struct control *control;
static struct client clients[CLIENTS];
static struct hfc_timer alarm_timer, poll_timer;
static struct hfc_error err;
static bool woken;
static void (*extra_status)(void *ctx, void *json_object);

static void give_status(void *ctx, void *json_object)
{
    if (extra_status != NULL)
        extra_status(ctx, json_object);
}

static void start(uint64_t rate)
{
    const struct control_config config = {
        .loop = loop, .scrub_rate = rate, .status = give_status, .ctx = &clients};

    control = control_new(&config, &err);
    assert_non_null(control);
}

static int setup(void **state)
{
    (void)state;
    skew = 0;
    extra_status = NULL;
    loop = hfc_loop_new(&err);
    for (unsigned i = 0; i < CLIENTS; i++)
        clients[i] = (struct client){.fd = -1, .in = HFC_BUF(1 << 20)};
    start(0);
    return loop != NULL ? 0 : -1;
}

static void leave(struct client *c)
{
    hfc_watch_stop(&c->watch);
    hfc_cleanup_close(&c->fd);
    c->fd = -1;
}

static int teardown(void **state)
{
    (void)state;
    fake_join();
    control_free(control);
    for (unsigned i = 0; i < CLIENTS; i++) {
        leave(&clients[i]);
        hfc_buf_free(&clients[i].in);
        for (unsigned k = 0; k < clients[i].n; k++)
            json_decref(clients[i].lines[k]);
    }
    hfc_timer_stop(&alarm_timer);
    hfc_timer_stop(&poll_timer);
    hfc_loop_free(loop);
    unsigned uses = fake_uses();
    fake_reset();
    if (uses != 0)
        print_error("%u uses of blobs were not given back\n", uses);
    return uses == 0 ? 0 : -1;
}

/* Turns of the loop. */

static void give_up(void *ctx)
{
    (void)ctx;
    fail_msg("nothing happens");
}

static void wake(void *ctx)
{
    (void)ctx;
    woken = true;
}

/* Until condition() is true. It is looked at now and then, and when a client hears something. */
static void run_until(bool (*condition)(void))
{
    hfc_timer_start(loop, &alarm_timer, PATIENCE_MS, give_up, NULL);
    while (!condition()) {
        woken = false;
        hfc_timer_start(loop, &poll_timer, 10, wake, NULL);
        assert_int_equal(hfc_loop_run(loop, &woken, &err), 0);
    }
    hfc_timer_stop(&alarm_timer);
}

/* What is there to do now is done. */
static void turn(void)
{
    for (int i = 0; i < 3; i++) {
        woken = false;
        hfc_timer_start(loop, &poll_timer, 0, wake, NULL);
        assert_int_equal(hfc_loop_run(loop, &woken, &err), 0);
    }
}

static void take_lines(struct client *c)
{
    const char *newline;

    while ((newline = memchr(c->in.data, '\n', c->in.len)) != NULL) {
        size_t n = (size_t)(newline - c->in.data);
        json_error_t fault;
        assert_true(c->n < LINES);
        c->lines[c->n] = json_loadb(c->in.data, n, 0, &fault);
        if (c->lines[c->n] == NULL)
            fail_msg("no JSON: %.*s", (int)n, c->in.data);
        c->n++;
        memmove(c->in.data, newline + 1, c->in.len - n - 1);
        c->in.len -= n + 1;
    }
}

static void heard(void *ctx)
{
    struct client *c = ctx;
    char bytes[4096];
    ssize_t n = recv(c->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

    woken = true;
    if (n > 0) {
        hfc_buf_add(&c->in, bytes, (size_t)n);
        take_lines(c);
    } else if (n == 0 || errno != EAGAIN) {
        c->ended = true;
        hfc_watch_stop(&c->watch);
    }
}

static void join_up(struct client *c, bool listening)
{
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    c->fd = ends[0];
    if (listening)
        hfc_watch_start(loop, &c->watch, c->fd, heard, c);
    control_connect(control, ends[1]);
}

static void say(struct client *c, const char *text)
{
    assert_int_equal(send(c->fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static bool first_ended(void)
{
    return clients[0].ended;
}

/* The last line of the answer; the others before it are in clients[0]. */
static const json_t *ask(const char *text)
{
    struct client *c = &clients[0];

    join_up(c, true);
    say(c, text);
    run_until(first_ended);
    if (c->n == 0)
        fail_msg("no answer to %s", text);
    assert_true(json_is_true(json_object_get(c->lines[c->n - 1], "end")));
    return c->lines[c->n - 1];
}

static const char *error_of(const json_t *line)
{
    return json_string_value(json_object_get(line, "error"));
}

static void assert_error(const json_t *line, const char *part)
{
    if (error_of(line) == NULL || strstr(error_of(line), part) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", part, error_of(line) != NULL ? error_of(line) : "-");
}

static void assert_fine(const json_t *line)
{
    if (error_of(line) != NULL)
        fail_msg("%s", error_of(line));
}

static json_int_t number(const json_t *line, const char *name)
{
    return json_integer_value(json_object_get(line, name));
}

/* What is told of the n-th model. */
static const json_t *done(unsigned n)
{
    for (unsigned i = 0; i < clients[0].n; i++) {
        const json_t *d = json_object_get(clients[0].lines[i], "done");
        if (d != NULL && n-- == 0)
            return d;
    }
    fail_msg("no such line");
    return NULL;
}

/* A model of three files: 10 blocks, a small one, an empty one; and a ref. */
#define MODEL "hub/models--o--m/"
static const struct hfc_entry entries[] = {
    {.key = "hub/datasets--o--d/snapshots/c/x", .etag = "e0", .size = 5},
    {.key = MODEL "refs/main", .etag = "", .commit = "0123456789012345678901234567890123456789"},
    {.key = MODEL "snapshots/c/config.json", .etag = "e1", .size = 100},
    {.key = MODEL "snapshots/c/empty", .etag = "e2", .size = 0},
    {.key = MODEL "snapshots/c/w.safetensors", .etag = "e3", .size = 10 * BLOCK_SIZE - 7},
};
enum { MODEL_BYTES = 100 + 10 * BLOCK_SIZE - 7 };

static void plant(void)
{
    fake_tree(entries, HFC_ARRAY_LEN(entries));
}

static struct blob *blob_of(const char *part)
{
    for (unsigned i = 0; i < FAKE_BLOBS; i++)
        if (fake.blobs[i].info.id != 0 && strstr(fake.blobs[i].info.key, part) != NULL)
            return &fake.blobs[i];
    fail_msg("no blob of %s", part);
    return NULL;
}

/* Commands. */

static void what_is_no_command_is_refused(void **state)
{
    static const struct {
        const char *text, *why;
    } bad[] = {{"hello\n", "an object in JSON"},
               {"[1]\n", "an object in JSON"},
               {"{\"command\": \"status\", \"command\": \"warm\"}\n", "an object in JSON"},
               {"{}\n", "no such command"},
               {"{\"command\": 5}\n", "no such command"},
               {"{\"command\": \"explode\"}\n", "no such command"},
               {"{\"command\": \"warm\"}\n", "no models"},
               {"{\"command\": \"warm\", \"models\": []}\n", "no models"},
               {"{\"command\": \"drop\", \"models\": \"o/m\"}\n", "no models"},
               {"{\"command\": \"warm\", \"models\": [5]}\n", "a model's name is a string"},
               {"{\"command\": \"drop\", \"models\": [\"o/m\", \"../x\"]}\n", "is no model"}};

    (void)state;
    for (size_t i = 0; i < HFC_ARRAY_LEN(bad); i++) {
        struct client *c = &clients[0];
        assert_error(ask(bad[i].text), bad[i].why);
        leave(c);
        json_decref(c->lines[0]);
        c->n = 0;
        c->ended = false;
    }
}

static void a_command_may_come_in_pieces(void **state)
{
    (void)state;
    join_up(&clients[0], true);
    say(&clients[0], "{\"command\": ");
    turn();
    say(&clients[0], "\"status\"}\nand more that nobody reads\n");
    run_until(first_ended);
    assert_int_equal(clients[0].n, 1);
    assert_int_equal(number(clients[0].lines[0], "worker_pid"), getpid());
}

static void a_command_has_a_limit(void **state)
{
    hfc_autofree char *text = malloc(CONTROL_LINE_MAX + 2);

    (void)state;
    memset(text, ' ', CONTROL_LINE_MAX + 1);
    text[CONTROL_LINE_MAX + 1] = '\0';
    assert_error(ask(text), "the command is too long");
}

static void add_to_status(void *ctx, void *object)
{
    assert_ptr_equal(ctx, &clients);
    (void)json_object_set_new(object, "store", json_string("s3://b"));
}

static void status_tells_everything(void **state)
{
    static const char *const members[] = {"memory", "cache",  "tree",      "reads", "fetches",
                                          "verify", "kernel", "takeovers", "scrub"};

    (void)state;
    plant();
    extra_status = add_to_status;
    const json_t *s = ask("{\"command\": \"status\"}\n");
    assert_fine(s);
    for (size_t i = 0; i < HFC_ARRAY_LEN(members); i++)
        if (!json_is_object(json_object_get(s, members[i])))
            fail_msg("there is no %s", members[i]);
    assert_int_equal(number(json_object_get(s, "cache"), "limit"), 4000);
    assert_int_equal(number(json_object_get(s, "reads"), "waiting"), 3);
    assert_true(json_real_value(json_object_get(json_object_get(s, "reads"), "oldest_s")) == 1.5);
    assert_true(json_real_value(json_object_get(json_object_get(s, "tree"), "age_s")) == 2.5);
    assert_int_equal(number(json_object_get(s, "tree"), "bytes"), MODEL_BYTES + 5 + 40);
    assert_string_equal(json_string_value(json_object_get(s, "store")), "s3://b");
    assert_string_equal(json_string_value(json_object_get(s, "version")), HFC_VERSION);
}

static void status_without_a_tree(void **state)
{
    (void)state;
    const json_t *tree = json_object_get(ask("{\"command\": \"status\"}\n"), "tree");
    assert_true(json_is_null(json_object_get(tree, "age_s")));
    assert_int_equal(number(tree, "names"), 0);
}

/* Clients. */

static void too_many_clients_are_refused(void **state)
{
    (void)state;
    for (unsigned i = 1; i <= CONTROL_CLIENTS_MAX; i++)
        join_up(&clients[i], true);
    join_up(&clients[0], true);
    run_until(first_ended);
    assert_error(clients[0].lines[0], "too many clients");
    leave(&clients[1]);
    leave(&clients[0]);
    turn();
    clients[0].ended = false;
    assert_fine(ask("{\"command\": \"status\"}\n"));
}

static void a_client_that_says_nothing_is_hung_up_on(void **state)
{
    (void)state;
    join_up(&clients[0], true);
    turn();
    assert_false(clients[0].ended);
    skew += CONTROL_COMMAND_MS + 1;
    run_until(first_ended);
    assert_int_equal(clients[0].n, 0);
}

static void a_client_that_leaves_at_once_is_forgotten(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2 * CONTROL_CLIENTS_MAX; i++) {
        join_up(&clients[1], false);
        leave(&clients[1]);
        turn();
    }
    assert_fine(ask("{\"command\": \"status\"}\n"));
}

static void a_descriptor_that_can_not_be_watched_is_closed(void **state)
{
    FILE *f = tmpfile();

    (void)state;
    int fd = dup(fileno(f));
    (void)fclose(f);
    control_connect(control, fd); /* epoll takes no files */
    assert_int_equal(close(fd), -1);
}

static void fill_status(void *ctx, void *object)
{
    hfc_autofree char *text = malloc(2 * MIB);

    (void)ctx;
    memset(text, 'x', MIB);
    text[MIB / 8] = '\0';
    (void)json_object_set_new(object, "long", json_string(text));
}

static bool all_is_read(void)
{
    return control->clients[0].fd < 0;
}

/* The first answer does not fit into the socket; who reads nothing of it is hung up on. */
static void a_client_that_does_not_read_is_hung_up_on(void **state)
{
    const int small = 4096;

    (void)state;
    extra_status = fill_status;
    join_up(&clients[0], false);
    assert_int_equal(
        setsockopt(control->clients[0].fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
    say(&clients[0], "{\"command\": \"status\"}\n");
    turn();
    assert_true(control->clients[0].fd >= 0 && control->clients[0].out.len > 0);
    skew += CONTROL_STUCK_MS + 1;
    run_until(all_is_read);
}

static void a_client_that_reads_slowly_gets_everything(void **state)
{
    const int small = 4096;

    (void)state;
    extra_status = fill_status;
    join_up(&clients[0], false);
    assert_int_equal(
        setsockopt(control->clients[0].fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
    say(&clients[0], "{\"command\": \"status\"}\n");
    turn();
    assert_true(control->clients[0].fd >= 0);
    hfc_watch_start(loop, &clients[0].watch, clients[0].fd, heard, &clients[0]);
    run_until(first_ended);
    assert_int_equal(clients[0].n, 1);
    assert_int_equal(strlen(json_string_value(json_object_get(clients[0].lines[0], "long"))),
                     MIB / 8);
}

static void overfill_status(void *ctx, void *object)
{
    char name[32];

    (void)ctx;
    for (unsigned i = 0; i < 4; i++) {
        (void)snprintf(name, sizeof(name), "long%u", i);
        fill_status(ctx, object);
        (void)json_object_set(object, name, json_object_get(object, "long"));
    }
}

static void an_answer_beyond_the_cap_is_none(void **state)
{
    (void)state;
    extra_status = overfill_status;
    join_up(&clients[0], true);
    say(&clients[0], "{\"command\": \"status\"}\n");
    run_until(first_ended);
    assert_int_equal(clients[0].n, 0);
}

static void a_client_that_is_gone_when_it_is_answered(void **state)
{
    (void)state;
    join_up(&clients[0], false);
    say(&clients[0], "{\"command\": \"status\"}\n");
    leave(&clients[0]);
    turn();
    assert_true(all_is_read());
}

static void without_descriptors_there_is_no_control(void **state)
{
    const struct control_config config = {.loop = loop};
    struct rlimit old, none;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    none = (struct rlimit){0, old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    struct control *c = control_new(&config, &err);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_null(c);
    assert_int_equal(err.errnum, EMFILE);
    control_free(NULL);
}

/* Warm. */

static void warming_reads_all_that_is_missing(void **state)
{
    (void)state;
    plant();
    fake.threads = true;
    assert_fine(ask("{\"command\": \"warm\", \"models\": [\"o/m\"]}\n"));
    const json_t *d = done(0);
    assert_fine(d);
    assert_int_equal(number(d, "files"), 2);
    assert_int_equal(number(d, "files_done"), 2);
    assert_int_equal(number(d, "bytes"), MODEL_BYTES);
    assert_int_equal(number(d, "bytes_done"), MODEL_BYTES);
    assert_int_equal(fake.read_bytes, MODEL_BYTES);
    assert_int_equal(fake.reads, 4); /* 100 bytes; 4, 4 and 2 blocks */
    assert_true(blob_complete(blob_of("w.safetensors")));
}

static void what_is_there_is_not_read_again(void **state)
{
    (void)state;
    plant();
    assert_fine(ask("{\"command\": \"warm\", \"models\": [\"o/m\"]}\n"));
    assert_int_equal(fake.forgotten, 2); /* once for each file */
    leave(&clients[0]);
    json_decref(clients[0].lines[--clients[0].n]);
    json_decref(clients[0].lines[--clients[0].n]);
    clients[0].ended = false;
    fake.reads = fake.forgotten = 0;
    assert_fine(ask("{\"command\": \"warm\", \"models\": [\"o/m\"]}\n"));
    assert_int_equal(fake.reads, 0);
    assert_int_equal(fake.forgotten, 0);
    assert_int_equal(number(done(0), "bytes_done"), MODEL_BYTES);
}

static void holes_are_filled(void **state)
{
    (void)state;
    plant();
    assert_fine(ask("{\"command\": \"warm\", \"models\": [\"o/m\"]}\n"));
    struct blob *b = blob_of("w.safetensors");
    b->there[2] = b->there[9] = false;
    leave(&clients[0]);
    json_decref(clients[0].lines[--clients[0].n]);
    json_decref(clients[0].lines[--clients[0].n]);
    clients[0].ended = false;
    fake.reads = 0;
    assert_fine(ask("{\"command\": \"warm\", \"models\": [\"o/m\"]}\n"));
    assert_int_equal(fake.reads, 2);
    assert_true(blob_complete(b));
}

static bool many_wait(void)
{
    return fake.n_waiting == WARM_READS;
}

static void only_so_many_reads_are_under_way(void **state)
{
    const struct hfc_entry large = {
        .key = MODEL "snapshots/c/large", .etag = "e", .size = 300ULL * BLOCK_SIZE};

    (void)state;
    fake_tree(&large, 1);
    fake.held = true;
    join_up(&clients[0], true);
    say(&clients[0], "{\"command\": \"warm\", \"models\": [\"o/m\"]}\n");
    run_until(many_wait);
    turn();
    assert_int_equal(fake.reads, WARM_READS);
    fake.threads = true;
    fake_release();
    run_until(first_ended);
    assert_int_equal(fake.reads, 75);
    assert_true(fake.most_under_way <= WARM_READS);
    assert_fine(done(0));
}

static bool told_of_progress(void)
{
    return clients[0].n > 0;
}

static void progress_is_told(void **state)
{
    (void)state;
    plant();
    fake.held = true;
    join_up(&clients[0], true);
    say(&clients[0], "{\"command\": \"warm\", \"models\": [\"o/m\"]}\n");
    run_until(told_of_progress);
    const json_t *p = json_object_get(clients[0].lines[0], "progress");
    assert_string_equal(json_string_value(json_object_get(p, "model")), "o/m");
    assert_int_equal(number(p, "bytes"), MODEL_BYTES);
    assert_int_equal(number(p, "bytes_done"), 0);
    fake_release();
    run_until(first_ended);
}

static void several_models_one_of_which_is_not_there(void **state)
{
    (void)state;
    plant();
    assert_error(
        ask("{\"command\": \"warm\", \"models\": [\"datasets/o/d\", \"o/none\", \"o/m\"]}\n"),
        "1 of 3 models are not in the cache in full");
    assert_fine(done(0));
    assert_int_equal(number(done(0), "bytes"), 5);
    assert_error(done(1), "there is no such model in the store");
    assert_fine(done(2));
}

static void a_read_that_fails_is_told_with_its_file(void **state)
{
    (void)state;
    plant();
    fake.errnum = ESTALE;
    fake.failing = "w.safetensors";
    assert_error(ask("{\"command\": \"warm\", \"models\": [\"o/m\"]}\n"), "1 of 1");
    assert_error(done(0), "w.safetensors: Stale file handle");
    assert_int_equal(number(done(0), "files_done"), 1);
    assert_true(blob_complete(blob_of("config.json")));
}

/* Nobody waits for the timeout of each of a thousand reads. */
static void a_store_that_is_away_is_given_up(void **state)
{
    struct hfc_entry many[100];
    char keys[100][64];

    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        (void)snprintf(keys[i], sizeof(keys[i]), MODEL "snapshots/c/f%02u", i);
        many[i] = (struct hfc_entry){.key = keys[i], .etag = "e", .size = 1};
    }
    fake_tree(many, 100);
    fake.errnum = EIO;
    assert_error(ask("{\"command\": \"warm\", \"models\": [\"o/m\"]}\n"), "1 of 1");
    assert_int_equal(fake.reads, 2 * WARM_READS);
    assert_error(done(0), "f00: Input/output error");
}

static void what_is_not_kept_is_an_error(void **state)
{
    (void)state;
    plant();
    fake.forgetful = true;
    join_up(&clients[0], true);
    say(&clients[0], "{\"command\": \"warm\", \"models\": [\"o/m\"]}\n");
    run_until(told_of_progress);
    assert_int_equal(fake.reads, 4);
    skew += 3600 * 1000; /* more than anybody waits for a disk */
    run_until(first_ended);
    assert_error(done(0), "--cache-size may be too small");
    assert_int_equal(number(done(0), "files_done"), 0);
}

static void a_slow_disk_is_waited_for(void **state)
{
    (void)state;
    plant();
    fake.slow_writes = true;
    join_up(&clients[0], true);
    say(&clients[0], "{\"command\": \"warm\", \"models\": [\"o/m\"]}\n");
    run_until(told_of_progress);
    assert_false(clients[0].ended);
    fake_settle();
    run_until(first_ended);
    assert_fine(done(0));
    assert_int_equal(fake.reads, 4);
}

static void without_a_place_for_blobs_nothing_is_read(void **state)
{
    (void)state;
    plant();
    fake.full = true;
    assert_error(ask("{\"command\": \"warm\", \"models\": [\"o/m\"]}\n"), "1 of 1");
    assert_error(done(0), "too many objects are in use");
    fake.full = false;
}

static bool no_warm(void)
{
    for (unsigned i = 0; i < CONTROL_WARMS_MAX; i++)
        if (control->warms[i] != NULL)
            return false;
    return true;
}

static void a_client_that_leaves_ends_its_warming(void **state)
{
    const struct hfc_entry large = {
        .key = MODEL "snapshots/c/large", .etag = "e", .size = 300ULL * BLOCK_SIZE};

    (void)state;
    fake_tree(&large, 1);
    fake.held = true;
    join_up(&clients[1], true);
    say(&clients[1], "{\"command\": \"warm\", \"models\": [\"o/m\"]}\n");
    run_until(many_wait);
    leave(&clients[1]);
    turn();
    assert_false(no_warm()); /* its reads are somebody's memory */
    assert_int_equal(control->clients[0].fd, -1);
    fake_release();
    run_until(no_warm);
    assert_int_equal(fake.reads, WARM_READS);
    assert_fine(ask("{\"command\": \"status\"}\n"));
}

static bool told_to_wait(void)
{
    return clients[2].ended;
}

static void only_so_many_warm_at_once(void **state)
{
    const struct hfc_entry large = {
        .key = MODEL "snapshots/c/large", .etag = "e", .size = 300ULL * BLOCK_SIZE};

    (void)state;
    fake_tree(&large, 1);
    fake.held = true;
    for (unsigned i = 0; i <= CONTROL_WARMS_MAX; i++) {
        join_up(&clients[i], true);
        say(&clients[i], "{\"command\": \"warm\", \"models\": [\"o/m\"]}\n");
    }
    run_until(told_to_wait);
    assert_error(clients[2].lines[0], "others are warming models");
    /* Left as it is: what is under way ends with the worker. */
    control_free(hfc_steal_ptr(&control));
    fake.n_waiting = 0;
}

static void a_place_is_kept_for_status(void **state)
{
    (void)state;
    fake.endless = 1;
    for (unsigned i = 1; i < CONTROL_CLIENTS_MAX; i++) {
        join_up(&clients[i], true);
        say(&clients[i], "{\"command\": \"drop\", \"models\": [\"o/m\"]}\n");
        turn();
    }
    assert_error(ask("{\"command\": \"scrub\"}\n"), "too many commands are running");
    leave(&clients[0]);
    clients[0].ended = false;
    assert_fine(ask("{\"command\": \"status\"}\n"));
    fake.endless = 0;
}

/* Drop. */

static void dropping_takes_every_version(void **state)
{
    (void)state;
    plant();
    struct blob *now = fake_cached(100, MODEL "snapshots/c/config.json", 100, 1);
    struct blob *old = fake_cached(102, MODEL "snapshots/old/x", BLOCK_SIZE, 1);
    struct blob *data = fake_cached(104, "hub/datasets--o--d/snapshots/c/x", 5, 1);
    struct blob *other = fake_cached(106, "hub/models--o--m2/x", 5, 1);
    assert_fine(ask("{\"command\": \"drop\", \"models\": [\"o/m\", \"datasets/o/d\"]}\n"));
    assert_int_equal(number(done(0), "objects"), 2);
    assert_int_equal(number(done(0), "bytes"), 100 + BLOCK_SIZE);
    assert_int_equal(number(done(1), "objects"), 1);
    assert_false(now->known || old->known || data->known);
    assert_true(other->known);
    assert_int_equal(fake.forgotten, 3);
}

static void many_objects_are_dropped_turn_by_turn(void **state)
{
    (void)state;
    plant();
    for (unsigned i = 1; i <= 100; i++)
        (void)fake_cached(2 * i, MODEL "x", 10, 1);
    assert_fine(ask("{\"command\": \"drop\", \"models\": [\"o/m\"]}\n"));
    assert_int_equal(number(done(0), "objects"), 100);
}

static void dropping_what_is_not_cached_is_fine(void **state)
{
    (void)state;
    plant();
    assert_fine(ask("{\"command\": \"drop\", \"models\": [\"o/m\"]}\n"));
    assert_int_equal(number(done(0), "objects"), 0);
}

static void dropping_what_nobody_knows_is_an_error(void **state)
{
    (void)state;
    plant();
    assert_error(ask("{\"command\": \"drop\", \"models\": [\"o/m\", \"o/none\"]}\n"),
                 "some of the models are not known");
    assert_fine(done(0));
    assert_error(done(1), "there is no such model");
}

static bool clients_are_gone(void)
{
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
        if (control->clients[i].fd >= 0)
            return false;
    return true;
}

static void a_client_that_leaves_ends_its_dropping(void **state)
{
    (void)state;
    fake.endless = 1;
    join_up(&clients[0], true);
    say(&clients[0], "{\"command\": \"drop\", \"models\": [\"o/m\"]}\n");
    turn();
    assert_true(fake.endless > 1);
    leave(&clients[0]);
    run_until(clients_are_gone);
    fake.endless = 0;
}

/* Scrub. */

static void scrubbing_looks_at_everything(void **state)
{
    uint64_t runs = metric_get(M_SCRUB_RUNS);

    (void)state;
    fake_cached(2, "right", 2 * BLOCK_SIZE, 2)->can_verify = true;
    struct blob *wrong = fake_cached(4, "wrong", BLOCK_SIZE, 1);
    wrong->can_verify = wrong->wrong_digest = true;
    (void)fake_cached(6, "without digest", 70 * BLOCK_SIZE, 70);
    struct blob *part = fake_cached(8, "part", 10 * BLOCK_SIZE, 3);
    part->can_verify = part->wrong[1] = true;
    (void)fake_cached(10, "empty", 10 * BLOCK_SIZE, 0);
    const json_t *s = ask("{\"command\": \"scrub\"}\n");
    assert_error(s, "wrong bytes were found");
    assert_int_equal(number(s, "objects_done"), 5);
    assert_int_equal(number(s, "objects"), 12); /* 7 is what cache_stats() has anyway */
    assert_int_equal(number(s, "verified"), 1);
    assert_int_equal(number(s, "wrong"), 2);
    assert_int_equal(number(s, "bytes"), (2 + 1 + 70 + 3) * BLOCK_SIZE);
    assert_int_equal(metric_get(M_SCRUB_RUNS), runs + 1);
}

static void a_cache_that_is_right_scrubs_well(void **state)
{
    (void)state;
    fake_cached(2, "right", 2 * BLOCK_SIZE, 2)->can_verify = true;
    const json_t *s = ask("{\"command\": \"scrub\"}\n");
    assert_fine(s);
    assert_int_equal(number(s, "verified"), 1);
}

static bool not_scrubbing(void)
{
    return !control->scrub.running;
}

static void restart(uint64_t rate)
{
    control_free(control);
    start(rate);
}

/* Two clients wait for the same one; a third has it detached. The rate makes it last. */
static void scrubs_are_joined_and_left(void **state)
{
    (void)state;
    restart(1); /* a byte a second */
    (void)fake_cached(2, "slow", 10 * BLOCK_SIZE, 10);
    assert_fine(ask("{\"command\": \"scrub\", \"detach\": true}\n"));
    assert_true(control->scrub.running);
    leave(&clients[0]);
    json_decref(clients[0].lines[--clients[0].n]);
    clients[0].ended = false;
    join_up(&clients[0], true);
    say(&clients[0], "{\"command\": \"scrub\"}\n");
    run_until(told_of_progress);
    const json_t *p = json_object_get(clients[0].lines[0], "progress");
    assert_int_equal(number(p, "objects"), 8);
    assert_int_equal(number(p, "objects_done"), 0);
    leave(&clients[0]);
    run_until(clients_are_gone);
    assert_false(not_scrubbing());
    /* It ends with the worker, whatever it waits for. */
    control_free(hfc_steal_ptr(&control));
}

static void a_rate_bounds_the_scrub(void **state)
{
    (void)state;
    restart(100ULL * BLOCK_SIZE);
    (void)fake_cached(2, "x", 10 * BLOCK_SIZE, 10);
    uint64_t began = clock_ns();
    assert_fine(ask("{\"command\": \"scrub\"}\n"));
    assert_true(clock_ns() - began >= 100ULL * 1000 * 1000);
}

static void a_scrub_goes_on_without_its_client(void **state)
{
    (void)state;
    restart(64ULL * BLOCK_SIZE);
    (void)fake_cached(2, "x", 10 * BLOCK_SIZE, 10);
    join_up(&clients[0], true);
    say(&clients[0], "{\"command\": \"scrub\"}\n");
    turn();
    leave(&clients[0]);
    run_until(not_scrubbing);
    assert_int_equal(control->scrub.done, 1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(what_is_no_command_is_refused),
        T(a_command_may_come_in_pieces),
        T(a_command_has_a_limit),
        T(status_tells_everything),
        T(status_without_a_tree),
        T(too_many_clients_are_refused),
        T(a_client_that_says_nothing_is_hung_up_on),
        T(a_client_that_leaves_at_once_is_forgotten),
        T(a_descriptor_that_can_not_be_watched_is_closed),
        T(a_client_that_does_not_read_is_hung_up_on),
        T(a_client_that_reads_slowly_gets_everything),
        T(an_answer_beyond_the_cap_is_none),
        T(a_client_that_is_gone_when_it_is_answered),
        T(without_descriptors_there_is_no_control),
        T(warming_reads_all_that_is_missing),
        T(what_is_there_is_not_read_again),
        T(holes_are_filled),
        T(only_so_many_reads_are_under_way),
        T(progress_is_told),
        T(several_models_one_of_which_is_not_there),
        T(a_read_that_fails_is_told_with_its_file),
        T(a_store_that_is_away_is_given_up),
        T(what_is_not_kept_is_an_error),
        T(a_slow_disk_is_waited_for),
        T(without_a_place_for_blobs_nothing_is_read),
        T(a_client_that_leaves_ends_its_warming),
        T(only_so_many_warm_at_once),
        T(a_place_is_kept_for_status),
        T(dropping_takes_every_version),
        T(many_objects_are_dropped_turn_by_turn),
        T(dropping_what_is_not_cached_is_fine),
        T(dropping_what_nobody_knows_is_an_error),
        T(a_client_that_leaves_ends_its_dropping),
        T(scrubbing_looks_at_everything),
        T(a_cache_that_is_right_scrubs_well),
        T(scrubs_are_joined_and_left),
        T(a_rate_bounds_the_scrub),
        T(a_scrub_goes_on_without_its_client),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
