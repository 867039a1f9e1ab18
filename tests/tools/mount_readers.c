/* mount_readers.c: readers that check every byte, for the tests of hfcache-mount.
 *
 *     mount_readers generate FILE NUMBER SIZE
 *     mount_readers check PATH:NUMBER:SIZE...        each once from end to end, by read(2)
 *     mount_readers read [options] PATH:NUMBER:SIZE...
 *       --processes N      1; each opens all files and keeps them open
 *       --threads N        1 in each process, on the same descriptors
 *       --modes M,...      random, sequential, mmap, reopen; reader i takes the i-th (all of them);
 *                          or stream: reader i reads the i-th file once, from end to end
 *       --seconds N        0: until stdin ends
 *       --grace N          30: seconds after the end in which a reader has to come back
 *       --largest N        1048576: bytes of a read, at most
 *       --pause N          0: milliseconds between two reads, on average
 *
 * The content of file NUMBER is computed (word()), so any piece of it can be checked.
 *
 * `read` prints {"ready":true} when all files are open everywhere, then a line of counts for each
 * line that comes in on stdin, and one at the end: reads, bytes, errors, wrong (bytes), stuck
 * (readers), longest_ms, messages. Nothing is killed here.
 *
 * The page cache is dropped before most reads (posix_fadvise), so that the mount has to answer.
 * Counts lie in memory that all processes share; each has one writer.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

enum {
    FILES_MAX = 512,
    MODES_MAX = 8,
    MESSAGE = 240,
    MESSAGES_MAX = 12,
    PAGE = 4096,
    WINDOW = 4 << 20, /* bytes of a mapping */
};

struct file {
    char *path;
    uint64_t number, size;
    int fd;
};

struct options {
    unsigned processes, threads, seconds, grace, pause;
    size_t largest;
    const char *modes[MODES_MAX];
    unsigned n_modes;
};

/* Of one reader. */
struct counts {
    _Atomic uint64_t reads, bytes, errors, wrong, longest_ns;
    _Atomic bool ready, ended;
    char message[MESSAGE]; /* the first error; valid once errors or wrong is not 0 */
};

struct reader {
    struct counts *counts;
    unsigned number;
    const char *mode;
    uint64_t seed;
    uint8_t *buffer;
    uint64_t sequential[FILES_MAX]; /* how far each file has been read */
};

static struct options options = {.processes = 1,
                                 .threads = 1,
                                 .grace = 30,
                                 .largest = 1 << 20,
                                 .n_modes = 4,
                                 .modes = {"random", "sequential", "mmap", "reopen"}};
static struct file files[FILES_MAX];
static unsigned n_files;
static struct counts *all; /* shared: options.processes * options.threads */
static _Atomic bool *stop; /* shared */

/* Reading a mapping whose page can't be had is SIGBUS. */
static __thread sigjmp_buf bus_return;
static __thread volatile sig_atomic_t bus_expected;

static void die(const char *what)
{
    (void)fprintf(stderr, "mount_readers: %s: %s\n", what, strerror(errno));
    exit(2);
}

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

/* The i-th eight bytes of file `number`, as a little-endian number. mount.py has the same. */
static uint64_t word(uint64_t number, uint64_t i)
{
    uint64_t x = (i + 1) * 0x8F3A5C71D2E94B67U + (number + 1) * 0xC5B1E0A98D67F243U;

    x ^= x >> 31;
    x *= 0xB4D82F6197CA35EDU;
    x ^= x >> 29;
    x *= 0x93E7A14D5CB86F2BU;
    return x ^ (x >> 32);
}

static void fill(uint64_t number, uint64_t offset, uint8_t *to, size_t n)
{
    for (size_t at = 0; at < n;) {
        uint64_t w = word(number, (offset + at) / 8);
        size_t skip = (offset + at) % 8;
        size_t take = 8 - skip < n - at ? 8 - skip : n - at;

        memcpy(to + at, (uint8_t *)&w + skip, take);
        at += take;
    }
}

/* How many of these bytes are not the file's; *first is where. */
static size_t differences(uint64_t number, uint64_t offset, const uint8_t *have, size_t n,
                          uint64_t *first)
{
    size_t wrong = 0;

    for (size_t at = 0; at < n;) {
        uint64_t w = word(number, (offset + at) / 8);
        const uint8_t *want = (uint8_t *)&w + (offset + at) % 8;
        size_t left = 8 - (offset + at) % 8;
        size_t take = left < n - at ? left : n - at;

        for (size_t i = 0; i < take; i++)
            if (have[at + i] != want[i] && wrong++ == 0)
                *first = offset + at + i;
        at += take;
    }
    return wrong;
}

static uint64_t next_random(struct reader *r)
{
    r->seed ^= r->seed << 13;
    r->seed ^= r->seed >> 7;
    r->seed ^= r->seed << 17;
    return r->seed;
}

__attribute__((format(printf, 2, 3))) static void fault(struct reader *r, const char *fmt, ...)
{
    struct counts *c = r->counts;
    va_list args;

    if (c->errors == 0 && c->wrong == 0) {
        va_start(args, fmt);
        (void)vsnprintf(c->message, sizeof(c->message), fmt, args);
        va_end(args);
    }
}

static void count(struct reader *r, const struct file *f, uint64_t offset, const uint8_t *have,
                  size_t n)
{
    uint64_t first = 0;
    size_t wrong = differences(f->number, offset, have, n, &first);

    if (wrong > 0) {
        fault(r, "%s %s: %zu wrong bytes in [%llu, +%zu), the first at %llu", r->mode, f->path,
              wrong, (unsigned long long)offset, n, (unsigned long long)first);
        r->counts->wrong += wrong;
    }
    r->counts->reads++;
    r->counts->bytes += n;
}

static void took(struct reader *r, uint64_t began)
{
    uint64_t ns = now_ns() - began;

    if (ns > r->counts->longest_ns)
        r->counts->longest_ns = ns;
}

static void read_at(struct reader *r, const struct file *f, int fd, uint64_t offset, size_t n)
{
    uint64_t began = now_ns();
    ssize_t got = pread(fd, r->buffer, n, (off_t)offset);

    took(r, began);
    if (got != (ssize_t)n) {
        fault(r, "%s %s: pread(%zu, %llu) is %zd: %s", r->mode, f->path, n,
              (unsigned long long)offset, got, got < 0 ? strerror(errno) : "short");
        r->counts->errors++;
        return;
    }
    count(r, f, offset, r->buffer, n);
}

static size_t some_size(struct reader *r, uint64_t left)
{
    size_t n = 1 + next_random(r) % options.largest;

    return n < left ? n : (size_t)left;
}

static void drop_pages(struct reader *r, int fd, uint64_t offset, size_t n)
{
    if (next_random(r) % 4 != 0)
        (void)posix_fadvise(fd, (off_t)offset, (off_t)n, POSIX_FADV_DONTNEED);
}

static void random_read(struct reader *r, const struct file *f, int fd)
{
    uint64_t offset = next_random(r) % f->size;
    size_t n = some_size(r, f->size - offset);

    drop_pages(r, fd, offset, n);
    read_at(r, f, fd, offset, n);
}

static void sequential_read(struct reader *r, const struct file *f, int fd)
{
    uint64_t *at = &r->sequential[f - files];

    for (unsigned i = 0; i < 4 && !*stop; i++) {
        uint64_t left = f->size - *at;
        size_t n = left < options.largest ? (size_t)left : options.largest;

        read_at(r, f, fd, *at, n);
        *at += n;
        if (*at == f->size) {
            *at = 0;
            drop_pages(r, fd, 0, 0);
        }
    }
}

static void on_bus(int sig)
{
    if (bus_expected)
        siglongjmp(bus_return, 1);
    (void)signal(sig, SIG_DFL);
    (void)raise(sig);
}

/* False at a SIGBUS. */
static bool copy_mapped(uint8_t *to, const uint8_t *from, size_t n)
{
    bool copied = false;

    if (sigsetjmp(bus_return, 1) == 0) {
        bus_expected = 1;
        memcpy(to, from, n);
        copied = true;
    }
    bus_expected = 0;
    return copied;
}

static bool touch_pages(struct reader *r, const struct file *f, const uint8_t *map, uint64_t offset,
                        size_t n)
{
    for (unsigned i = 0; i < 8; i++) {
        size_t at = next_random(r) % n, piece = n - at < PAGE ? n - at : PAGE;
        uint64_t began = now_ns();

        if (!copy_mapped(r->buffer, map + at, piece))
            return false;
        took(r, began);
        count(r, f, offset + at, r->buffer, piece);
    }
    return true;
}

static void mapped_read(struct reader *r, const struct file *f, int fd)
{
    uint64_t offset = next_random(r) % f->size / PAGE * PAGE;
    size_t n = f->size - offset < WINDOW ? (size_t)(f->size - offset) : WINDOW;
    uint8_t *map;

    drop_pages(r, fd, offset, n);
    map = mmap(NULL, n, PROT_READ, MAP_SHARED, fd, (off_t)offset);
    if (map == MAP_FAILED) {
        fault(r, "mmap %s: %s", f->path, strerror(errno));
        r->counts->errors++;
        return;
    }
    if (!touch_pages(r, f, map, offset, n)) {
        fault(r, "mmap %s: SIGBUS in [%llu, +%zu)", f->path, (unsigned long long)offset, n);
        r->counts->errors++;
    }
    munmap(map, n);
}

/* Everything that comes before a read: looking up, opening, attributes. */
static void reopened_read(struct reader *r, const struct file *f)
{
    uint64_t began = now_ns();
    int fd = open(f->path, O_RDONLY | O_CLOEXEC);
    struct stat st = {0};

    if (fd < 0 || fstat(fd, &st) != 0 || (uint64_t)st.st_size != f->size) {
        fault(r, "open %s: %s, %llu bytes", f->path, strerror(errno),
              (unsigned long long)st.st_size);
        r->counts->errors++;
    } else {
        took(r, began);
        random_read(r, f, fd);
    }
    if (fd >= 0)
        close(fd);
}

static void stream(struct reader *r)
{
    const struct file *f = &files[r->number % n_files];

    for (uint64_t at = 0; at < f->size && !*stop && r->counts->errors == 0;) {
        uint64_t left = f->size - at;
        size_t n = left < options.largest ? (size_t)left : options.largest;

        read_at(r, f, f->fd, at, n);
        at += n;
    }
    r->counts->ended = true;
}

static void *read_on(void *arg)
{
    struct reader *r = arg;

    r->counts->ready = true;
    if (strcmp(r->mode, "stream") == 0) {
        stream(r);
        return NULL;
    }
    while (!*stop) {
        const struct file *f = &files[next_random(r) % n_files];

        if (options.pause > 0)
            (void)usleep((useconds_t)(next_random(r) % (2000 * options.pause)));
        if (f->size == 0)
            continue;
        if (strcmp(r->mode, "random") == 0)
            random_read(r, f, f->fd);
        else if (strcmp(r->mode, "sequential") == 0)
            sequential_read(r, f, f->fd);
        else if (strcmp(r->mode, "mmap") == 0)
            mapped_read(r, f, f->fd);
        else
            reopened_read(r, f);
    }
    r->counts->ended = true;
    return NULL;
}

static void open_all(void)
{
    for (unsigned i = 0; i < n_files; i++) {
        struct stat st = {0};

        files[i].fd = open(files[i].path, O_RDONLY | O_CLOEXEC);
        if (files[i].fd < 0 || fstat(files[i].fd, &st) != 0)
            die(files[i].path);
        if ((uint64_t)st.st_size != files[i].size) {
            errno = EINVAL;
            die("a file has another size than told");
        }
    }
}

/* One process: its threads are readers first, first + 1, ... */
static void process(unsigned first)
{
    struct sigaction action = {.sa_handler = on_bus, .sa_flags = SA_NODEFER};
    pthread_t threads[64];

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)sigaction(SIGBUS, &action, NULL);
    open_all();
    for (unsigned i = 0; i < options.threads; i++) {
        struct reader *r = calloc(1, sizeof(*r));
        unsigned number = first + i;

        if (r == NULL || (r->buffer = malloc(options.largest + PAGE)) == NULL)
            die("no memory");
        r->counts = &all[number];
        r->number = number;
        r->mode = options.modes[number % options.n_modes];
        r->seed = now_ns() * 2654435761U + ((uint64_t)getpid() << 20) + number + 1;
        if (pthread_create(&threads[i], NULL, read_on, r) != 0)
            die("no thread");
    }
    for (unsigned i = 0; i < options.threads; i++)
        (void)pthread_join(threads[i], NULL);
    _exit(0);
}

static unsigned readers(void)
{
    return options.processes * options.threads;
}

static unsigned how_many_ended(void)
{
    unsigned n = 0;

    for (unsigned i = 0; i < readers(); i++)
        n += all[i].ended;
    return n;
}

static void print_counts(unsigned stuck)
{
    uint64_t reads = 0, bytes = 0, errors = 0, wrong = 0, longest = 0;
    json_t *messages = json_array();

    for (unsigned i = 0; i < readers(); i++) {
        struct counts *c = &all[i];

        reads += c->reads;
        bytes += c->bytes;
        errors += c->errors;
        wrong += c->wrong;
        longest = c->longest_ns > longest ? c->longest_ns : longest;
        if (c->message[0] != '\0' && json_array_size(messages) < MESSAGES_MAX)
            json_array_append_new(messages, json_sprintf("reader %u: %s", i, c->message));
    }
    json_t *line = json_pack("{s:i, s:I, s:I, s:I, s:I, s:i, s:f, s:o}", "readers", (int)readers(),
                             "reads", (json_int_t)reads, "bytes", (json_int_t)bytes, "errors",
                             (json_int_t)errors, "wrong", (json_int_t)wrong, "stuck", (int)stuck,
                             "longest_ms", (double)longest / 1e6, "messages", messages);
    json_dumpf(line, stdout, JSON_COMPACT);
    (void)putchar('\n');
    (void)fflush(stdout);
    json_decref(line);
}

/* Answers lines until stdin ends, the time is over, or nobody reads any more. */
static void serve_stdin(void)
{
    uint64_t end = options.seconds == 0 ? UINT64_MAX : now_ns() + options.seconds * 1000000000ULL;
    char text[256];

    while (now_ns() < end && how_many_ended() < readers()) {
        struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};

        if (poll(&p, 1, 100) <= 0)
            continue;
        ssize_t n = read(STDIN_FILENO, text, sizeof(text));
        if (n <= 0 && options.seconds == 0)
            return;
        if (n <= 0)
            (void)usleep(50000);
        for (ssize_t i = 0; i < n; i++)
            if (text[i] == '\n')
                print_counts(0);
    }
}

static void wait_until_ready(const pid_t *pids)
{
    for (unsigned i = 0; i < readers();) {
        int status;

        if (all[i].ready) {
            i++;
        } else if (waitpid(pids[i / options.threads], &status, WNOHANG) > 0) {
            (void)fprintf(stderr, "mount_readers: a reader ended with status %d\n", status);
            exit(2);
        } else {
            (void)usleep(1000);
        }
    }
    (void)puts("{\"ready\":true}");
    (void)fflush(stdout);
}

/* Readers that died are stuck too: none of them has anything to die of. */
static int run_readers(void)
{
    pid_t pids[4096];

    if (options.processes > 4096 || options.threads > 64 || options.threads == 0 || n_files == 0) {
        errno = EINVAL;
        die("too many readers, or no files");
    }
    all = mmap(NULL, sizeof(*all) * readers() + PAGE, PROT_READ | PROT_WRITE,
               MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED)
        die("no memory");
    stop = (_Atomic bool *)&all[readers()];
    for (unsigned i = 0; i < options.processes; i++) {
        pids[i] = fork();
        if (pids[i] < 0)
            die("fork");
        if (pids[i] == 0)
            process(i * options.threads);
    }
    wait_until_ready(pids);
    serve_stdin();
    *stop = true;
    uint64_t deadline = now_ns() + options.grace * 1000000000ULL;
    while (how_many_ended() < readers() && now_ns() < deadline)
        (void)usleep(5000);
    unsigned stuck = readers() - how_many_ended();
    /* Without waiting for them: one that hangs in the kernel would take us along. */
    for (unsigned i = 0; i < options.processes && stuck > 0; i++)
        (void)kill(pids[i], SIGKILL);
    print_counts(stuck);
    return 0;
}

static int generate(const char *path, uint64_t number, uint64_t size)
{
    enum { PIECE = 1 << 20 };
    uint8_t *piece = malloc(PIECE);
    FILE *file = fopen(path, "we");

    if (file == NULL || piece == NULL)
        die(path);
    for (uint64_t at = 0; at < size;) {
        size_t n = size - at < PIECE ? (size_t)(size - at) : PIECE;

        fill(number, at, piece, n);
        if (fwrite(piece, 1, n, file) != n)
            die(path);
        at += n;
    }
    if (fclose(file) != 0)
        die(path);
    free(piece);
    return 0;
}

static int check(void)
{
    struct counts counts = {0};
    struct reader r = {.counts = &counts, .mode = "check", .seed = 1};

    all = &counts;
    r.buffer = malloc(options.largest);
    if (r.buffer == NULL)
        die("no memory");
    open_all();
    for (unsigned i = 0; i < n_files; i++)
        for (uint64_t at = 0; at < files[i].size && counts.errors == 0;) {
            uint64_t left = files[i].size - at;
            size_t n = left < options.largest ? (size_t)left : options.largest;

            read_at(&r, &files[i], files[i].fd, at, n);
            at += n;
        }
    print_counts(0);
    free(r.buffer);
    return counts.errors > 0 || counts.wrong > 0;
}

static void add_file(char *text)
{
    char *size = strrchr(text, ':'), *number = NULL;

    if (size != NULL) {
        *size++ = '\0';
        number = strrchr(text, ':');
    }
    if (number == NULL || n_files == FILES_MAX) {
        errno = EINVAL;
        die("PATH:NUMBER:SIZE");
    }
    *number++ = '\0';
    files[n_files++] = (struct file){.path = text,
                                     .number = strtoull(number, NULL, 10),
                                     .size = strtoull(size, NULL, 10),
                                     .fd = -1};
}

static void set_modes(char *text)
{
    char *rest = NULL;

    options.n_modes = 0;
    for (char *word_of = strtok_r(text, ",", &rest); word_of != NULL && options.n_modes < MODES_MAX;
         word_of = strtok_r(NULL, ",", &rest))
        options.modes[options.n_modes++] = word_of;
}

static void set_option(const char *name, char *value)
{
    unsigned long number = strtoul(value, NULL, 10);

    if (strcmp(name, "--processes") == 0)
        options.processes = (unsigned)number;
    else if (strcmp(name, "--threads") == 0)
        options.threads = (unsigned)number;
    else if (strcmp(name, "--seconds") == 0)
        options.seconds = (unsigned)number;
    else if (strcmp(name, "--pause") == 0)
        options.pause = (unsigned)number;
    else if (strcmp(name, "--grace") == 0)
        options.grace = (unsigned)number;
    else if (strcmp(name, "--largest") == 0)
        options.largest = number;
    else if (strcmp(name, "--modes") == 0)
        set_modes(value);
    else {
        errno = EINVAL;
        die(name);
    }
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";

    if (strcmp(what, "generate") == 0 && argc == 5)
        return generate(argv[2], strtoull(argv[3], NULL, 10), strtoull(argv[4], NULL, 10));
    if (strcmp(what, "check") != 0 && strcmp(what, "read") != 0) {
        errno = EINVAL;
        die("generate, check or read");
    }
    for (int i = 2; i < argc; i++) {
        if (strncmp(argv[i], "--", 2) == 0 && i + 1 < argc) {
            set_option(argv[i], argv[i + 1]);
            i++;
        } else {
            add_file(argv[i]);
        }
    }
    return strcmp(what, "check") == 0 ? check() : run_readers();
}
