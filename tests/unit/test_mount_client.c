/* test_mount_client.c: the other end of the control socket (mount/client.c), and the screen of
 * `status` (mount/status_text.c). The keeper is a thread that answers as a test tells it. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "ask.h"
#include "cleanup.h"
#include "client.h"
#include "control.h"
#include "loop.h"
#include "mount_commands.h"

enum { PATIENCE_MS = 60000, SOON_MS = 20, MIB = 1024 * 1024 };

static struct hfc_error err;
static char dir[64], path[96];

/* What the keeper does with the next client. */
static struct {
    enum link_kind answer; /* 0: hangs up */
    int worker;            /* given away with LINK_CONNECTED; -1: none */
    enum link_kind asked;
} keeper;
static int listener = -1;
static pthread_t thread;

static void *keep(void *ctx)
{
    struct pollfd p = {.fd = listener, .events = POLLIN};
    struct link_frame f;
    int fds[LINK_FDS_MAX];

    (void)ctx;
    if (poll(&p, 1, PATIENCE_MS) != 1)
        return NULL;
    hfc_autoclose int fd = accept(listener, NULL, NULL);
    if (link_wait(fd, &f, fds, PATIENCE_MS, NULL) != 1)
        return NULL;
    keeper.asked = f.kind;
    if (keeper.answer == 0)
        return NULL;
    f = (struct link_frame){.value = -ENOTCONN};
    f.state = (struct link_state){.keeper_pid = 11, .worker_pid = 12, .state = KEEPER_SERVING};
    (void)snprintf(f.state.mountpoint, sizeof(f.state.mountpoint), "/mnt");
    (void)link_send(fd, keeper.answer, &f, &keeper.worker, keeper.worker >= 0 ? 1 : 0, NULL);
    return NULL;
}

static void start_keeper(enum link_kind answer, int worker)
{
    keeper.answer = answer;
    keeper.worker = worker;
    listener = link_listen(path, (gid_t)-1, &err);
    assert_true(listener >= 0);
    assert_int_equal(pthread_create(&thread, NULL, keep, NULL), 0);
}

static void end_keeper(void)
{
    (void)pthread_join(thread, NULL);
    hfc_cleanup_close(&listener);
    listener = -1;
}

static int setup(void **state)
{
    (void)state;
    err = (struct hfc_error){0};
    (void)snprintf(dir, sizeof(dir), "/tmp/hfc-test-client-XXXXXX");
    if (mkdtemp(dir) == NULL || setenv("HFCACHE_RUNTIME_DIR", dir, 1) < 0)
        return -1;
    (void)snprintf(path, sizeof(path), "%s/k.sock", dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    (void)unlink(path);
    return rmdir(dir);
}

static void assert_has(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", part, text);
}

/* The keeper. */

static void a_socket_that_is_given_is_taken(void **state)
{
    char found[CLIENT_PATH_MAX], large[CLIENT_PATH_MAX + 1];

    (void)state;
    assert_int_equal(client_find("/x/y", found, &err), 0);
    assert_string_equal(found, "/x/y");
    memset(large, 'a', sizeof(large) - 1);
    large[sizeof(large) - 1] = '\0';
    assert_int_equal(client_find(large, found, &err), -1);
    assert_int_equal(err.errnum, ENAMETOOLONG);
}

static void the_only_socket_is_found(void **state)
{
    char found[CLIENT_PATH_MAX];

    (void)state;
    assert_int_equal(client_find(NULL, found, &err), -1);
    assert_has(err.msg, "no keeper listens below");
    listener = link_listen(path, (gid_t)-1, &err);
    assert_int_equal(client_find(NULL, found, &err), 0);
    assert_string_equal(found, path);
    hfc_cleanup_close(&listener);
}

static void the_keeper_tells_its_state(void **state)
{
    struct link_state s;

    (void)state;
    start_keeper(LINK_STATE, -1);
    assert_int_equal(client_state(path, &s, &err), 0);
    end_keeper();
    assert_int_equal(keeper.asked, LINK_STATUS);
    assert_int_equal(s.keeper_pid, 11);
    assert_string_equal(s.mountpoint, "/mnt");
}

static void a_keeper_that_is_not_there(void **state)
{
    struct link_state s;

    (void)state;
    assert_int_equal(client_state(path, &s, &err), -1);
    assert_has(err.msg, "no keeper listens at /tmp");
    listener = link_listen(path, (gid_t)-1, &err);
    hfc_cleanup_close(&listener);
    assert_int_equal(client_state(path, &s, &err), -1);
    assert_has(err.msg, "is hfcache-mount running?");
}

static void a_path_that_is_no_socket_s(void **state)
{
    struct link_state s;
    char large[200];

    (void)state;
    memset(large, 'a', sizeof(large) - 1);
    large[sizeof(large) - 1] = '\0';
    assert_int_equal(client_state(large, &s, &err), -1);
    assert_has(err.msg, "choose a shorter --socket");
}

static void a_keeper_that_hangs_up(void **state)
{
    struct link_state s;

    (void)state;
    start_keeper(0, -1);
    assert_int_equal(client_state(path, &s, &err), -1);
    end_keeper();
    assert_has(err.msg, "has hung up");
}

static void an_answer_of_another_kind_is_none(void **state)
{
    struct link_state s;

    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    start_keeper(LINK_CONNECTED, ends[0]);
    assert_int_equal(client_state(path, &s, &err), -1);
    end_keeper();
    (void)close(ends[0]);
    /* The descriptor that came with it was closed, too. */
    assert_int_equal(signal(SIGPIPE, SIG_IGN) == SIG_ERR, 0);
    assert_int_equal(write(ends[1], "x", 1), -1);
    (void)close(ends[1]);
}

static void the_worker_s_end_comes_from_the_keeper(void **state)
{
    int ends[2];
    char c = 0;

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    start_keeper(LINK_CONNECTED, ends[1]);
    hfc_autoclose int fd = client_connect(path, &err);
    end_keeper();
    assert_true(fd >= 0);
    assert_int_equal(keeper.asked, LINK_CONTROL);
    assert_int_equal(write(ends[0], "x", 1), 1);
    assert_int_equal(read(fd, &c, 1), 1);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

static void without_a_worker_there_is_nobody_to_ask(void **state)
{
    (void)state;
    start_keeper(LINK_CONNECTED, -1);
    assert_int_equal(client_connect(path, &err), -1);
    end_keeper();
    assert_int_equal(err.errnum, ENOTCONN);
    assert_has(err.msg, "no worker serves");
    assert_int_equal(client_connect("/does/not/exist", &err), -1);
}

/* The worker. */

static char progress_seen[256];

static void see(void *ctx, json_t *line)
{
    size_t n = strlen(progress_seen);

    assert_ptr_equal(ctx, dir);
    (void)snprintf(progress_seen + n, sizeof(progress_seen) - n, "%lld ",
                   json_integer_value(json_object_get(line, "progress")));
}

/* Asks a worker that says `text` and, unless `open`, hangs up. */
static json_t *ask(const char *text, bool open, int ms)
{
    json_t *command = json_pack("{s:s}", "command", "status");
    char got[64] = "";
    int ends[2];

    progress_seen[0] = '\0';
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    assert_int_equal(write(ends[1], text, strlen(text)), strlen(text));
    if (!open)
        (void)shutdown(ends[1], SHUT_WR);
    json_t *answer = client_ask(ends[0], command, ms, see, dir, &err);
    assert_true(read(ends[1], got, sizeof(got) - 1) > 0);
    assert_string_equal(got, "{\"command\":\"status\"}\n");
    (void)close(ends[0]);
    (void)close(ends[1]);
    json_decref(command);
    return answer;
}

static void an_answer_ends_with_its_last_line(void **state)
{
    (void)state;
    json_t *a = ask("{\"progress\": 1}\n{\"progress\": 2}\n{\"x\": 5, \"end\": true}\n{}\n", true,
                    PATIENCE_MS);
    assert_int_equal(json_integer_value(json_object_get(a, "x")), 5);
    assert_string_equal(progress_seen, "1 2 ");
    json_decref(a);
}

static void a_worker_that_ends_is_seen(void **state)
{
    (void)state;
    assert_null(ask("{\"progress\": 1}\n{\"en", false, PATIENCE_MS));
    assert_int_equal(err.errnum, ECONNRESET);
    assert_has(err.msg, "the worker has ended");
}

static void what_is_no_object_is_no_answer(void **state)
{
    (void)state;
    assert_null(ask("[1]\n", true, PATIENCE_MS));
    assert_int_equal(err.errnum, EPROTO);
    assert_null(ask("hello\n", true, PATIENCE_MS));
    assert_int_equal(err.errnum, EPROTO);
}

static void a_worker_that_does_not_answer(void **state)
{
    (void)state;
    assert_null(ask("{\"progress\": 1}\n", true, SOON_MS));
    assert_int_equal(err.errnum, ETIMEDOUT);
    assert_has(err.msg, "the worker does not answer");
}

static void *pour(void *fd)
{
    char bytes[4096];

    memset(bytes, 'x', sizeof(bytes));
    while (send(*(int *)fd, bytes, sizeof(bytes), MSG_NOSIGNAL) > 0)
        continue;
    return NULL;
}

static void an_answer_without_an_end_is_cut_off(void **state)
{
    json_t *command = json_pack("{s:s}", "command", "status");
    int ends[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    assert_int_equal(pthread_create(&thread, NULL, pour, &ends[1]), 0);
    assert_null(client_ask(ends[0], command, PATIENCE_MS, NULL, NULL, &err));
    assert_int_equal(err.errnum, EMSGSIZE);
    (void)close(ends[0]);
    (void)pthread_join(thread, NULL);
    (void)close(ends[1]);
    json_decref(command);
}

static void a_command_has_a_limit(void **state)
{
    hfc_autofree char *text = malloc(CONTROL_LINE_MAX + 1);

    (void)state;
    memset(text, 'a', CONTROL_LINE_MAX);
    text[CONTROL_LINE_MAX] = '\0';
    json_t *command = json_pack("{s:s}", "command", text);
    assert_null(client_ask(-1, command, PATIENCE_MS, NULL, NULL, &err));
    assert_int_equal(err.errnum, EMSGSIZE);
    json_decref(command);
}

static void a_worker_that_is_gone_can_not_be_asked(void **state)
{
    json_t *command = json_pack("{s:s}", "command", "status");
    int ends[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    (void)close(ends[1]);
    assert_null(client_ask(ends[0], command, PATIENCE_MS, NULL, NULL, &err));
    assert_has(err.msg, "sending the command");
    (void)close(ends[0]);
    json_decref(command);
}

static void interrupt(void *ctx, json_t *line)
{
    (void)ctx;
    (void)line;
    (void)raise(SIGTERM);
}

/* In a process of its own: the flag is never taken back. */
static void a_signal_ends_the_wait(void **state)
{
    int ends[2], status = 0;

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    assert_int_equal(write(ends[1], "{}\n", 3), 3);
    pid_t child = fork();
    if (child == 0) {
        json_t *command = json_pack("{s:s}", "command", "status");
        client_catch_signals();
        json_t *a = client_ask(ends[0], command, -1, interrupt, NULL, &err);
        json_decref(command);
        _exit(a == NULL && err.errnum == EINTR ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

/* Amounts. */

static void amounts_are_short(void **state)
{
    static const struct {
        uint64_t n;
        const char *text;
    } bytes[] = {
        {0, "0 B"},           {1023, "1023 B"},          {1024, "1.0 KiB"},       {1536, "1.5 KiB"},
        {MIB - 1, "1.0 MiB"}, {20ULL << 30, "20.0 GiB"}, {UINT64_MAX, "16.0 EiB"}};
    static const struct {
        double s;
        const char *text;
    } durations[] = {{-1, "0.0 s"},      {0.25, "0.2 s"},     {59.9, "59 s"},
                     {61, "1 min 1 s"},  {3600, "1 h 0 min"}, {86399, "23 h 59 min"},
                     {90000, "1 d 1 h"}, {864000, "10 d 0 h"}};

    (void)state;
    for (size_t i = 0; i < HFC_ARRAY_LEN(bytes); i++) {
        hfc_autobuf struct hfc_buf b = HFC_BUF(64);
        client_add_bytes(&b, bytes[i].n);
        assert_string_equal(b.data, bytes[i].text);
    }
    for (size_t i = 0; i < HFC_ARRAY_LEN(durations); i++) {
        hfc_autobuf struct hfc_buf b = HFC_BUF(64);
        client_add_duration(&b, durations[i].s);
        assert_string_equal(b.data, durations[i].text);
    }
}

static void members_may_be_missing(void **state)
{
    json_t *o = json_pack("{s:i,s:i,s:s}", "n", 5, "low", -5, "s", "text");

    (void)state;
    assert_int_equal(ask_number(o, "n"), 5);
    assert_int_equal(ask_number(o, "low"), 0);
    assert_int_equal(ask_number(o, "none"), 0);
    assert_int_equal(ask_number(NULL, "n"), 0);
    assert_string_equal(ask_string(o, "s"), "text");
    assert_string_equal(ask_string(o, "n"), "?");
    json_decref(o);
}

static void progress_in_a_file_is_a_line_now_and_then(void **state)
{
    struct progress p = {.terminal = false, .last = hfc_now_ms()};
    int64_t before = p.last;

    (void)state;
    progress_show(&p, "not yet");
    assert_true(p.last == before);
    p.last -= 3600 * 1000;
    progress_show(&p, "# an hour has passed");
    assert_true(p.last >= before);
    assert_int_equal(p.shown, 0);
}

/* The screen. */

static json_t *keeper_s(void)
{
    return json_pack("{s:i,s:i,s:s,s:f,s:i,s:i,s:i,s:i,s:i,s:i,s:s,s:s,s:s}", "keeper_pid", 11,
                     "worker_pid", 12, "state", "serving", "state_s", 90061.0, "standbys", 1,
                     "generation", 4, "deaths", 3, "redone", 20, "poisoned", 1, "orphaned", 2,
                     "keeper_version", "1.2.3", "mountpoint", "/mnt/hf", "socket", "/run/s");
}

static json_t *worker_s(void)
{
    static const char text[] =
        "{\"version\": \"1.2.4\", \"uptime_s\": 61.5, \"ready\": true,"
        "\"memory\": {\"budget\": {\"total\": 67108864, \"fixed\": 1024, \"connections\": 2048,"
        "\"arena\": 4096, \"tree\": 8192, \"cache\": 0},"
        "\"used\": {\"resident\": 30408704, \"sockets\": 5, \"arena\": 6, \"tree\": 7}},"
        "\"cache\": {\"used\": 1073741824, \"limit\": 2147483648, \"blobs\": 12,"
        "\"evictions\": 34, \"disk_errors\": 0, \"degraded\": false},"
        "\"tree\": {\"names\": 56, \"bytes\": 1024, \"age_s\": 12.5, \"failures\": 0},"
        "\"reads\": {\"waiting\": 2, \"oldest_s\": 1.25, \"answered\": 78, \"bytes\":"
        "{\"memory\": 1024, \"disk\": 2048, \"store\": 3072}, \"errors\": {\"EIO\": 0}},"
        "\"fetches\": {\"active\": 9, \"queued\": 8, \"asked\": 77, \"bytes\": 1024, \"retries\": "
        "6,"
        "\"connections\": 5, \"errors\": {\"unreachable\": 0, \"server\": 0}},"
        "\"verify\": {\"wrong_blocks\": 0, \"wrong_files\": 0},"
        "\"kernel\": {\"passthrough\": true, \"readdirplus\": false, \"max_pages\": 256},"
        "\"scrub\": {\"running\": false}, \"store\": \"s3://bucket\","
        "\"last_takeover_ms\": 5.25, \"failures\": []}";
    json_error_t fault;
    json_t *w = json_loads(text, 0, &fault);
    json_t *k = keeper_s();

    if (w == NULL)
        fail_msg("%s", fault.text);
    (void)json_object_update(w, k);
    json_decref(k);
    return w;
}

/* The text; ends the object. */
static struct hfc_buf screen;

static const char *show(json_t *status)
{
    hfc_buf_free(&screen);
    hfc_buf_init(&screen, MIB);
    status_print(status, &screen);
    json_decref(status);
    assert_false(hfc_buf_failed(&screen));
    return screen.data;
}

static void one_screen_shows_everything(void **state)
{
    (void)state;
    const char *text = show(worker_s());
    assert_string_equal(
        text, "mount       /mnt/hf  serving for 1 d 1 h\n"
              "keeper      pid 11, version 1.2.3, /run/s\n"
              "worker      pid 12, version 1.2.4, up 1 min 1 s; 1 on standby\n"
              "hand-overs  4 workers have served, 3 have died; the last gap was 5.2 ms\n"
              "            20 requests done again, 1 poisonous, 2 failed for want of a worker\n"
              "store       s3://bucket, 5 connections, 9 fetches running, 8 waiting\n"
              "            1.0 KiB in 77 fetches, 6 tried again\n"
              "tree        56 names, 1.0 KiB, looked at 12 s ago\n"
              "cache       [##########..........]  1.0 GiB of 2.0 GiB, 50 %\n"
              "            12 objects, 34 evictions\n"
              "memory      64.0 MiB: fixed 1.0 KiB, connections 2.0 KiB, arena 4.0 KiB, "
              "tree 8.0 KiB,\n            cache 0 B\n"
              "            used: resident 29.0 MiB, sockets 5 B, arena 6 B, tree 7 B\n"
              "reads       2 waiting, the oldest for 1.2 s; 78 answered\n"
              "            from: memory 1.0 KiB, disk 2.0 KiB, store 3.0 KiB\n"
              "errors      none\n"
              "kernel      passthrough, no readdirplus, 256 pages a request\n");
    hfc_buf_free(&screen);
}

static void what_is_wrong_is_shown(void **state)
{
    json_t *s = worker_s();

    (void)state;
    (void)json_object_set_new(s, "ready", json_false());
    (void)json_object_set_new(s, "ready_why", json_string("credentials were refused"));
    (void)json_object_set_new(s, "last_takeover_ms", json_null());
    (void)json_object_set_new(json_object_get(s, "cache"), "degraded", json_true());
    (void)json_object_set_new(json_object_get(s, "cache"), "disk_errors", json_integer(7));
    (void)json_object_set_new(json_object_get(s, "tree"), "age_s", json_null());
    json_t *fetches = json_object_get(s, "fetches"), *reads = json_object_get(s, "reads");
    (void)json_object_set_new(json_object_get(fetches, "errors"), "server", json_integer(3));
    (void)json_object_set_new(json_object_get(fetches, "errors"), "refused", json_integer(4));
    (void)json_object_set_new(json_object_get(reads, "errors"), "EIO", json_integer(5));
    (void)json_object_set_new(
        s, "scrub",
        json_pack("{s:b,s:i,s:i,s:i}", "running", 1, "objects", 10, "objects_done", 4, "wrong", 1));
    (void)json_object_set_new(s, "failures",
                              json_pack("[{s:f,s:s},{s:f,s:s}]", "age_s", 3.0, "message",
                                        "a\x1b[2Jb", "age_s", 100.0, "message", "older"));
    const char *text = show(s);
    assert_has(text, "            NOT READY: credentials were refused\n");
    assert_has(text, "3 have died\n");
    assert_has(text, "DEGRADED: the disk fails");
    assert_has(text, "not looked at yet\n");
    assert_has(text, "errors      reads: EIO 5; fetches: server 3, refused 4; disk 7, "
                     "wrong bytes 0, names 0\n");
    assert_has(text, "scrub       4 of 10 objects, 1 wrong\n");
    assert_has(text, "failures    3.0 s ago: a\\x1b[2Jb\n            1 min 40 s ago: older\n");
    hfc_buf_free(&screen);
}

static void without_a_worker_there_is_the_keeper_s_part(void **state)
{
    json_t *s = keeper_s();

    (void)state;
    (void)json_object_set_new(s, "worker_pid", json_integer(0));
    (void)json_object_set_new(s, "state", json_string("orphaned"));
    (void)json_object_set_new(s, "error", json_string("no worker serves now"));
    const char *text = show(s);
    assert_has(text, "mount       /mnt/hf  orphaned for 1 d 1 h\n");
    assert_has(text, "worker      NONE; 1 on standby\n            no worker serves");
    assert_has(text, "3 have died\n");
    assert_null(strstr(text, "cache"));
    hfc_buf_free(&screen);
}

static void long_messages_go_on_in_the_next_line(void **state)
{
    char message[201], expected[400];
    json_t *s = worker_s();

    (void)state;
    memset(message, 'x', sizeof(message) - 1);
    message[sizeof(message) - 1] = '\0';
    (void)json_object_set_new(s, "failures",
                              json_pack("[{s:f,s:s}]", "age_s", 3.0, "message", message));
    const char *text = show(s);
    (void)snprintf(expected, sizeof(expected),
                   "failures    3.0 s ago: %.71s\n            %.88s\n"
                   "            %.41s\n",
                   message, message, message);
    assert_has(text, expected);
    for (const char *line = text; *line != '\0'; line += strcspn(line, "\n") + 1)
        assert_true(strcspn(line, "\n") <= 100);
    hfc_buf_free(&screen);
}

static void large_amounts_do_not_leave_the_screen(void **state)
{
    static const char *const parts[] = {"fixed", "connections", "arena", "tree", "cache"};
    json_t *s = worker_s(), *budget = json_object_get(json_object_get(s, "memory"), "budget");

    (void)state;
    for (size_t i = 0; i < HFC_ARRAY_LEN(parts); i++)
        (void)json_object_set_new(budget, parts[i], json_integer(1000 << 20));
    assert_has(show(s), "arena 1000.0 MiB,\n            tree 1000.0 MiB, cache 1000.0 MiB\n");
    hfc_buf_free(&screen);
}

/* Another version may say other things. */
static void an_unknown_object_is_shown_as_far_as_it_goes(void **state)
{
    (void)state;
    assert_has(show(json_object()), "mount       ?  ? for 0.0 s\n");
    assert_has(show(json_pack("{s:i,s:i}", "cache", 5, "memory", 5)), "cache       [");
    hfc_buf_free(&screen);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_socket_that_is_given_is_taken),
        T(the_only_socket_is_found),
        T(the_keeper_tells_its_state),
        T(a_keeper_that_is_not_there),
        T(a_path_that_is_no_socket_s),
        T(a_keeper_that_hangs_up),
        T(an_answer_of_another_kind_is_none),
        T(the_worker_s_end_comes_from_the_keeper),
        T(without_a_worker_there_is_nobody_to_ask),
        T(an_answer_ends_with_its_last_line),
        T(a_worker_that_ends_is_seen),
        T(what_is_no_object_is_no_answer),
        T(a_worker_that_does_not_answer),
        T(an_answer_without_an_end_is_cut_off),
        T(a_command_has_a_limit),
        T(a_worker_that_is_gone_can_not_be_asked),
        T(a_signal_ends_the_wait),
        T(amounts_are_short),
        T(members_may_be_missing),
        T(progress_in_a_file_is_a_line_now_and_then),
        T(one_screen_shows_everything),
        T(what_is_wrong_is_shown),
        T(without_a_worker_there_is_the_keeper_s_part),
        T(long_messages_go_on_in_the_next_line),
        T(large_amounts_do_not_leave_the_screen),
        T(an_unknown_object_is_shown_as_far_as_it_goes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
