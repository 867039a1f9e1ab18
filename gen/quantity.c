/* quantity.c: numbers written as text; see quantity.h. */
#include "quantity.h"

#include <assert.h>
#include <ctype.h>
#include <gmp.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "utf8.h"

/* Longer digit strings are refused, here as in the YAML reader. */
enum { DIGITS_MAX = 4300 };

struct span {
    const char *p;
    size_t n;
};

/* As Python's strip(): more than ASCII's white space. */
static struct span trim(struct span s)
{
    utf8_trim(&s.p, &s.n);
    return s;
}

/* Copies text without the underscores that stand between digits. False if one stands elsewhere. */
static bool drop_underscores(struct span s, char *out)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] != '_') {
            *out++ = s.p[i];
            continue;
        }
        bool between = i > 0 && i + 1 < s.n && isdigit((unsigned char)s.p[i - 1]) &&
                       isdigit((unsigned char)s.p[i + 1]);
        if (!between)
            return false;
    }
    *out = '\0';
    return true;
}

/* An optional sign and digits only; *digits is where they begin. */
static bool is_whole_number(const char *text, const char **digits)
{
    if (*text == '+' || *text == '-')
        text++;
    *digits = text;
    size_t n = strspn(text, "0123456789");
    return n > 0 && n <= DIGITS_MAX && text[n] == '\0';
}

/* Takes a known suffix off and tells what it stands for: base to the power. */
static struct span cut_suffix(struct span s, unsigned *base, unsigned *power)
{
    static const char units[] = "KMGT";
    const char *unit;

    *base = 1000;
    *power = 0;
    if (s.n > 2 && s.p[s.n - 1] == 'i' && (unit = strchr(units, s.p[s.n - 2])) != NULL &&
        *unit != '\0') {
        *base = 1024;
        *power = (unsigned)(unit - units) + 1;
        s.n -= 2;
    } else if (s.n > 1 && s.p[s.n - 1] != '\0' && (unit = strchr(units, s.p[s.n - 1])) != NULL) {
        *power = (unsigned)(unit - units) + 1;
        s.n -= 1;
    }
    return s;
}

/* Exact at any length: a double would lose bytes from 8 PiB on. */
static const char *multiply(struct arena *a, const char *text, const char *digits, unsigned base,
                            unsigned power)
{
    mpz_t value, factor;

    mpz_init(value);
    mpz_init(factor);
    int rc = mpz_set_str(value, digits, 10);
    assert(rc == 0);
    (void)rc;
    if (*text == '-')
        mpz_neg(value, value);
    mpz_ui_pow_ui(factor, base, power);
    mpz_mul(value, value, factor);
    char *out = arena_alloc(a, mpz_sizeinbase(value, 10) + 2);
    (void)mpz_get_str(out, 10, value);
    mpz_clear(factor);
    mpz_clear(value);
    return out;
}

const char *memory_bytes(struct arena *a, const char *text, size_t n)
{
    unsigned base, power;
    struct span number = trim(cut_suffix((struct span){text, n}, &base, &power));
    const char *digits;

    /* Twice, as every second character may be an underscore. */
    if (number.n == 0 || number.n > DIGITS_MAX * 2 || memchr(number.p, '\0', number.n) != NULL)
        return NULL;
    char *plain = arena_alloc(a, number.n + 1);
    if (!drop_underscores(number, plain) || !is_whole_number(plain, &digits))
        return NULL;
    return multiply(a, plain, digits, base, power);
}

/* Digits, a point, an exponent: what strtod() takes, less its hexadecimal and NAN(..) forms. */
static bool is_decimal_float(const char *p)
{
    size_t whole, fraction = 0;

    p += *p == '+' || *p == '-';
    p += whole = strspn(p, "0123456789");
    if (*p == '.')
        p += 1 + (fraction = strspn(p + 1, "0123456789"));
    if (whole + fraction == 0)
        return false;
    if (*p == 'e' || *p == 'E') {
        p++;
        p += *p == '+' || *p == '-';
        size_t exponent = strspn(p, "0123456789");
        if (exponent == 0)
            return false;
        p += exponent;
    }
    return *p == '\0';
}

/* In any case, as Python's float() has it, and without the dot of YAML's words. */
static bool is_float_word(const char *p)
{
    p += *p == '+' || *p == '-';
    return strcasecmp(p, "inf") == 0 || strcasecmp(p, "infinity") == 0 || strcasecmp(p, "nan") == 0;
}

/* The form is checked before strtod() sees it, whose grammar is wider. Text that does not fit the
 * array is refused, although Python would read it. */
static int number_of_text(const char *text, size_t n, double *value)
{
    struct span s = trim((struct span){text, n});
    char plain[1024];

    if (s.n == 0 || s.n >= sizeof(plain) || memchr(s.p, '\0', s.n) != NULL ||
        !drop_underscores(s, plain))
        return -1;
    if (!is_decimal_float(plain) && !is_float_word(plain))
        return -1;
    *value = strtod(plain, NULL);
    return 0;
}

int number_of(const struct ynode *n, double *value)
{
    switch (n->type) {
    case Y_FLOAT:
        *value = n->number;
        return 0;
    case Y_BOOL:
        *value = n->boolean ? 1.0 : 0.0;
        return 0;
    case Y_INT:
        /* Python does not convert an integer beyond the largest float. */
        *value = strtod(n->text, NULL);
        return isinf(*value) ? -1 : 0;
    case Y_STR:
        return number_of_text(n->text, n->n, value);
    default:
        return -1;
    }
}

int number_cmp(const struct ynode *a, const struct ynode *b)
{
    double x = 0, y = 0;

    assert(a->type == Y_INT || a->type == Y_FLOAT);
    assert(b->type == Y_INT || b->type == Y_FLOAT);
    if (a->type == Y_INT && b->type == Y_INT)
        return ynode_int_cmp(a, b);
    /* An integer too large for a double compares as infinity, which is on the right side. */
    (void)number_of(a, &x);
    (void)number_of(b, &y);
    return (x > y) - (x < y);
}
