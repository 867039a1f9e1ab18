/* store_tool.c: an object store by hand, for tests: one operation a run, JSON lines on stdout.
 *
 *     store_tool URL head KEY | delete KEY | list [PREFIX] | uploads [PREFIX]
 *     store_tool URL get KEY FILE        --offset N --length N --if-match E --if-none-match E
 *     store_tool URL put KEY FILE        --stream --if-absent --if-match E --sha256 HEX --git-sha1
 * HEX store_tool URL many PREFIX COUNT   objects PREFIX0000 ..., their content their number
 *     store_tool URL copy FROM TO        --if-match E --sha256 HEX --git-sha1 HEX
 *     store_tool URL create KEY          --sha256 HEX --git-sha1 HEX
 *     store_tool URL part KEY ID NUMBER FILE       --stream --offset N
 *     store_tool URL parts KEY ID
 *     store_tool URL complete KEY ID     with the parts of `parts`; --sha256 HEX --git-sha1 HEX
 *     store_tool URL abort KEY ID
 *
 * An error is a line {"error": MESSAGE, "errno": NAME} and status 1. The log goes to stderr.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <jansson.h>

#include "cleanup.h"
#include "file.h"
#include "upload.h"

enum { FILE_MAX = 1 << 30, MANY_AT_ONCE = 16 };

struct options {
    uint64_t offset, length;
    const char *if_match, *if_none_match;
    bool stream, if_absent;
    struct hfc_meta meta;
};

struct run {
    struct hfc_loop *loop;
    struct hfc_store *store;
    struct options o;
    bool done;
    int rc;
    FILE *out;
    struct hfc_hash *hash;
    uint64_t bytes;
    struct hfc_part *parts; /* HFC_PARTS_MAX */
    unsigned n_parts;
    struct hfc_object head;
    unsigned next, count, running; /* many */
    const char *prefix;
};

static void die(const char *what)
{
    (void)fprintf(stderr, "store_tool: %s\n", what);
    exit(2);
}

static void print(json_t *line)
{
    json_dumpf(line, stdout, JSON_COMPACT | JSON_SORT_KEYS);
    (void)putchar('\n');
    json_decref(line);
}

static void add_object(json_t *line, const struct hfc_object *o)
{
    char hex[HFC_HEX_MAX];

    json_object_set_new(line, "size", json_integer((json_int_t)o->size));
    json_object_set_new(line, "etag", json_string(o->etag));
    json_object_set_new(line, "modified", json_integer(o->modified));
    if (o->meta.has_sha256) {
        hfc_hex(o->meta.sha256, HFC_SHA256_SIZE, hex);
        json_object_set_new(line, "sha256", json_string(hex));
    }
    if (o->meta.has_git_sha1) {
        hfc_hex(o->meta.git_sha1, HFC_SHA1_SIZE, hex);
        json_object_set_new(line, "git_sha1", json_string(hex));
    }
}

static void print_error(const struct hfc_error *err)
{
    const char *name = strerrorname_np(err->errnum);

    print(json_pack("{s:s, s:s}", "error", err->msg, "errno", name != NULL ? name : "none"));
}

static void finished(void *ctx, const struct hfc_store_reply *reply, const struct hfc_error *err)
{
    struct run *r = ctx;

    r->done = true;
    r->head = reply->object;
    if (err != NULL) {
        r->rc = 1;
        print_error(err);
        return;
    }
    json_t *line = json_object();
    add_object(line, &reply->object);
    if (reply->upload_id != NULL)
        json_object_set_new(line, "upload_id", json_string(reply->upload_id));
    if (r->hash != NULL) {
        uint8_t digest[HFC_SHA256_SIZE];
        char hex[HFC_HEX_MAX];
        hfc_hash_finish(r->hash, digest);
        hfc_hex(digest, sizeof(digest), hex);
        json_object_set_new(line, "got", json_integer((json_int_t)r->bytes));
        json_object_set_new(line, "got_sha256", json_string(hex));
    }
    print(line);
}

/* Of an operation that only prepares the one that was asked for. */
static void prepared(void *ctx, const struct hfc_store_reply *reply, const struct hfc_error *err)
{
    struct run *r = ctx;

    r->done = true;
    r->head = reply->object;
    if (err != NULL) {
        r->rc = 1;
        print_error(err);
    }
}

static void wait_for(struct run *r)
{
    struct hfc_error err;

    if (hfc_loop_run(r->loop, &r->done, &err) < 0)
        die(err.msg);
    r->done = false;
}

static void print_item(void *ctx, const char *key, const struct hfc_object *o)
{
    json_t *line = json_pack("{s:s}", "key", key);

    (void)ctx;
    add_object(line, o);
    print(line);
}

static void print_upload(void *ctx, const char *key, const char *id, int64_t initiated)
{
    (void)ctx;
    print(json_pack("{s:s, s:s, s:I}", "key", key, "upload_id", id, "initiated",
                    (json_int_t)initiated));
}

static void take_part(void *ctx, unsigned number, const struct hfc_part *part)
{
    struct run *r = ctx;

    if (number != r->n_parts + 1)
        die("a part is missing");
    r->parts[r->n_parts++] = *part;
}

static void print_part(void *ctx, unsigned number, const struct hfc_part *part)
{
    json_t *line = json_pack("{s:i, s:I, s:s}", "number", (int)number, "size",
                             (json_int_t)part->size, "etag", part->etag);
    char hex[HFC_HEX_MAX];

    (void)ctx;
    if (part->has_sha256) {
        hfc_hex(part->sha256, HFC_SHA256_SIZE, hex);
        json_object_set_new(line, "sha256", json_string(hex));
    }
    print(line);
}

static enum hfc_flow take_data(void *ctx, const void *bytes, size_t n)
{
    struct run *r = ctx;

    hfc_hash_add(r->hash, bytes, n);
    r->bytes += n;
    if (fwrite(bytes, 1, n, r->out) != n)
        die("can't write");
    return HFC_FLOW_ON;
}

static void do_get(struct run *r, const char *key, const char *file)
{
    struct hfc_get get = {.key = key,
                          .offset = r->o.offset,
                          .length = r->o.length,
                          .if_match = r->o.if_match,
                          .if_none_match = r->o.if_none_match};

    r->out = fopen(file, "wb");
    if (r->out == NULL)
        die(file);
    r->hash = hfc_hash_new(HFC_SHA256);
    hfc_store_get(r->store, &get, take_data, finished, r);
    wait_for(r);
    hfc_hash_free(r->hash);
    if (fclose(r->out) != 0)
        die(file);
}

/* The file's bytes as a body that stays until the operation is done. */
static struct hfc_body body_of_file(const struct run *r, const char *file, struct hfc_buf *bytes,
                                    struct hfc_memory_body *memory, uint8_t *sha256)
{
    struct hfc_error err;

    hfc_buf_init(bytes, FILE_MAX);
    if (hfc_file_read(AT_FDCWD, file, bytes, &err) < 0)
        die(err.msg);
    *memory = (struct hfc_memory_body){bytes->data, bytes->len};
    hfc_hash_of(HFC_SHA256, bytes->data, bytes->len, sha256);
    return hfc_body_of(memory, r->o.stream ? NULL : sha256);
}

static void do_put(struct run *r, const char *key, const char *file)
{
    hfc_autobuf struct hfc_buf bytes;
    struct hfc_memory_body memory;
    uint8_t sha256[HFC_SHA256_SIZE];
    struct hfc_put put = {.key = key,
                          .body = body_of_file(r, file, &bytes, &memory, sha256),
                          .meta = r->o.meta,
                          .if_match = r->o.if_match};

    put.condition = r->o.if_absent          ? HFC_IF_ABSENT
                    : r->o.if_match != NULL ? HFC_IF_MATCH
                                            : HFC_ALWAYS;
    hfc_store_put(r->store, &put, finished, r);
    wait_for(r);
}

static void do_part(struct run *r, const char *key, const char *id, const char *number,
                    const char *file)
{
    hfc_autobuf struct hfc_buf bytes;
    struct hfc_memory_body memory;
    uint8_t sha256[HFC_SHA256_SIZE];
    struct hfc_body body = body_of_file(r, file, &bytes, &memory, sha256);

    hfc_store_put_part(r->store, key, id, (unsigned)strtoul(number, NULL, 10), r->o.offset, &body,
                       finished, r);
    wait_for(r);
}

static void do_complete(struct run *r, const char *key, const char *id)
{
    r->parts = calloc(HFC_PARTS_MAX, sizeof(*r->parts));
    if (r->parts == NULL)
        die("memory");
    hfc_store_list_parts(r->store, key, id, take_part, prepared, r);
    wait_for(r);
    if (r->rc == 0) {
        hfc_store_complete(r->store, key, id, r->parts, r->n_parts, &r->o.meta, finished, r);
        wait_for(r);
    }
    free(r->parts);
}

static void do_copy(struct run *r, const char *from, const char *to)
{
    hfc_store_head(r->store, from, prepared, r);
    wait_for(r);
    if (r->rc != 0)
        return;
    struct hfc_copy copy = {.from = from,
                            .to = to,
                            .etag = r->o.if_match != NULL ? r->o.if_match : r->head.etag,
                            .size = r->head.size,
                            .meta = r->o.meta};
    hfc_store_copy(r->store, &copy, finished, r);
    wait_for(r);
}

struct one {
    struct run *run;
    char text[16];
    struct hfc_memory_body memory;
};

static void start_more(struct run *r);

static void one_done(void *ctx, const struct hfc_store_reply *reply, const struct hfc_error *err)
{
    struct one *one = ctx;
    struct run *r = one->run;

    (void)reply;
    free(one);
    if (err != NULL) {
        r->rc = 1;
        print_error(err);
    }
    r->running--;
    start_more(r);
    r->done = r->running == 0;
}

static void start_more(struct run *r)
{
    while (r->running < MANY_AT_ONCE && r->next < r->count && r->rc == 0) {
        struct one *one = calloc(1, sizeof(*one));
        char key[HFC_KEY_MAX];
        if (one == NULL)
            die("memory");
        one->run = r;
        (void)snprintf(one->text, sizeof(one->text), "%u", r->next);
        (void)snprintf(key, sizeof(key), "%s%04u", r->prefix, r->next++);
        one->memory = (struct hfc_memory_body){one->text, strlen(one->text)};
        struct hfc_put put = {.key = key, .body = hfc_body_of(&one->memory, NULL)};
        r->running++;
        hfc_store_put(r->store, &put, one_done, one);
    }
}

static void do_many(struct run *r, const char *prefix, const char *count)
{
    r->prefix = prefix;
    r->count = (unsigned)strtoul(count, NULL, 10);
    r->done = r->count == 0;
    start_more(r);
    wait_for(r);
}

/* Takes the options out of argv; returns how many words are left. */
static int take_options(struct options *o, int argc, char **argv)
{
    int words = 0;

    for (int i = 0; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        bool took_value = true;
        if (strcmp(argv[i], "--offset") == 0) {
            o->offset = strtoull(value, NULL, 10);
        } else if (strcmp(argv[i], "--length") == 0) {
            o->length = strtoull(value, NULL, 10);
        } else if (strcmp(argv[i], "--if-match") == 0) {
            o->if_match = value;
        } else if (strcmp(argv[i], "--if-none-match") == 0) {
            o->if_none_match = value;
        } else if (strcmp(argv[i], "--sha256") == 0) {
            o->meta.has_sha256 = hfc_unhex(value, o->meta.sha256, HFC_SHA256_SIZE);
        } else if (strcmp(argv[i], "--git-sha1") == 0) {
            o->meta.has_git_sha1 = hfc_unhex(value, o->meta.git_sha1, HFC_SHA1_SIZE);
        } else {
            took_value = false;
            if (strcmp(argv[i], "--stream") == 0)
                o->stream = true;
            else if (strcmp(argv[i], "--if-absent") == 0)
                o->if_absent = true;
            else
                argv[words++] = argv[i];
        }
        i += took_value;
    }
    return words;
}

static void dispatch(struct run *r, const char *what, int n, char **w)
{
    struct hfc_store *s = r->store;

    if (strcmp(what, "get") == 0 && n == 2)
        do_get(r, w[0], w[1]);
    else if (strcmp(what, "put") == 0 && n == 2)
        do_put(r, w[0], w[1]);
    else if (strcmp(what, "many") == 0 && n == 2)
        do_many(r, w[0], w[1]);
    else if (strcmp(what, "copy") == 0 && n == 2)
        do_copy(r, w[0], w[1]);
    else if (strcmp(what, "part") == 0 && n == 4)
        do_part(r, w[0], w[1], w[2], w[3]);
    else if (strcmp(what, "complete") == 0 && n == 2)
        do_complete(r, w[0], w[1]);
    else {
        if (strcmp(what, "head") == 0 && n == 1)
            hfc_store_head(s, w[0], finished, r);
        else if (strcmp(what, "delete") == 0 && n == 1)
            hfc_store_delete(s, w[0], finished, r);
        else if (strcmp(what, "list") == 0 && n <= 1)
            hfc_store_list(s, n == 1 ? w[0] : "", print_item, finished, r);
        else if (strcmp(what, "uploads") == 0 && n <= 1)
            hfc_store_list_uploads(s, n == 1 ? w[0] : "", print_upload, finished, r);
        else if (strcmp(what, "create") == 0 && n == 1)
            hfc_store_create_upload(s, w[0], &r->o.meta, finished, r);
        else if (strcmp(what, "parts") == 0 && n == 2)
            hfc_store_list_parts(s, w[0], w[1], print_part, finished, r);
        else if (strcmp(what, "abort") == 0 && n == 2)
            hfc_store_abort(s, w[0], w[1], finished, r);
        else
            die("usage: see the head of store_tool.c");
        wait_for(r);
    }
}

static void say(void *ctx, const char *line)
{
    (void)ctx;
    (void)fprintf(stderr, "%s\n", line);
}

int main(int argc, char **argv)
{
    struct run r = {0};
    struct hfc_error err;
    struct hfc_store_config config = {.http = {.connections = 4, .user_agent = "store_tool"},
                                      .log = say};
    int words = take_options(&r.o, argc - 1, argv + 1);

    if (words < 2)
        die("usage: see the head of store_tool.c");
    r.loop = hfc_loop_new(&err);
    if (r.loop == NULL)
        die(err.msg);
    r.store = hfc_store_open(r.loop, argv[1], &config, &err);
    if (r.store == NULL) {
        print_error(&err);
        r.rc = 1;
    } else {
        dispatch(&r, argv[2], words - 2, argv + 3);
    }
    hfc_store_close(r.store);
    hfc_loop_free(r.loop);
    return r.rc;
}
