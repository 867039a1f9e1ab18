/* test_mount_engine_stress.c: the engine under load: threads that read files of a directory at
 * random and in sequence, with little memory and little or no cache, while the disk fails, blobs
 * are dropped and the store is changed. Every byte is checked.
 */
#include "engine_rig.h"

#include <fcntl.h>
#include <pthread.h>

#include "fault.h"
#include "shared.h"

enum { BLOCK = BLOCK_SIZE, FILES = 6, READERS = 12, READS = 150, SEQUENTIAL = 4, STORE_MS = 40 };

static const uint64_t sizes[FILES] = {1,          3 * BLOCK + 5,     4 * BLOCK,
                                      20 * BLOCK, 33 * BLOCK + 7777, 9 * BLOCK + 1};

static struct {
    char dir[64], url[96];
    struct hfc_store *store;
    struct blob *blobs[FILES];
    char etags[FILES][HFC_ETAG_MAX], keys[FILES][8];
    struct hfc_meta metas[FILES];
    atomic_uint running;
    struct hfc_timer change;
    unsigned changes;
    bool drops, head_done;
} s;

/* ---- The store. ---- */

static void write_files(void)
{
    for (unsigned i = 0; i < FILES; i++) {
        char path[96];
        hfc_autofree uint8_t *bytes = malloc(sizes[i]);
        (void)snprintf(s.keys[i], sizeof(s.keys[i]), "f%u", i);
        (void)snprintf(path, sizeof(path), "%s/%s", s.dir, s.keys[i]);
        hfc_autoclose int fd = open(path, O_WRONLY | O_CREAT, 0600);
        rig_content(s.keys[i], 0, bytes, sizes[i]);
        assert_int_equal(write(fd, bytes, sizes[i]), sizes[i]);
        s.metas[i].has_sha256 = i % 2 == 1;
        rig_digest(s.keys[i], sizes[i], HFC_SHA256, s.metas[i].sha256);
    }
}

static void open_directory(void)
{
    const struct hfc_store_config config = {.retry = {.tries = 2, .base_ms = 10, .cap_ms = 100}};
    struct hfc_error err;

    s.store = hfc_store_open(rig.loop, s.url, &config, &err);
    assert_non_null(s.store);
}

static void head_done(void *ctx, const struct hfc_store_reply *reply, const struct hfc_error *err)
{
    assert_null(err);
    (void)snprintf(ctx, HFC_ETAG_MAX, "%s", reply->object.etag);
    s.head_done = true;
}

static void use_blobs(void)
{
    struct hfc_error err;

    for (unsigned i = 0; i < FILES; i++) {
        s.head_done = false;
        (void)hfc_store_head(s.store, s.keys[i], head_done, s.etags[i]);
        assert_int_equal(hfc_loop_run(rig.loop, &s.head_done, &err), 0);
        const struct blob_info info = {.id = (i + 1) * 1000,
                                       .size = sizes[i],
                                       .key = s.keys[i],
                                       .etag = s.etags[i],
                                       .meta = s.metas[i]};
        s.blobs[i] = blob_use(rig.cache, &info);
        assert_non_null(s.blobs[i]);
    }
}

/* From time to time the store is another one, or away for a moment, and a blob is dropped. */
static void change(void *ctx)
{
    (void)ctx;
    switch (++s.changes % 4) {
    case 1:
        engine_use_store(rig.engine, NULL);
        hfc_store_close(s.store);
        open_directory();
        break;
    case 2:
        engine_use_store(rig.engine, s.store);
        break;
    case 3:
        if (s.drops)
            blob_drop(s.blobs[s.changes / 4 % FILES]);
        break;
    default:
        engine_use_store(rig.engine, s.store);
    }
    hfc_timer_start(rig.loop, &s.change, STORE_MS, change, NULL);
}

/* ---- Readers. ---- */

struct reader {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t answered;
    struct rig_read x;
    unsigned number, wrong;
    bool done;
};

static void on_answer(struct read *r, const struct iovec *pieces, unsigned n, int errnum)
{
    struct reader *reader = r->ctx;
    struct rig_read copy = reader->x;

    r->ctx = &copy;
    rig_done(r, pieces, n, errnum);
    r->ctx = reader;
    (void)pthread_mutex_lock(&reader->lock);
    if (!copy.right || copy.bytes != r->size)
        reader->wrong++;
    reader->done = true;
    (void)pthread_cond_signal(&reader->answered);
    (void)pthread_mutex_unlock(&reader->lock);
}

static void read_once(struct reader *reader, struct blob *b, uint64_t offset, uint32_t size,
                      bool twice)
{
    uint64_t left = blob_info(b)->size - offset;

    reader->done = false;
    reader->x = (struct rig_read){.key = blob_info(b)->key};
    reader->x.read = (struct read){.blob = b,
                                   .offset = offset,
                                   .size = left < size ? (uint32_t)left : size,
                                   .done = on_answer,
                                   .ctx = reader};
    if (twice && engine_read(rig.engine, &reader->x.read, false))
        return;
    (void)engine_read(rig.engine, &reader->x.read, true);
    (void)pthread_mutex_lock(&reader->lock);
    while (!reader->done)
        (void)pthread_cond_wait(&reader->answered, &reader->lock);
    (void)pthread_mutex_unlock(&reader->lock);
}

static void *reader_thread(void *arg)
{
    struct reader *reader = arg;
    uint64_t at = 0;

    for (unsigned i = 0; i < READS; i++) {
        uint64_t word = rig_word(reader->number, i);
        unsigned file =
            reader->number < SEQUENTIAL ? 3 + reader->number % 3 : (unsigned)(word % FILES);
        uint32_t size = 1 + (uint32_t)(word >> 32) % (word % 3 == 0 ? READ_MAX : 70000);
        if (reader->number >= SEQUENTIAL)
            at = (word >> 8) % sizes[file];
        else if (at >= sizes[file])
            at = 0;
        read_once(reader, s.blobs[file], at, size, i % 2 == 0);
        at += size;
    }
    atomic_fetch_sub(&s.running, 1);
    return NULL;
}

static bool all_have_read(void *ctx)
{
    (void)ctx;
    return atomic_load(&s.running) == 0;
}

static void read_all_at_once(void)
{
    static struct reader readers[READERS];
    unsigned wrong = 0;

    atomic_store(&s.running, READERS);
    for (unsigned i = 0; i < READERS; i++) {
        readers[i] = (struct reader){.number = i};
        (void)pthread_mutex_init(&readers[i].lock, NULL);
        (void)pthread_cond_init(&readers[i].answered, NULL);
        assert_int_equal(pthread_create(&readers[i].thread, NULL, reader_thread, &readers[i]), 0);
    }
    rig_until(all_have_read, NULL);
    for (unsigned i = 0; i < READERS; i++) {
        (void)pthread_join(readers[i].thread, NULL);
        (void)pthread_cond_destroy(&readers[i].answered);
        (void)pthread_mutex_destroy(&readers[i].lock);
        wrong += readers[i].wrong;
    }
    assert_int_equal(wrong, 0);
}

/* ---- Runs. ---- */

static void run(uint64_t cache, unsigned chunks, unsigned connections, const char *faults,
                bool changes)
{
    struct shared *shared = calloc(1, sizeof(*shared));

    s.drops = changes;
    s.changes = 0;
    if (faults != NULL)
        (void)setenv("HFCACHE_FAULT", faults, 1);
    fault_setup(shared);
    rig_open(cache, chunks, connections, RIG_WAIT_S);
    (void)snprintf(s.dir, sizeof(s.dir), "/tmp/hfc-test-engine-store-XXXXXX");
    assert_non_null(mkdtemp(s.dir));
    (void)snprintf(s.url, sizeof(s.url), "file://%s", s.dir);
    write_files();
    open_directory();
    use_blobs();
    engine_use_store(rig.engine, s.store);
    if (changes)
        hfc_timer_start(rig.loop, &s.change, STORE_MS, change, NULL);
    read_all_at_once();
    hfc_timer_stop(&s.change);
    rig_until(rig_nothing_runs, NULL);
    engine_use_store(rig.engine, NULL);
    hfc_store_close(s.store);
    for (unsigned i = 0; i < FILES; i++)
        blob_done(s.blobs[i]);
    rig_close();
    (void)unsetenv("HFCACHE_FAULT");
    fault_setup(NULL);
    assert_int_equal(nftw(s.dir, rig_remove, 16, FTW_DEPTH | FTW_PHYS), 0);
    free(shared);
}

static void with_room_for_everything(void **state)
{
    (void)state;
    run(64 * 1024 * 1024, 32, 4, NULL, false);
}

static void with_a_small_cache(void **state)
{
    (void)state;
    run(16 * BLOCK, 16, 4, NULL, false);
}

static void without_a_cache(void **state)
{
    (void)state;
    run(1, READ_BLOCKS_MAX + 2, 2, NULL, false);
}

static void with_one_connection(void **state)
{
    (void)state;
    run(10 * BLOCK, READ_BLOCKS_MAX + 3, 1, NULL, false);
}

static void while_everything_changes(void **state)
{
    (void)state;
    run(24 * BLOCK, 12, 3, NULL, true);
}

static void while_the_disk_fails(void **state)
{
    (void)state;
    run(24 * BLOCK, 12, 3, "disk-read:EIO:5,disk-read:EIO:9,disk-read:EIO:14,disk-write:EIO:20",
        true);
}

static void while_no_block_can_be_read_back(void **state)
{
    (void)state;
    run(64 * 1024 * 1024, 16, 4, "disk-read:EIO:*", false);
}

static void while_bodies_are_cut(void **state)
{
    (void)state;
    run(64 * 1024 * 1024, 16, 4, "mid-fill:EIO:3,mid-fill:EIO:50,mid-fill:EIO:51", false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(with_room_for_everything),
        cmocka_unit_test(with_a_small_cache),
        cmocka_unit_test(without_a_cache),
        cmocka_unit_test(with_one_connection),
        cmocka_unit_test(while_everything_changes),
        cmocka_unit_test(while_the_disk_fails),
        cmocka_unit_test(while_no_block_can_be_read_back),
        cmocka_unit_test(while_bodies_are_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
