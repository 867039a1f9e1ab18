/* yaml_print.c: YAML values as Python's str() and repr() print them; see ynode.h. Called wherever a
 * value goes into a text.
 *
 * An alias bomb prints until the buffer's cap is reached; then printing stops at once, and so it
 * does below YAML_PRINT_DEPTH_MAX levels (the buffer turns `failed`).
 */
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "utf8.h"
#include "yaml_internal.h"

/* What str.isprintable() of Python 3.11 (Unicode 14) says no to, from U+007F up: first and last
 * character of each range. Made with python3.11:
 *   runs of c in range(0x7f, 0x110000) with not chr(c).isprintable() */
static const uint32_t UNPRINTABLE[][2] = {
#include "yaml_unprintable.def"
};

/* Finds the first range that ends at or behind the character. */
static bool is_printable(uint32_t c)
{
    size_t low = 0, high = sizeof(UNPRINTABLE) / sizeof(*UNPRINTABLE);

    if (c < 0x7f)
        return c >= ' ';
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (c > UNPRINTABLE[middle][1])
            low = middle + 1;
        else
            high = middle;
    }
    return low == sizeof(UNPRINTABLE) / sizeof(*UNPRINTABLE) || c < UNPRINTABLE[low][0];
}

/* Single quotes, unless that means escaping and double quotes do not. */
static char quote_for(const char *text, size_t n)
{
    return memchr(text, '\'', n) != NULL && memchr(text, '"', n) == NULL ? '"' : '\'';
}

/* The escapes that text and bytes share; false: print it some other way. */
static bool print_escape(uint32_t c, char quote, struct hfc_buf *out)
{
    if (c == '\n')
        hfc_buf_str(out, "\\n");
    else if (c == '\r')
        hfc_buf_str(out, "\\r");
    else if (c == '\t')
        hfc_buf_str(out, "\\t");
    else if (c == '\\' || c == (unsigned char)quote)
        hfc_buf_printf(out, "\\%c", (char)c);
    else
        return false;
    return true;
}

/* Outside ASCII's printable part all is escaped. */
static void print_bytes(const char *bytes, size_t n, struct hfc_buf *out)
{
    char quote = quote_for(bytes, n);

    hfc_buf_char(out, 'b');
    hfc_buf_char(out, quote);
    for (size_t i = 0; i < n && !hfc_buf_failed(out); i++) {
        unsigned char c = (unsigned char)bytes[i];
        if (print_escape(c, quote, out))
            continue;
        if (c < ' ' || c >= 0x7f)
            hfc_buf_printf(out, "\\x%02x", c);
        else
            hfc_buf_char(out, (char)c);
    }
    hfc_buf_char(out, quote);
}

/* Texts are UTF-8: libyaml has checked them, escapes included. */
static void print_text(const char *text, size_t n, struct hfc_buf *out)
{
    char quote = quote_for(text, n);

    hfc_buf_char(out, quote);
    for (size_t i = 0; i < n && !hfc_buf_failed(out);) {
        uint32_t c;
        size_t width = utf8_next(text + i, n - i, &c);
        assert(c != UTF8_BAD);
        if (print_escape(c, quote, out))
            ;
        else if (is_printable(c))
            hfc_buf_add(out, text + i, width);
        else
            hfc_buf_printf(out, c < 0x100 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x", c);
        i += width;
    }
    hfc_buf_char(out, quote);
}

/* Digits without a point, and where the point is: value = 0.DIGITS * 10^point. */
static int shortest_digits(double value, char digits[24])
{
    char text[40];

    for (int precision = 0; precision <= 16; precision++) {
        (void)snprintf(text, sizeof(text), "%.*e", precision, value);
        if (strtod(text, NULL) == value)
            break;
    }
    char *e = strchr(text, 'e');
    assert(e != NULL);
    size_t n = 0;
    for (const char *p = text; p < e; p++)
        if (*p != '.')
            digits[n++] = *p;
    digits[n] = '\0';
    return (int)strtol(e + 1, NULL, 10) + 1;
}

/* Python's choice of forms: an exponent from 1e16 up and below 1e-4, of two digits at least; else a
 * point, with a 0 behind it if need be. NaN has no sign. */
void yaml_float_repr(double value, struct hfc_buf *out)
{
    char digits[24];

    if (isnan(value)) {
        hfc_buf_str(out, "nan");
        return;
    }
    if (signbit(value))
        hfc_buf_char(out, '-');
    if (isinf(value)) {
        hfc_buf_str(out, "inf");
        return;
    }
    int point = shortest_digits(fabs(value), digits);
    int n = (int)strlen(digits);
    if (point < -3 || point > 16)
        hfc_buf_printf(out, "%c%s%se%c%02d", digits[0], n > 1 ? "." : "", digits + 1,
                       point <= 0 ? '-' : '+', abs(point - 1));
    else if (point <= 0)
        hfc_buf_printf(out, "0.%.*s%s", -point, "000", digits);
    else if (n <= point)
        hfc_buf_printf(out, "%s%.*s.0", digits, point - n, "0000000000000000");
    else
        hfc_buf_printf(out, "%.*s.%s", point, digits, digits + point);
}

static void print(const struct ynode *n, unsigned depth, struct hfc_buf *out);

/* Lists stop at the first item that does not fit, or a bomb would go on counting in vain. */
static void print_list(const struct ynode *n, unsigned depth, struct hfc_buf *out)
{
    hfc_buf_char(out, '[');
    for (uint32_t i = 0; i < n->n && !hfc_buf_failed(out); i++) {
        if (i > 0)
            hfc_buf_str(out, ", ");
        print(n->items[i], depth + 1, out);
    }
    hfc_buf_char(out, ']');
}

/* How a collection of entries looks; a set has no `middle` and prints no values. */
struct brackets {
    const char *open, *before, *middle, *after, *close;
};

static void print_entries(const struct ynode *n, const struct brackets *b, unsigned depth,
                          struct hfc_buf *out)
{
    hfc_buf_str(out, b->open);
    for (uint32_t i = 0; i < n->n && !hfc_buf_failed(out); i++) {
        if (i > 0)
            hfc_buf_str(out, ", ");
        hfc_buf_str(out, b->before);
        print(n->entries[i].key, depth + 1, out);
        if (b->middle != NULL) {
            hfc_buf_str(out, b->middle);
            print(n->entries[i].value, depth + 1, out);
        }
        hfc_buf_str(out, b->after);
    }
    hfc_buf_str(out, b->close);
}

/* repr() of what holds no other nodes. */
static void print_scalar(const struct ynode *n, struct hfc_buf *out)
{
    switch ((enum ytype)n->type) {
    case Y_NULL:
        hfc_buf_str(out, "None");
        break;
    case Y_BOOL:
        hfc_buf_str(out, n->boolean ? "True" : "False");
        break;
    case Y_INT:
        hfc_buf_add(out, n->text, n->n);
        break;
    case Y_FLOAT:
        yaml_float_repr(n->number, out);
        break;
    case Y_STR:
        print_text(n->text, n->n, out);
        break;
    case Y_BYTES:
        print_bytes(n->text, n->n, out);
        break;
    default:
        assert(n->type == Y_DATE || n->type == Y_DATETIME);
        hfc_buf_str(out, n->repr);
    }
}

static void print(const struct ynode *n, unsigned depth, struct hfc_buf *out)
{
    static const struct brackets map = {"{", "", ": ", "", "}"};
    static const struct brackets set = {"{", "", NULL, "", "}"};
    static const struct brackets pairs = {"[", "(", ", ", ")", "]"};

    if (depth > YAML_PRINT_DEPTH_MAX)
        out->failed = true;
    if (hfc_buf_failed(out))
        return;
    if (n->type == Y_SEQ)
        print_list(n, depth, out);
    else if (n->type == Y_MAP)
        print_entries(n, &map, depth, out);
    else if (n->type == Y_SET && n->n == 0)
        hfc_buf_str(out, "set()");
    else if (n->type == Y_SET)
        print_entries(n, &set, depth, out);
    else if (n->type == Y_PAIRS)
        print_entries(n, &pairs, depth, out);
    else
        print_scalar(n, out);
}

void ynode_repr(const struct ynode *n, struct hfc_buf *out)
{
    print(n, 0, out);
}

/* str() differs from repr() only at the top: what is inside a collection is always repr(). */
void ynode_str(const struct ynode *n, struct hfc_buf *out)
{
    if (n->type == Y_STR || n->type == Y_DATE || n->type == Y_DATETIME)
        hfc_buf_add(out, n->text, n->n);
    else
        print(n, 0, out);
}
