/* sanity.c: does what the sanitizers must catch, so that a build which catches nothing is noticed.
 *
 * `sanity heap` writes behind a heap block, `sanity overflow` overflows a signed integer, `sanity
 * none` does neither. Called by tools/run_tests.py, which expects the first two to die.
 */
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
    const char *what = argc == 2 ? argv[1] : "none";
    /* volatile: the compiler may not reason about what follows. */
    volatile int one = 1;

    if (strcmp(what, "heap") == 0) {
        volatile char *volatile block = malloc(8);
        if (block == NULL)
            return 0;
        block[7 + one] = 'x';
        free((void *)(uintptr_t)block);
    } else if (strcmp(what, "overflow") == 0) {
        volatile int sum = INT_MAX;
        sum = sum + one;
        printf("%d\n", sum);
    }
    return 0;
}
