/* yaml_scalar.c: the types of scalars and their values, as PyYAML's safe loader has them: the
 * implicit resolvers' patterns, and Python's int(), float() and base64 for what is then read. An
 * explicit tag gives those functions any text, so their own grammars are here too, except that
 * digits and white space outside ASCII are refused. Called by yaml_build.c.
 */
#include <assert.h>
#include <ctype.h>
#include <gmp.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "yaml_internal.h"

#define DIGITS "0123456789"

/* A text being matched from its front. */
struct cursor {
    const char *p, *end;
};

/* The next character is one of the set; a NUL is in no set. */
static bool at(const struct cursor *c, const char *set)
{
    return c->p < c->end && *c->p != '\0' && strchr(set, *c->p) != NULL;
}

/* Goes over one character of the set. */
static bool take(struct cursor *c, const char *set)
{
    if (!at(c, set))
        return false;
    c->p++;
    return true;
}

/* Goes over all of them; false: there was none. */
static bool take_all(struct cursor *c, const char *set)
{
    bool any = false;

    while (take(c, set))
        any = true;
    return any;
}

/* Goes over the word if it is next. */
static bool take_word(struct cursor *c, const char *word)
{
    size_t n = strlen(word);

    if ((size_t)(c->end - c->p) < n || memcmp(c->p, word, n) != 0)
        return false;
    c->p += n;
    return true;
}

static bool is_one_of(const char *text, size_t n, const char *const *words)
{
    for (; *words != NULL; words++)
        if (strlen(*words) == n && memcmp(text, *words, n) == 0)
            return true;
    return false;
}

/* (:[0-5]?[0-9])+ */
static bool take_base60(struct cursor *c)
{
    bool any = false;

    while (take(c, ":")) {
        bool low = at(c, "012345");
        if (!take(c, DIGITS))
            return false;
        if (low)
            (void)take(c, DIGITS);
        any = true;
    }
    return any;
}

/* The int pattern. "08" is no octal number and so a string. */
static bool is_int(struct cursor c)
{
    (void)take(&c, "+-");
    if (take_word(&c, "0b"))
        return take_all(&c, "01_") && c.p == c.end;
    if (take_word(&c, "0x"))
        return take_all(&c, DIGITS "abcdefABCDEF_") && c.p == c.end;
    if (take(&c, "0")) {
        (void)take_all(&c, "01234567_");
        return c.p == c.end;
    }
    if (!take(&c, DIGITS))
        return false;
    (void)take_all(&c, DIGITS "_");
    return c.p == c.end || (take_base60(&c) && c.p == c.end);
}

/* ([eE][-+][0-9]+)? to the end. */
static bool ends_with_exponent(struct cursor c)
{
    if (c.p == c.end)
        return true;
    return take(&c, "eE") && take(&c, "+-") && take_all(&c, DIGITS) && c.p == c.end;
}

/* The float pattern: without a dot it is none, and an exponent needs its sign. */
static bool is_float(struct cursor c)
{
    static const char *const inf[] = {".inf", ".Inf", ".INF", NULL};
    static const char *const nan[] = {".nan", ".NaN", ".NAN", NULL};
    bool has_sign = take(&c, "+-");
    bool base60 = false;

    if (is_one_of(c.p, (size_t)(c.end - c.p), inf))
        return true;
    if (!has_sign && is_one_of(c.p, (size_t)(c.end - c.p), nan))
        return true;
    if (take(&c, DIGITS)) {
        (void)take_all(&c, DIGITS "_");
        if (at(&c, ":")) {
            if (!take_base60(&c))
                return false;
            base60 = true;
        }
        if (!take(&c, "."))
            return false;
    } else if (has_sign || !take(&c, ".") || !at(&c, DIGITS)) {
        return false; /* "-.5" is a string: the pattern has no sign there */
    }
    (void)take_all(&c, DIGITS "_");
    return base60 ? c.p == c.end : ends_with_exponent(c);
}

/* The resolver wants two digits in a date alone; the constructor does not. */
static bool is_timestamp(const char *text, size_t n)
{
    struct ytime t;

    return yaml_time_parse(text, n, &t) && !t.short_date;
}

/* PyYAML looks a text's patterns up by its first character; most texts are done here. */
static bool may_be_special(char first)
{
    return first != '\0' && strchr("yYnNtTfFoO-+." DIGITS "<~=", first) != NULL;
}

/* The first pattern that matches wins. Floats come before ints, which does not matter: the one
 * needs a dot, the other has none. */
enum ytag yaml_resolve(const char *text, size_t n)
{
    static const char *const bools[] = {"yes",  "Yes",   "YES",   "no",    "No",  "NO",   "on",
                                        "On",   "ON",    "off",   "Off",   "OFF", "true", "True",
                                        "TRUE", "false", "False", "FALSE", NULL};
    static const char *const nulls[] = {"~", "null", "Null", "NULL", NULL};

    if (n == 0)
        return TAG_NULL;
    if (!may_be_special(*text))
        return TAG_STR;
    /* `$` of the patterns also matches before a last newline; only "! |" can bring one here. */
    size_t m = text[n - 1] == '\n' ? n - 1 : n;
    struct cursor c = {text, text + m};
    if (is_one_of(text, m, bools))
        return TAG_BOOL;
    if (is_float(c))
        return TAG_FLOAT;
    if (is_int(c))
        return TAG_INT;
    if (is_one_of(text, m, nulls))
        return TAG_NULL;
    if (m == 2 && memcmp(text, "<<", 2) == 0)
        return TAG_MERGE;
    if (m == 1 && *text == '=')
        return TAG_VALUE;
    return is_timestamp(text, n) ? TAG_TIMESTAMP : TAG_STR;
}

/* Quotes the beginning of the text. */
static void *refuse(struct yload *ld, const struct raw *at_node, const char *what, const char *text,
                    size_t n)
{
    (void)yaml_fail(ld, at_node->line, at_node->col, "\"%.*s%s\" %s", n > 40 ? 40 : (int)n, text,
                    n > 40 ? "..." : "", what);
    return NULL;
}

/* A copy without underscores, ended by NUL. */
static char *without_underscores(struct yload *ld, const char *text, size_t *n)
{
    char *copy = arena_alloc(ld->scratch, *n + 1);
    size_t m = 0;

    for (size_t i = 0; i < *n; i++)
        if (text[i] != '_')
            copy[m++] = text[i];
    *n = m;
    return copy;
}

/* What str.strip() takes off, in ASCII. */
static bool is_space(char c)
{
    return (c >= '\t' && c <= '\r') || (c >= '\x1c' && c <= ' ');
}

static void strip(struct cursor *c)
{
    while (c->p < c->end && is_space(*c->p))
        c->p++;
    while (c->end > c->p && is_space(c->end[-1]))
        c->end--;
}

/* int() takes the prefix of its own base once more: int("0x1f", 16). */
static bool has_base_prefix(const struct cursor *c, int base)
{
    if (c->end - c->p < 2 || *c->p != '0')
        return false;
    int letter = tolower((unsigned char)c->p[1]);
    return (base == 16 && letter == 'x') || (base == 8 && letter == 'o') ||
           (base == 2 && letter == 'b');
}

/* Python's int(text, base) for a text without underscores; false: ValueError. */
static bool python_int(struct yload *ld, struct cursor c, int base, mpz_t value)
{
    static const char digits[] = DIGITS "abcdef";

    strip(&c);
    bool negative = at(&c, "-");
    (void)take(&c, "+-");
    if (has_base_prefix(&c, base))
        c.p += 2;
    size_t n = (size_t)(c.end - c.p);
    if (n == 0 || (base == 10 && n > YAML_INT_DIGITS_MAX))
        return false;
    for (const char *p = c.p; p < c.end; p++) {
        const char *d = *p == '\0' ? NULL : strchr(digits, tolower((unsigned char)*p));
        if (d == NULL || d - digits >= base)
            return false;
    }
    while (n > 1 && *c.p == '0') {
        c.p++;
        n--;
    }
    /* No base has more digits than base 2: this keeps the conversion short. */
    if (n > YAML_INT_DIGITS_MAX * 4)
        return false;
    int rc = mpz_set_str(value, arena_strndup(ld->scratch, c.p, n), base);
    assert(rc == 0);
    (void)rc;
    if (negative)
        mpz_neg(value, value);
    return true;
}

/* "190:20:30": parts of base 60, any of which may be what int() reads. */
static bool base60_int(struct yload *ld, struct cursor c, mpz_t value)
{
    mpz_t part;
    bool ok = true;

    mpz_init(part);
    mpz_set_ui(value, 0);
    while (ok) {
        const char *colon = memchr(c.p, ':', (size_t)(c.end - c.p));
        struct cursor one = {c.p, colon != NULL ? colon : c.end};
        ok = python_int(ld, one, 10, part) && mpz_sizeinbase(value, 10) <= YAML_INT_DIGITS_MAX + 1;
        mpz_mul_ui(value, value, 60);
        mpz_add(value, value, part);
        if (colon == NULL)
            break;
        c.p = colon + 1;
    }
    mpz_clear(part);
    return ok;
}

/* What construct_yaml_int() does with the text after its sign. */
static bool convert_int(struct yload *ld, struct cursor c, mpz_t value)
{
    size_t n = (size_t)(c.end - c.p);

    if (n == 0)
        return false;
    if (take_word(&c, "0b"))
        return python_int(ld, c, 2, value);
    if (take_word(&c, "0x"))
        return python_int(ld, c, 16, value);
    if (*c.p == '0')
        return python_int(ld, c, 8, value);
    if (memchr(c.p, ':', n) != NULL)
        return base60_int(ld, c, value);
    return python_int(ld, c, 10, value);
}

/* Nearly every number is written as it is printed, give or take a plus sign. */
static bool is_plain_decimal(const struct cursor *c)
{
    if (c->p == c->end || c->end - c->p > YAML_INT_DIGITS_MAX || *c->p == '0')
        return false;
    for (const char *p = c->p; p < c->end; p++)
        if (*p < '0' || *p > '9')
            return false;
    return true;
}

/* Always true, so that it can end a condition. */
static bool set_text(struct yload *ld, struct ynode *node, const char *text, size_t n)
{
    node->text = arena_strndup(ld->out, text, n);
    node->n = (uint32_t)n;
    return true;
}

/* By way of an exact number of any size. */
static bool set_int(struct yload *ld, struct ynode *node, struct cursor c, bool negative)
{
    hfc_autofree char *digits = NULL;
    mpz_t value;

    mpz_init(value);
    bool ok = convert_int(ld, c, value);
    if (ok) {
        if (negative)
            mpz_neg(value, value);
        digits = mpz_get_str(NULL, 10, value);
        ok = strlen(digits) <= YAML_INT_DIGITS_MAX + (*digits == '-' ? 1u : 0u);
    }
    mpz_clear(value);
    return ok && set_text(ld, node, digits, strlen(digits));
}

/* Underscores mean nothing, and of all signs only the first is PyYAML's own. */
static struct ynode *int_node(struct yload *ld, const struct raw *raw, const char *text, size_t n)
{
    struct ynode *node = yaml_node_at(ld, raw, Y_INT);
    size_t m = n;
    const char *clean = without_underscores(ld, text, &m);
    struct cursor c = {clean, clean + m};
    bool negative = at(&c, "-");

    (void)take(&c, "+-");
    if (is_plain_decimal(&c)) {
        const char *from = negative ? c.p - 1 : c.p;
        (void)set_text(ld, node, from, (size_t)(c.end - from));
        return node;
    }
    if (set_int(ld, node, c, negative))
        return node;
    return refuse(ld, raw, "is not an integer that Python can read (it has 4300 digits at most)",
                  text, n);
}

/* Python's float(text) for a lower-case text without underscores; false: ValueError. strtod()
 * agrees with it on what passes here; the program never sets a locale. */
static bool python_float(struct yload *ld, struct cursor c, double *value)
{
    static const char *const words[] = {"inf", "infinity", "nan", NULL};

    strip(&c);
    struct cursor form = c;
    (void)take(&form, "+-");
    if (!is_one_of(form.p, (size_t)(form.end - form.p), words)) {
        bool before = take_all(&form, DIGITS);
        bool after = take(&form, ".") && take_all(&form, DIGITS);
        if (!before && !after)
            return false;
        if (take(&form, "e")) {
            (void)take(&form, "+-");
            if (!take_all(&form, DIGITS))
                return false;
        }
        if (form.p != form.end)
            return false;
    }
    *value = strtod(arena_strndup(ld->scratch, c.p, (size_t)(c.end - c.p)), NULL);
    return true;
}

/* 60 to the power of n, rounded once; infinite where Python's conversion overflows. */
static double power_of_60(unsigned n)
{
    enum { EXACT = 13, OVERFLOWS = 174 };
    double value = 1;

    if (n >= OVERFLOWS)
        return INFINITY;
    if (n <= EXACT) {
        while (n-- > 0)
            value *= 60;
        return value;
    }
    mpz_t exact;
    mpz_init(exact);
    mpz_ui_pow_ui(exact, 60, n);
    hfc_autofree char *digits = mpz_get_str(NULL, 10, exact);
    mpz_clear(exact);
    return strtod(digits, NULL);
}

/* The last part counts as it is, the one before it times 60, and so on, added in that order. */
static bool base60_float(struct yload *ld, struct cursor c, double *value)
{
    const char *end = c.end;
    double sum = 0;

    for (unsigned i = 0;; i++) {
        const char *colon = memrchr(c.p, ':', (size_t)(end - c.p));
        struct cursor one = {colon != NULL ? colon + 1 : c.p, end};
        double part = 0, base = power_of_60(i);
        if (isinf(base) || !python_float(ld, one, &part))
            return false;
        sum += part * base;
        if (colon == NULL)
            break;
        end = colon;
    }
    *value = sum;
    return true;
}

/* What construct_yaml_float() does with the text after its sign. */
static bool convert_float(struct yload *ld, struct cursor c, double *value)
{
    static const char *const inf[] = {".inf", NULL};
    static const char *const nan_word[] = {".nan", NULL};
    size_t n = (size_t)(c.end - c.p);

    if (is_one_of(c.p, n, inf))
        *value = INFINITY;
    else if (is_one_of(c.p, n, nan_word))
        *value = NAN;
    else if (memchr(c.p, ':', n) != NULL)
        return base60_float(ld, c, value);
    else
        return python_float(ld, c, value);
    return true;
}

/* Like an int, but case is folded first, so that the words need one spelling only. */
static struct ynode *float_node(struct yload *ld, const struct raw *raw, const char *text, size_t n)
{
    struct ynode *node = yaml_node_at(ld, raw, Y_FLOAT);
    size_t m = n;
    char *clean = without_underscores(ld, text, &m);
    struct cursor c = {clean, clean + m};
    double value = 0;

    for (size_t i = 0; i < m; i++)
        clean[i] = (char)tolower((unsigned char)clean[i]);
    bool negative = at(&c, "-");
    (void)take(&c, "+-");
    if (!convert_float(ld, c, &value))
        return refuse(ld, raw, "is not a number that Python can read", text, n);
    node->number = negative ? -value : value;
    return node;
}

/* The constructor folds case, unlike the resolver. */
static struct ynode *bool_node(struct yload *ld, const struct raw *raw, const char *text, size_t n)
{
    static const char *const words[] = {"no", "off", "false", "yes", "on", "true"};
    struct ynode *node = yaml_node_at(ld, raw, Y_BOOL);

    for (unsigned i = 0; i < HFC_ARRAY_LEN(words); i++)
        if (strlen(words[i]) == n && strncasecmp(words[i], text, n) == 0) {
            node->boolean = i >= 3;
            return node;
        }
    return refuse(ld, raw, "is not a boolean (yes, no, true, false, on, off)", text, n);
}

/* -1: not in the alphabet. */
static int base64_value(char c)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" DIGITS "+/";
    const char *found = c == '\0' ? NULL : strchr(alphabet, c);

    return found == NULL ? -1 : (int)(found - alphabet);
}

/* As Python's binascii.a2b_base64(): skips what is not in the alphabet, stops at the padding that
 * completes a group. Returns the number of bytes, or -1: characters are missing. */
static long base64_decode(const char *text, size_t n, char *out)
{
    unsigned in_group = 0, bits = 0, pads = 0;
    long bytes = 0;

    for (size_t i = 0; i < n; i++) {
        int value = base64_value(text[i]);
        if (text[i] == '=' && in_group >= 2 && in_group + ++pads >= 4)
            return bytes;
        if (value < 0)
            continue;
        pads = 0;
        bits = (bits << 6 | (unsigned)value) & 0xffff;
        in_group = (in_group + 1) % 4;
        if (in_group != 1) {
            unsigned spare = in_group == 2 ? 4 : in_group == 3 ? 2 : 0;
            out[bytes++] = (char)(bits >> spare & 0xff);
        }
    }
    return in_group == 0 ? bytes : -1;
}

/* Decoding never makes a text longer, so the room of the text is enough. */
static struct ynode *binary_node(struct yload *ld, const struct raw *raw, const char *text,
                                 size_t n)
{
    struct ynode *node = yaml_node_at(ld, raw, Y_BYTES);
    char *out = arena_alloc(ld->out, n + 1);

    for (size_t i = 0; i < n; i++)
        if ((text[i] & 0x80) != 0)
            return refuse(ld, raw, "is not base64: it holds more than ASCII", text, n);
    long bytes = base64_decode(text, n, out);
    if (bytes < 0)
        return refuse(ld, raw, "is not base64: characters are missing at its end", text, n);
    out[bytes] = '\0';
    node->text = out;
    node->n = (uint32_t)bytes;
    return node;
}

/* Forms pass that are no dates (a month of 13): the reader fails on them, as Python's does. */
static struct ynode *time_node(struct yload *ld, const struct raw *raw, const char *text, size_t n)
{
    struct ynode *node = yaml_node_at(ld, raw, Y_DATE);
    struct ytime t;

    if (yaml_time_parse(text, n, &t) && yaml_time_node(ld, &t, node))
        return node;
    return refuse(ld, raw, "is not a date or time that exists", text, n);
}

struct ynode *yaml_scalar(struct yload *ld, const struct raw *raw, enum ytag tag, const char *text,
                          size_t n)
{
    struct ynode *node;

    switch (tag) {
    case TAG_NULL:
        return yaml_node_at(ld, raw, Y_NULL);
    case TAG_BOOL:
        return bool_node(ld, raw, text, n);
    case TAG_INT:
        return int_node(ld, raw, text, n);
    case TAG_FLOAT:
        return float_node(ld, raw, text, n);
    case TAG_TIMESTAMP:
        return time_node(ld, raw, text, n);
    case TAG_BINARY:
        return binary_node(ld, raw, text, n);
    default:
        assert(tag == TAG_STR);
        node = yaml_node_at(ld, raw, Y_STR);
        node->text = text; /* composing has put it into the document's arena */
        node->n = (uint32_t)n;
        return node;
    }
}
