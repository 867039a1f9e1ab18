/* wiped.h: counts how often memory that holds a certain text is wiped with explicit_bzero(): the
 * program's calls end here instead of in the C library. A test program includes it once.
 */
#ifndef WIPED_H
#define WIPED_H

#include <string.h>

const char *wiped_text = ""; /* what to look for; "": nothing */
int wiped;

void explicit_bzero(void *p, size_t n);
void __explicit_bzero_chk(void *p, size_t n, size_t room); /* what fortified callers call */
void wiped_note(void *p, size_t n);

void wiped_note(void *p, size_t n)
{
    if (n > 0 && wiped_text[0] != '\0' && memmem(p, n, wiped_text, strlen(wiped_text)) != NULL)
        wiped++;
    memset(p, 0, n);
    __asm__ volatile("" : : "r"(p) : "memory");
}

void explicit_bzero(void *p, size_t n)
{
    __asm__("" : "+r"(p)); /* the function is declared as one that only writes */
    wiped_note(p, n);
}

void __explicit_bzero_chk(void *p, size_t n, size_t room)
{
    (void)room;
    wiped_note(p, n);
}

#endif
