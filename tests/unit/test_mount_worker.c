/* test_mount_worker.c: the worker as a whole (mount/worker*.c), with a keeper that is a fake. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/time.h>

#include <jansson.h>

#include "address.h"
#include "cleanup.h"
#include "fake_keeper.h"
#include "memory_plan.h"
#include "worker_internal.h"

static char any_port[] = "127.0.0.1:0";

/* Standing by. */

static void it_registers_with_its_pid_and_the_arena_it_wants(void **state)
{
    (void)state;
    settings.standby = true;
    start_worker();
    struct link_frame f = expect_hello();
    assert_int_equal(f.pid, worker_pid);
    assert_int_equal(f.flags, LINK_STANDBY);
    assert_string_equal(f.text, HFC_VERSION);
    assert_true(f.bytes >= 16 << 20 && f.bytes % BLOCK_SIZE == 0);
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 0), 0);
    (void)kill(worker_pid, SIGKILL);
    assert_int_equal(poll(&p, 1, PATIENCE), 1);
}

static void a_worker_that_is_no_standby_says_so(void **state)
{
    (void)state;
    start_worker();
    assert_int_equal(expect_hello().flags, 0);
}

static void a_standby_ends_when_it_is_drained_or_gets_a_signal(void **state)
{
    (void)state;
    start_worker();
    (void)expect_hello();
    (void)kill(worker_pid, SIGHUP); /* has no meaning yet */
    tell(LINK_ADOPTED);             /* nor has this */
    tell(LINK_DRAIN);
    assert_int_equal(wait_for_end(), 0);
    start_worker();
    (void)expect_hello();
    (void)kill(worker_pid, SIGTERM);
    assert_int_equal(wait_for_end(), 0);
}

static void a_standby_that_loses_its_link_registers_again(void **state)
{
    (void)state;
    start_worker();
    for (int i = 0; i < 2; i++) {
        assert_int_equal(expect_hello().pid, worker_pid);
        close_one(&keeper);
    }
    (void)expect_hello();
    assert_int_equal(write(keeper, "nonsense", 8), 8);
    (void)expect_hello();
    close_one(&keeper);
    wait_until_told("the keeper hung up; registering again");
    wait_until_told("what came is no frame of this version");
    (void)kill(worker_pid, SIGINT);
    assert_int_equal(wait_for_end(), 0);
}

static void a_worker_that_is_refused_again_and_again_ends(void **state)
{
    (void)state;
    start_worker();
    for (int i = 0; i < 5; i++) {
        (void)expect_hello();
        close_one(&keeper);
    }
    assert_int_equal(wait_for_end(), 1);
    wait_until_told("keeper.sock refuses this worker, its log says why");
}

static void it_waits_for_a_keeper_that_is_not_there_yet(void **state)
{
    (void)state;
    close_one(&listener);
    (void)unlink(settings.socket);
    start_worker();
    wait_until_told("no keeper listens at ");
    listener = link_listen(settings.socket, -1, &err);
    assert_true(listener >= 0);
    (void)expect_hello();
    (void)kill(worker_pid, SIGTERM);
    assert_int_equal(wait_for_end(), 0);
    close_one(&listener);
    start_worker();
    (void)poll(NULL, 0, 10 * LOOK_MS); /* it may be anywhere */
    (void)kill(worker_pid, SIGTERM);
    assert_int_equal(wait_for_end(), 0);
}

static void a_socket_that_can_not_be_one_is_an_error(void **state)
{
    (void)state;
    free(settings.socket);
    settings.socket = malloc(300);
    memset(settings.socket, 'x', 299);
    settings.socket[299] = '\0';
    start_worker();
    assert_int_equal(wait_for_end(), 1);
    wait_until_told("choose a shorter --socket");
}

static void too_little_memory_is_an_error_with_the_figure_that_works(void **state)
{
    (void)state;
    settings.memory = 10 << 20;
    start_worker();
    assert_int_equal(wait_for_end(), 1);
    wait_until_told("--memory: 10 MiB of memory are too little: give at least ");
}

static void more_connections_than_there_is_memory_for_are_a_warning(void **state)
{
    (void)state;
    settings.connections = 1000;
    start_worker();
    (void)expect_hello();
    wait_until_told("--connections 1000: there is memory for ");
}

/* Activation. */

static void a_keeper_of_another_version_is_an_error(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        start_worker();
        struct link_frame f = expect_hello();
        make_mount(i == 0 ? f.bytes + 4096 : f.bytes);
        if (i == 1)
            shared->version++;
        if (i == 2)
            assert_int_equal(ftruncate(memfd, 4096), 0);
        const int fds[] = {device_end, memfd, arena, mount_root};
        assert_int_equal(link_send(keeper, LINK_ACTIVATE, &f, fds, 4, &err), 0);
        assert_int_equal(wait_for_end(), 1);
    }
    wait_until_told("bytes of shared memory, here");
    wait_until_told("the keeper is of another version (2, here 1): start keeper and worker of one");
}

static void a_cache_that_is_not_there_is_an_error(void **state)
{
    (void)state;
    free(settings.cache);
    settings.cache = path_of("no/cache");
    start_worker();
    struct link_frame f = expect_hello();
    make_mount(f.bytes);
    activate(1);
    assert_int_equal(wait_for_end(), 1);
    wait_until_told("no/cache");
}

static void it_serves_what_the_store_has(void **state)
{
    uint64_t node;

    (void)state;
    let_serve(1);
    wait_until_told("names are served");
    assert_int_equal(
        ask(FUSE_GETATTR, 1, &(struct fuse_getattr_in){0}, sizeof(struct fuse_getattr_in), NULL),
        0);
    assert_file("hub/models--org--name/snapshots/" COMMIT "/config.json", "{\"a\": 1}\n");
    assert_int_equal(ask_path("hub/none", &node), ENOENT);
    tell(LINK_DRAIN);
    assert_int_equal(wait_for_end(), 0);
    wait_until_told("asked to drain");
}

static void what_a_successor_needs_to_serve_is_in_the_cache(void **state)
{
    (void)state;
    let_serve(1);
    wait_until_told("names are served");
    assert_file("hub/models--org--name/refs/main", COMMIT);
    (void)kill(worker_pid, SIGTERM);
    assert_int_equal(wait_for_end(), 0);
    char *from = path_of("store"), *to = path_of("gone");
    assert_int_equal(rename(from, to), 0);
    start_worker();
    (void)expect_hello();
    activate(2);
    struct link_frame f;
    int fds[LINK_FDS_MAX];
    expect_frame(LINK_SERVING, &f, fds);
    assert_file("hub/models--org--name/refs/main", COMMIT);
    wait_until_told("what the cache has is served, and the store is tried again");
    /* It comes back. */
    put_file("gone/hub/models--org--name/new.json", "new\n");
    assert_int_equal(rename(to, from), 0);
    wait_until_told("can be used now");
    uint64_t node;
    for (int i = 0; i < PATIENCE / LOOK_MS; i++) {
        if (ask_path("hub/models--org--name/new.json", &node) == 0)
            break;
        (void)poll(NULL, 0, LOOK_MS);
    }
    assert_file("hub/models--org--name/new.json", "new\n");
    free(from);
    free(to);
}

static void without_a_store_and_a_copy_of_its_names_it_does_not_start(void **state)
{
    (void)state;
    free(settings.store);
    settings.store = strdup("file:///no/such/folder");
    start_worker();
    struct link_frame f = expect_hello();
    make_mount(f.bytes);
    activate(1);
    assert_int_equal(wait_for_end(), 1);
    wait_until_told("error: --store: ");
    wait_until_told("give s3://BUCKET[/PREFIX], with credentials as for the AWS SDKs, or file");
}

/* A successor of the same mount, with another store. */
static void follow(uint64_t generation, const char *store)
{
    struct link_frame f;
    int fds[LINK_FDS_MAX];

    free(settings.store);
    settings.store = strdup(store);
    start_worker();
    (void)expect_hello();
    activate(generation);
    expect_frame(LINK_SERVING, &f, fds);
}

/* Nobody listens there. */
static void use_dead_s3(void)
{
    (void)setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1", 1);
    (void)setenv("AWS_ACCESS_KEY_ID", "id", 1);
    (void)setenv("AWS_SECRET_ACCESS_KEY", "secret", 1);
    (void)setenv("AWS_REGION", "us-east-1", 1);
}

/* Names that can't be read: the first worker gives up, a later one goes on looking. */
static void a_store_that_does_not_answer_stops_the_first_worker_only(void **state)
{
    (void)state;
    use_dead_s3();
    free(settings.store);
    settings.store = strdup("s3://bucket");
    let_serve(1);
    assert_int_equal(wait_for_end(), 1);
    wait_until_told("error: --store s3://bucket: ");
    wait_until_told("look at the network and the endpoint");
    follow(2, "s3://bucket");
    wait_until_told("there are no names to show yet");
    uint64_t node;
    assert_int_equal(ask_path("hub", &node), EIO);
    tell(LINK_DRAIN);
    assert_int_equal(wait_for_end(), 0);
}

static void a_mount_that_is_gone_is_a_good_end(void **state)
{
    (void)state;
    let_serve(1);
    close_one(&device_end);
    close_one(&device);
    assert_int_equal(wait_for_end(), 0);
    wait_until_told("the mount is gone");
}

static void a_signal_is_a_good_end_also_twice(void **state)
{
    (void)state;
    let_serve(1);
    (void)kill(worker_pid, SIGTERM);
    (void)kill(worker_pid, SIGINT);
    assert_int_equal(wait_for_end(), 0);
}

static void ask_read_without_answer(uint64_t node, uint64_t number)
{
    const struct fuse_read_in body = {.size = 4096};
    struct fuse_in_header in = {
        .len = sizeof(in) + sizeof(body), .opcode = FUSE_READ, .unique = number, .nodeid = node};
    struct iovec v[] = {{&in, sizeof(in)}, {(void *)(uintptr_t)&body, sizeof(body)}};

    assert_int_equal(writev(device, v, 2), in.len);
}

static bool is_parked(uint64_t number)
{
    for (unsigned i = 0; i < PARKED_SLOTS; i++)
        if (shared->parked[i].in.len != 0 && shared->parked[i].in.unique == number)
            return true;
    return false;
}

/* The store of the second worker can't be reached; the third one's can. */
static void a_read_that_waits_is_left_to_the_successor(void **state)
{
    hfc_autofree char *store = strdup(settings.store);
    uint64_t node;

    (void)state;
    let_serve(1);
    wait_until_told("names are served");
    tell(LINK_DRAIN);
    assert_int_equal(wait_for_end(), 0);

    use_dead_s3();
    follow(2, "s3://bucket");
    assert_int_equal(ask_path("hub/models--org--name/snapshots/" COMMIT "/config.json", &node), 0);
    ask_read_without_answer(node, 5000);
    for (int i = 0; i < PATIENCE / LOOK_MS && !is_parked(5000); i++)
        (void)poll(NULL, 0, LOOK_MS);
    assert_true(is_parked(5000));
    wait_until_told("127.0.0.1:1");
    tell(LINK_DRAIN);
    assert_int_equal(wait_for_end(), 0);
    assert_true(is_parked(5000));

    follow(3, store);
    uint64_t answered = 0;
    assert_int_equal(take_answer(&answered, NULL), 0);
    assert_int_equal(answered, 5000);
    assert_memory_equal(answer, "{\"a\": 1}\n", 9);
}

static void a_signal_makes_it_look_at_the_store_again(void **state)
{
    uint64_t node;

    (void)state;
    let_serve(1);
    wait_until_told("names are served");
    assert_int_equal(ask_path("hub/models--org--name/new.json", &node), ENOENT);
    put_file("store/hub/models--org--name/new.json", "new\n");
    (void)kill(worker_pid, SIGHUP);
    wait_until_told("credentials and names are looked at again");
    wait_until_told("names are served, from a listing\nhfcache-mount worker: cred");
    for (int i = 0; i < PATIENCE / LOOK_MS; i++) {
        if (ask_path("hub/models--org--name/new.json", &node) == 0)
            break;
        (void)poll(NULL, 0, LOOK_MS);
    }
    assert_file("hub/models--org--name/new.json", "new\n");
    /* One that can't be opened now changes nothing. */
    char *from = path_of("store"), *to = path_of("gone");
    assert_int_equal(rename(from, to), 0);
    (void)kill(worker_pid, SIGHUP);
    wait_until_told("; going on with what there was");
    assert_int_equal(rename(to, from), 0);
    free(from);
    free(to);
    assert_file("hub/models--org--name/refs/main", COMMIT);
}

/* The keeper's end. */

static void it_serves_on_without_a_keeper_and_offers_itself_to_the_next(void **state)
{
    struct link_frame f;
    int fds[LINK_FDS_MAX];
    struct stat mine, its;

    (void)state;
    let_serve(3);
    wait_until_told("names are served");
    close_one(&keeper);
    close_one(&listener);
    wait_until_told("serving on until a keeper is there");
    (void)poll(NULL, 0, 5 * LINK_RETRY_MS); /* it may well ask several times */
    assert_file("hub/models--org--name/refs/main", COMMIT);
    listener = link_listen(settings.socket, -1, &err);
    accept_worker();
    expect_frame(LINK_ADOPT, &f, fds);
    assert_int_equal(f.pid, worker_pid);
    const int same[] = {-1, device_end, memfd, arena, mount_root};
    for (int i = 1; i < 5; i++) {
        assert_int_equal(fstat(same[i], &mine) | fstat(fds[i], &its), 0);
        assert_int_equal(mine.st_ino, its.st_ino);
    }
    for (int i = 0; i < 5; i++)
        close_one(&fds[i]);
    close_one(&keeper); /* refused: it comes again */
    accept_worker();
    expect_frame(LINK_ADOPT, &f, fds);
    for (int i = 0; i < 5; i++)
        close_one(&fds[i]);
    tell(LINK_ADOPTED);
    wait_until_told("a keeper is there again");
    assert_int_equal(write(keeper, "nonsense", 8), 8);
    accept_worker();
    expect_frame(LINK_ADOPT, &f, fds);
    for (int i = 0; i < 5; i++)
        close_one(&fds[i]);
    tell(LINK_DRAIN);
    assert_int_equal(wait_for_end(), 0);
}

/* Seen from outside. */

static unsigned port_it_told(void)
{
    wait_until_told("metrics and health at port ");
    const char *text = strstr(told.data, "at port ");
    return (unsigned)strtoul(text + strlen("at port "), NULL, 10);
}

/* The whole answer to a GET; it stays until the next one. */
static const char *get(unsigned port, const char *path)
{
    static char text[100000];
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    const struct timeval patience = {.tv_sec = PATIENCE / 1000};
    size_t n = 0;
    ssize_t got;

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    assert_true(dprintf(fd, "GET %s HTTP/1.0\r\n\r\n", path) > 0);
    while (n < sizeof(text) - 1 && (got = read(fd, text + n, sizeof(text) - 1 - n)) > 0)
        n += (size_t)got;
    text[n] = '\0';
    (void)close(fd);
    return text;
}

static void wait_until_got(unsigned port, const char *path, const char *part)
{
    const char *text = "";

    for (int i = 0; i < PATIENCE / LOOK_MS; i++) {
        text = get(port, path);
        if (strstr(text, part) != NULL)
            return;
        (void)poll(NULL, 0, LOOK_MS);
    }
    fail_msg("not in %s: %s\nbut: %s", path, part, text);
}

static void it_is_alive_at_once_and_ready_when_a_read_has_come_through(void **state)
{
    (void)state;
    settings.listen = any_port;
    settings.connections = 2;
    let_serve(1);
    unsigned port = port_it_told();
    wait_until_got(port, "/livez", "200 OK");
    wait_until_got(port, "/readyz", "200 OK");
    wait_until_got(port, "/metrics", "\nhfcache_ready 1\n");
    wait_until_got(port, "/metrics", "\nhfcache_memory_budget_bytes{part=\"total\"} 67108864\n");
    wait_until_got(port, "/metrics", "\nhfcache_kernel_feature{feature=\"readdirplus\"} 1\n");
    wait_until_got(port, "/metrics", "\nhfcache_kernel_feature{feature=\"passthrough\"} 0\n");
    wait_until_got(port, "/metrics", "{part=\"connections\"} 917504\n"); /* 2 of 448 KiB */
    assert_null(strstr(get(port, "/metrics"), "part=\"resident\"} 0\n"));
}

static void it_is_not_ready_while_reads_do_not_come_through(void **state)
{
    (void)state;
    settings.listen = any_port;
    char *alive = path_of("root/.hfcache/alive");
    assert_int_equal(unlink(alive), 0);
    free(alive);
    let_serve(1);
    unsigned port = port_it_told();
    wait_until_told("names are served");
    wait_until_got(port, "/readyz", "503");
    wait_until_got(port, "/readyz", "a read through the mount was not answered in time");
    wait_until_got(port, "/metrics", "\nhfcache_ready 0\n");
    put_file("root/.hfcache/alive", "1\n");
    wait_until_got(port, "/readyz", "200 OK");
}

static void a_port_that_is_taken_stops_the_first_worker_only(void **state)
{
    char address[64];
    unsigned port = 0;

    (void)state;
    int taken = hfc_listen("127.0.0.1:0", &port, &err);
    assert_true(taken >= 0);
    (void)snprintf(address, sizeof(address), "127.0.0.1:%u", port);
    settings.listen = address;
    let_serve(1);
    assert_int_equal(wait_for_end(), 1);
    wait_until_told("another program has the port");
    start_worker();
    (void)expect_hello();
    activate(2);
    wait_until_told("trying again meanwhile");
    wait_until_told("names are served");
    assert_file("hub/models--org--name/refs/main", COMMIT);
    (void)close(taken);
    (void)port_it_told();
    wait_until_got(port, "/livez", "alive");
    tell(LINK_DRAIN);
    assert_int_equal(wait_for_end(), 0);
}

static json_t *ask_status(void)
{
    struct link_frame f = {0};
    int ends[2];
    hfc_autobuf struct hfc_buf text = HFC_BUF(100000);
    ssize_t n;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(link_send(keeper, LINK_CONNECTED, &f, &ends[0], 1, &err), 0);
    (void)close(ends[0]);
    assert_true(dprintf(ends[1], "{\"command\": \"status\"}\n") > 0);
    char piece[4096];
    while ((n = read(ends[1], piece, sizeof(piece))) > 0)
        hfc_buf_add(&text, piece, (size_t)n);
    (void)close(ends[1]);
    json_t *status = json_loads(text.data, 0, NULL);
    if (status == NULL)
        fail_msg("no JSON: %s; told: %s", text.data, what_it_told());
    return status;
}

static void the_status_tells_store_readiness_and_failures(void **state)
{
    (void)state;
    let_serve(2);
    wait_until_told("names are served");
    atomic_store(&shared->takeover_last_ns, 5000000);
    char *from = path_of("store"), *to = path_of("gone");
    assert_int_equal(rename(from, to), 0);
    (void)kill(worker_pid, SIGHUP);
    wait_until_told("; going on with what there was");
    assert_int_equal(rename(to, from), 0);
    free(from);
    free(to);
    tell(LINK_BACKED); /* nothing that concerns it */
    json_t *s = ask_status();
    assert_string_equal(json_string_value(json_object_get(s, "store")), settings.store);
    assert_int_equal(json_integer_value(json_object_get(s, "generation")), 2);
    assert_true(json_real_value(json_object_get(s, "last_takeover_ms")) > 4.9);
    assert_true(json_is_string(json_object_get(s, "ready_why")));
    assert_int_equal(json_integer_value(json_object_get(json_object_get(s, "kernel"), "max_pages")),
                     (1 << 20) / sysconf(_SC_PAGESIZE));
    json_t *failures = json_object_get(s, "failures");
    assert_int_equal(json_array_size(failures), 1);
    assert_non_null(strstr(
        json_string_value(json_object_get(json_array_get(failures, 0), "message")), "store"));
    json_decref(s);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_stage, clear_stage)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(it_registers_with_its_pid_and_the_arena_it_wants),
        T(a_worker_that_is_no_standby_says_so),
        T(a_standby_ends_when_it_is_drained_or_gets_a_signal),
        T(a_standby_that_loses_its_link_registers_again),
        T(a_worker_that_is_refused_again_and_again_ends),
        T(it_waits_for_a_keeper_that_is_not_there_yet),
        T(a_socket_that_can_not_be_one_is_an_error),
        T(too_little_memory_is_an_error_with_the_figure_that_works),
        T(more_connections_than_there_is_memory_for_are_a_warning),
        T(a_keeper_of_another_version_is_an_error),
        T(a_cache_that_is_not_there_is_an_error),
        T(it_serves_what_the_store_has),
        T(what_a_successor_needs_to_serve_is_in_the_cache),
        T(without_a_store_and_a_copy_of_its_names_it_does_not_start),
        T(a_store_that_does_not_answer_stops_the_first_worker_only),
        T(a_mount_that_is_gone_is_a_good_end),
        T(a_signal_is_a_good_end_also_twice),
        T(a_read_that_waits_is_left_to_the_successor),
        T(a_signal_makes_it_look_at_the_store_again),
        T(it_serves_on_without_a_keeper_and_offers_itself_to_the_next),
        T(it_is_alive_at_once_and_ready_when_a_read_has_come_through),
        T(it_is_not_ready_while_reads_do_not_come_through),
        T(a_port_that_is_taken_stops_the_first_worker_only),
        T(the_status_tells_store_readiness_and_failures),
    };
    int rc = cmocka_run_group_tests(tests, NULL, NULL);

    hfc_buf_free(&told);
    return rc;
}
