/* test_aws_chunked.c: aws-chunked bodies (lib/aws_chunked.c). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "aws_chunked.h"
#include "buf.h"
#include "http.h"

/* A source that gives at most `piece` bytes a call, pauses before byte `pause_at`, once, and stops
 * at byte `stop_at`. */
struct source {
    const char *bytes;
    size_t n, piece;
    uint64_t pause_at, stop_at;
    ssize_t stop_with;
    unsigned restarts;
};

static ssize_t read_source(void *ctx, uint64_t offset, void *to, size_t n)
{
    struct source *s = ctx;

    s->restarts += offset == 0;
    if (s->stop_at != 0 && offset >= s->stop_at)
        return s->stop_with;
    if (s->pause_at != 0 && offset >= s->pause_at) {
        s->pause_at = 0;
        return HFC_READ_PAUSE;
    }
    assert_true(offset < s->n);
    size_t some = s->n - offset < n ? s->n - offset : n;
    some = s->piece > 0 && s->piece < some ? s->piece : some;
    if (s->pause_at > offset && offset + some > s->pause_at)
        some = s->pause_at - offset;
    memcpy(to, s->bytes + offset, some);
    return (ssize_t)some;
}

/* All that is sent, taken `step` bytes at a time. */
static void take_all(struct hfc_aws_chunked *c, size_t step, struct hfc_buf *out)
{
    char *piece = malloc(step);
    ssize_t n;

    assert_non_null(piece);
    while ((n = hfc_aws_chunked_read(c, out->len, piece, step)) > 0 || n == HFC_READ_PAUSE) {
        if (n > 0)
            hfc_buf_add(out, piece, (size_t)n);
        if (out->len == hfc_aws_chunked_size(c->body.size))
            break;
    }
    free(piece);
    assert_false(hfc_buf_failed(out));
}

static void a_small_body_is_one_chunk_and_the_trailer(void **state)
{
    struct source s = {.bytes = "hello", .n = 5};
    uint8_t digest[HFC_SHA256_SIZE], expected[HFC_SHA256_SIZE];
    struct hfc_body body = {.read = read_source, .ctx = &s, .size = 5, .sha256_out = digest};
    struct hfc_aws_chunked c = {0};
    hfc_autobuf struct hfc_buf out = HFC_BUF(1000);

    (void)state;
    hfc_aws_chunked_init(&c, &body);
    take_all(&c, 7, &out);
    assert_string_equal(out.data, "5\r\nhello\r\n0\r\nx-amz-checksum-sha256:"
                                  "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=\r\n\r\n");
    assert_int_equal(out.len, hfc_aws_chunked_size(5));
    hfc_hash_of(HFC_SHA256, "hello", 5, expected);
    assert_memory_equal(digest, expected, sizeof(digest));
    assert_true(c.ended);
    assert_int_equal(hfc_aws_chunked_read(&c, out.len, digest, 10), 0);
    hfc_aws_chunked_free(&c);
    hfc_aws_chunked_free(&c);
}

static void an_empty_body_is_the_trailer_alone(void **state)
{
    struct hfc_body body = {0};
    struct hfc_aws_chunked c = {0};
    hfc_autobuf struct hfc_buf out = HFC_BUF(1000);

    (void)state;
    hfc_aws_chunked_init(&c, &body);
    take_all(&c, 1000, &out);
    assert_string_equal(out.data, "0\r\nx-amz-checksum-sha256:"
                                  "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\r\n\r\n");
    assert_int_equal(out.len, hfc_aws_chunked_size(0));
    hfc_aws_chunked_free(&c);
}

/* Takes the frames off again. */
static void unframe(const struct hfc_buf *in, struct hfc_buf *out, unsigned *chunks)
{
    char *at = in->data;

    for (*chunks = 0;; ++*chunks) {
        char *end;
        unsigned long n = strtoul(at, &end, 16);
        assert_memory_equal(end, "\r\n", 2);
        if (n == 0)
            return;
        hfc_buf_add(out, end + 2, n);
        at = end + 2 + n;
        assert_memory_equal(at, "\r\n", 2);
        at += 2;
    }
}

static void sizes_around_a_chunk_come_out_whole(void **state)
{
    static const size_t sizes[] = {1,
                                   15,
                                   16,
                                   HFC_AWS_CHUNK - 1,
                                   HFC_AWS_CHUNK,
                                   HFC_AWS_CHUNK + 1,
                                   2 * HFC_AWS_CHUNK,
                                   3 * HFC_AWS_CHUNK + 77};
    static char bytes[4 * HFC_AWS_CHUNK];

    (void)state;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)(i * 7 + i / 251);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        for (size_t step = 1000; step < 400000; step *= 19) {
            struct source s = {.bytes = bytes, .n = sizes[i], .piece = 33333, .pause_at = 20000};
            struct hfc_body body = {.read = read_source, .ctx = &s, .size = sizes[i]};
            struct hfc_aws_chunked c = {0};
            hfc_autobuf struct hfc_buf out = HFC_BUF(2000000), plain = HFC_BUF(2000000);
            unsigned chunks;
            hfc_aws_chunked_init(&c, &body);
            take_all(&c, step, &out);
            assert_int_equal(out.len, hfc_aws_chunked_size(sizes[i]));
            unframe(&out, &plain, &chunks);
            assert_int_equal(plain.len, sizes[i]);
            assert_memory_equal(plain.data, bytes, sizes[i]);
            assert_int_equal(chunks, (sizes[i] + HFC_AWS_CHUNK - 1) / HFC_AWS_CHUNK);
            hfc_aws_chunked_free(&c);
        }
    }
}

static void offset_0_begins_anew(void **state)
{
    struct source s = {.bytes = "hello", .n = 5};
    struct hfc_body body = {.read = read_source, .ctx = &s, .size = 5};
    struct hfc_aws_chunked c = {0};
    hfc_autobuf struct hfc_buf first = HFC_BUF(1000), second = HFC_BUF(1000);
    char piece[6];

    (void)state;
    hfc_aws_chunked_init(&c, &body);
    assert_int_equal(hfc_aws_chunked_read(&c, 0, piece, sizeof(piece)), 6);
    take_all(&c, 10, &first);
    take_all(&c, 10, &second);
    assert_string_equal(first.data, second.data);
    assert_int_equal(s.restarts, 3);
    hfc_aws_chunked_init(&c, &body);
    assert_false(c.ended);
    hfc_aws_chunked_free(&c);
}

static void a_pause_is_passed_on_once_what_there_is_was_taken(void **state)
{
    struct source s = {.bytes = "hello", .n = 5, .pause_at = 3};
    struct hfc_body body = {.read = read_source, .ctx = &s, .size = 5};
    struct hfc_aws_chunked c = {0};
    char piece[100];

    (void)state;
    hfc_aws_chunked_init(&c, &body);
    assert_int_equal(hfc_aws_chunked_read(&c, 0, piece, 100), 6);
    assert_memory_equal(piece, "5\r\nhel", 6);
    s.pause_at = 3;
    assert_int_equal(hfc_aws_chunked_read(&c, 6, piece, 100), HFC_READ_PAUSE);
    assert_true(hfc_aws_chunked_read(&c, 6, piece, 100) > 0);
    assert_memory_equal(piece, "lo\r\n0\r\n", 7);
    hfc_aws_chunked_free(&c);
}

static void a_source_that_stops_or_gives_nothing_stops_it(void **state)
{
    struct source s = {.bytes = "hello", .n = 5, .stop_at = 3, .stop_with = HFC_READ_STOP};
    struct hfc_body body = {.read = read_source, .ctx = &s, .size = 5};
    struct hfc_aws_chunked c = {0};
    char piece[100];

    (void)state;
    s.piece = 3;
    hfc_aws_chunked_init(&c, &body);
    assert_int_equal(hfc_aws_chunked_read(&c, 0, piece, 100), HFC_READ_STOP);
    s.stop_with = 0;
    assert_int_equal(hfc_aws_chunked_read(&c, 0, piece, 100), HFC_READ_STOP);
    hfc_aws_chunked_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_small_body_is_one_chunk_and_the_trailer),
        cmocka_unit_test(an_empty_body_is_the_trailer_alone),
        cmocka_unit_test(sizes_around_a_chunk_come_out_whole),
        cmocka_unit_test(offset_0_begins_anew),
        cmocka_unit_test(a_pause_is_passed_on_once_what_there_is_was_taken),
        cmocka_unit_test(a_source_that_stops_or_gives_nothing_stops_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
