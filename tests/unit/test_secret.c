/* test_secret.c: memory for secrets (lib/secret.c). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "secret.h"

/* The kernel's flags of the mapping with this address: "rd wr mr ... dd ". */
static void flags_of(const void *p, char *flags, size_t size)
{
    FILE *maps = fopen("/proc/self/smaps", "re");
    char line[512];
    unsigned long from, to;
    int inside = 0;

    flags[0] = '\0';
    assert_non_null(maps);
    while (fgets(line, sizeof(line), maps) != NULL) {
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            inside = (uintptr_t)p >= from && (uintptr_t)p < to;
        else if (inside && strncmp(line, "VmFlags:", 8) == 0)
            (void)snprintf(flags, size, "%s", line);
    }
    (void)fclose(maps);
}

static void it_is_zeroed_aligned_and_not_in_core_dumps(void **state)
{
    char *p = hfc_secret_new(10000);
    char flags[512];

    (void)state;
    assert_non_null(p);
    assert_int_equal((uintptr_t)p % _Alignof(max_align_t), 0);
    for (size_t i = 0; i < 10000; i++)
        assert_int_equal(p[i], 0);
    memset(p, 'x', 10000);
    flags_of(p, flags, sizeof(flags));
    assert_non_null(strstr(flags, " dd"));
    hfc_secret_free(p);
    hfc_secret_free(NULL);
}

static void more_than_there_is_cannot_be_had(void **state)
{
    (void)state;
    assert_null(hfc_secret_new(SIZE_MAX));
    assert_null(hfc_secret_new(SIZE_MAX / 2));
}

static void a_reserved_buffer_never_moves(void **state)
{
    struct hfc_buf b;

    (void)state;
    hfc_buf_init(&b, 1000);
    hfc_secret_buf_reserve(&b);
    const char *at = b.data;
    for (int i = 0; i < 1000; i++)
        hfc_buf_char(&b, 'x');
    assert_false(hfc_buf_failed(&b));
    assert_ptr_equal(b.data, at);
    hfc_secret_buf_free(&b);
    hfc_secret_buf_free(&b);
    assert_string_equal(b.data, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_zeroed_aligned_and_not_in_core_dumps),
        cmocka_unit_test(more_than_there_is_cannot_be_had),
        cmocka_unit_test(a_reserved_buffer_never_moves),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
