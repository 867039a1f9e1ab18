/* test_source.c: input files, lines and places (gen/source.c) and the memory they live in
 * (gen/arena.c).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "arena.h"
#include "source.h"

/* A sanitizer's allocator ends the program where malloc() returns NULL, unless told so. */
const char *__asan_default_options(void);
const char *__tsan_default_options(void);

const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

const char *__tsan_default_options(void)
{
    return "allocator_may_return_null=1";
}

static struct arena *arena;

static int setup(void **state)
{
    (void)state;
    arena = arena_new();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

static const struct source *text_of(const char *text)
{
    return source_from_text(arena, "p", text, strlen(text));
}

static void line_is(const struct source *src, uint32_t line, const char *text)
{
    size_t len;
    const char *got = source_line(src, line, &len);

    assert_int_equal(len, strlen(text));
    assert_memory_equal(got, text, len);
}

static void every_line_break_of_yaml_ends_a_line(void **state)
{
    const struct source *src = text_of("a\nb\rc\r\nd\xc2\x85"
                                       "e\xe2\x80\xa8"
                                       "f\xe2\x80\xa9"
                                       "g");

    (void)state;
    assert_int_equal(source_lines(src), 7);
    for (uint32_t i = 0; i < 7; i++) {
        const char text[] = {(char)('a' + i), '\0'};
        line_is(src, i + 1, text);
    }
}

static void bytes_like_the_start_of_a_break_end_no_line(void **state)
{
    (void)state;
    assert_int_equal(source_lines(text_of("\xc2\xe2\x80\xe2\x80")), 1);
}

static void a_text_has_a_line_after_its_last_break(void **state)
{
    (void)state;
    assert_int_equal(source_lines(text_of("")), 1);
    line_is(text_of(""), 1, "");
    assert_int_equal(source_lines(text_of("a\r")), 2);
    line_is(text_of("a\r"), 2, "");
}

static void text_and_path_are_copies(void **state)
{
    char text[] = "abc", path[] = "f";
    const struct source *src = source_from_text(arena, path, text, 3);

    (void)state;
    text[0] = path[0] = 'X';
    assert_string_equal(src->text, "abc");
    assert_string_equal(src->path, "f");
    assert_int_equal(src->len, 3);
}

static void columns_count_characters(void **state)
{
    const struct source *src = text_of("x\n\xc3\xa9\xe2\x82\xac"
                                       "b\n");

    (void)state;
    assert_int_equal(source_offset(src, 1, 1), 0);
    assert_int_equal(source_offset(src, 2, 1), 2);
    assert_int_equal(source_offset(src, 2, 2), 4);
    assert_int_equal(source_offset(src, 2, 3), 7);
}

static void a_column_past_the_end_is_the_end(void **state)
{
    const struct source *src = text_of("ab\ncd");

    (void)state;
    assert_int_equal(source_offset(src, 1, 3), 2);
    assert_int_equal(source_offset(src, 1, 99), 2);
    assert_int_equal(source_offset(src, 2, 99), 5);
}

static void a_place_may_be_the_whole_file(void **state)
{
    const struct source *src = text_of("x");
    struct srcpos pos = srcpos_file(src);

    (void)state;
    assert_ptr_equal(pos.src, src);
    assert_int_equal(pos.line, 0);
}

static void files_are_loaded_with_nul_bytes_and_all(void **state)
{
    char path[] = "/tmp/hfc-test-source-XXXXXX";
    int fd = mkstemp(path);
    const struct source *src = NULL;
    struct hfc_error err = {0};

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "a\0b\nc", 5), 5);
    (void)close(fd);
    assert_int_equal(source_load(arena, path, &src, &err), 0);
    (void)unlink(path);
    assert_string_equal(src->path, path);
    assert_int_equal(src->len, 5);
    assert_memory_equal(src->text, "a\0b\nc", 6);
    assert_int_equal(source_lines(src), 2);
}

static void a_file_that_cannot_be_read_is_an_error(void **state)
{
    const struct source *src = NULL;
    struct hfc_error err = {0};

    (void)state;
    assert_int_equal(source_load(arena, "/nonexistent/x", &src, &err), -1);
    assert_string_equal(err.msg, "/nonexistent/x: No such file or directory");
    assert_null(src);
}

static void arena_memory_is_zeroed_aligned_and_apart(void **state)
{
    unsigned char *last = NULL;

    (void)state;
    for (size_t n = 1; n < 300; n++) {
        unsigned char *p = arena_alloc(arena, n);
        assert_int_equal((uintptr_t)p % _Alignof(max_align_t), 0);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(p[i], 0);
        memset(p, 0xff, n);
        assert_true(last == NULL || p >= last || p + n <= last);
        last = p + n;
    }
}

static void arenas_hold_more_than_a_block(void **state)
{
    enum { BIG = 1 << 20 };
    char *small = arena_strdup(arena, "kept"), *big = arena_alloc(arena, BIG);

    (void)state;
    memset(big, 1, BIG);
    for (int i = 0; i < 1000; i++)
        memset(arena_alloc(arena, 1000), 2, 1000);
    assert_string_equal(small, "kept");
    for (int i = 0; i < BIG; i++)
        assert_int_equal(big[i], 1);
}

static void a_reset_arena_gives_zeroed_memory_again(void **state)
{
    (void)state;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 100; i++) {
            char *p = arena_alloc(arena, 2000);
            assert_int_equal(p[0] | p[1999], 0);
            memset(p, 1, 2000);
        }
        arena_reset(arena);
    }
}

static void arena_texts_end_with_a_nul(void **state)
{
    (void)state;
    assert_string_equal(arena_strndup(arena, "abcdef", 3), "abc");
    assert_string_equal(arena_strndup(arena, NULL, 0), "");
    assert_string_equal(arena_printf(arena, "%d-%s", 7, "x"), "7-x");
    int *numbers = arena_array_of(arena, int, 3);
    assert_int_equal(numbers[2], 0);
}

static void running_out_of_memory_ends_the_program(void **state)
{
    char message[200] = "";
    int pipe_fds[2], status;

    (void)state;
    assert_int_equal(pipe(pipe_fds), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)dup2(pipe_fds[1], STDERR_FILENO);
        (void)arena_alloc(arena, SIZE_MAX / 4);
        _exit(9);
    }
    (void)close(pipe_fds[1]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(read(pipe_fds[0], message, sizeof(message) - 1) > 0);
    (void)close(pipe_fds[0]);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    assert_non_null(strstr(message, "hfcache-gen: error: out of memory\n"));
}

static void freeing_no_arena_is_fine(void **state)
{
    (void)state;
    arena_free(NULL);
}

#define WITH_ARENA(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_ARENA(every_line_break_of_yaml_ends_a_line),
        WITH_ARENA(bytes_like_the_start_of_a_break_end_no_line),
        WITH_ARENA(a_text_has_a_line_after_its_last_break),
        WITH_ARENA(text_and_path_are_copies),
        WITH_ARENA(columns_count_characters),
        WITH_ARENA(a_column_past_the_end_is_the_end),
        WITH_ARENA(a_place_may_be_the_whole_file),
        WITH_ARENA(files_are_loaded_with_nul_bytes_and_all),
        WITH_ARENA(a_file_that_cannot_be_read_is_an_error),
        WITH_ARENA(arena_memory_is_zeroed_aligned_and_apart),
        WITH_ARENA(arenas_hold_more_than_a_block),
        WITH_ARENA(a_reset_arena_gives_zeroed_memory_again),
        WITH_ARENA(arena_texts_end_with_a_nul),
        WITH_ARENA(running_out_of_memory_ends_the_program),
        cmocka_unit_test(freeing_no_arena_is_fine),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
