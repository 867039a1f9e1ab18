/* yaml_check.h: what the tests of the YAML reader share: documents written as strings, compared by
 * what Python's repr() prints of them, and refusals compared by place and words.
 */
#ifndef TESTS_YAML_CHECK_H
#define TESTS_YAML_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ynode.h"

static struct arena *arena;

static inline int set_up(void **state)
{
    (void)state;
    arena = arena_new();
    return 0;
}

static inline int tear_down(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

static inline struct ydoc parse_bytes(const char *text, size_t n)
{
    struct ydoc doc;
    struct yerror err;

    if (yaml_parse(arena, source_from_text(arena, "t.yaml", text, n), &doc, &err) < 0)
        fail_msg("refused: %s\n%u:%u: %s", text, err.line, err.col, err.problem);
    return doc;
}

static inline struct ydoc parse(const char *text)
{
    return parse_bytes(text, strlen(text));
}

static inline struct yerror refusal_bytes(const char *text, size_t n)
{
    struct ydoc doc;
    struct yerror err;

    if (yaml_parse(arena, source_from_text(arena, "t.yaml", text, n), &doc, &err) == 0)
        fail_msg("accepted: %s", text);
    assert_true(err.line >= 1 && err.col >= 1);
    return err;
}

static inline const char *repr(const struct ynode *n)
{
    struct hfc_buf out;

    hfc_buf_init(&out, 1 << 20);
    ynode_repr(n, &out);
    assert_false(hfc_buf_failed(&out));
    const char *text = arena_strndup(arena, out.data, out.len);
    hfc_buf_free(&out);
    return text;
}

static inline const char *str(const struct ynode *n)
{
    struct hfc_buf out;

    hfc_buf_init(&out, 1 << 20);
    ynode_str(n, &out);
    assert_false(hfc_buf_failed(&out));
    const char *text = arena_strndup(arena, out.data, out.len);
    hfc_buf_free(&out);
    return text;
}

/* A document and its value in Python. */
struct reading {
    const char *text, *value;
};

static inline void check_readings(const struct reading *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const char *got = repr(parse(list[i].text).root);
        if (strcmp(got, list[i].value) != 0)
            fail_msg("%s\nreads as   %s\nshould be  %s", list[i].text, got, list[i].value);
    }
}

/* A document that is refused, where, and a part of the reason. */
struct refused {
    const char *text;
    uint32_t line, col;
    const char *words;
};

static inline void check_refused(const struct refused *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct yerror err = refusal_bytes(list[i].text, strlen(list[i].text));
        if (err.line != list[i].line || err.col != list[i].col ||
            strstr(err.problem, list[i].words) == NULL)
            fail_msg("%s\nrefused at %u:%u: %s\nshould be  %u:%u: %s", list[i].text, err.line,
                     err.col, err.problem, list[i].line, list[i].col, list[i].words);
    }
}

#define CHECK_READINGS(list) check_readings((list), sizeof(list) / sizeof(*(list)))
#define CHECK_REFUSED(list) check_refused((list), sizeof(list) / sizeof(*(list)))
#define YAML_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

#endif
