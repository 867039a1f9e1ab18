/* fuzz_index.c: reads arbitrary texts as an index, and writes what was accepted.
 *
 * Input: the text. It is read as it is, and with the end line that it ought to have, which no
 * fuzzer would find. Checked: no crash, the size of the pieces makes no difference, and what is
 * written again is the same text, unless lines of unknown words were dropped from it.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "index.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ROOM = 1 << 22 };

static struct hfc_index *read_index(const char *text, size_t n, size_t step, struct hfc_error *err)
{
    struct hfc_index *x = hfc_index_new(ROOM);
    struct hfc_index_parser *p = hfc_index_parser_new(x);
    int rc = 0;

    for (size_t at = 0; at < n && rc == 0; at += step)
        rc = hfc_index_parse(p, text + at, n - at < step ? n - at : step, err);
    if (rc == 0)
        rc = hfc_index_parser_finish(p, err);
    hfc_index_parser_free(p);
    assert(hfc_index_memory(x) <= ROOM);
    if (rc == 0)
        return x;
    hfc_index_free(x);
    return NULL;
}

static void check_written(const struct hfc_index *x, const char *text, size_t n)
{
    struct hfc_index_writer *w = hfc_index_writer_new(x);
    struct hfc_body body = hfc_index_body(w);
    char *again = malloc(body.size);
    size_t lines = 0;

    assert(again != NULL && body.read(body.ctx, 0, again, body.size) == (ssize_t)body.size);
    for (size_t i = 0; i < n; i++)
        lines += text[i] == '\n';
    if (lines == 2 + hfc_index_snapshots(x) + hfc_index_count(x))
        assert(n == body.size && memcmp(text, again, n) == 0);
    else
        assert(body.size < n);
    free(again);
    hfc_index_writer_free(w);
}

static void check(const char *text, size_t n)
{
    struct hfc_error err = {0}, err_small = {0};
    struct hfc_index *x = read_index(text, n, n + 1, &err);
    struct hfc_index *small = read_index(text, n, 1 + n % 7, &err_small);

    assert((x == NULL) == (small == NULL));
    if (x == NULL)
        assert(strncmp(err.msg, "line ", 5) == 0 && strcmp(err.msg, err_small.msg) == 0);
    else
        check_written(x, text, n);
    hfc_index_free(x);
    hfc_index_free(small);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hfc_buf text;
    uint8_t digest[HFC_SHA256_SIZE];
    char hex[HFC_HEX_MAX];
    size_t lines = 0;

    check((const char *)data, size);
    for (size_t i = 0; i < size; i++)
        lines += data[i] == '\n';
    hfc_hash_of(HFC_SHA256, data, size, digest);
    hfc_hex(digest, sizeof(digest), hex);
    hfc_buf_init(&text, size + 200);
    hfc_buf_add(&text, data, size);
    hfc_buf_printf(&text, "end %zu %s\n", lines, hex);
    check(text.data, text.len);
    hfc_buf_free(&text);
    return 0;
}
