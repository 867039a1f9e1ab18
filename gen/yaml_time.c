/* yaml_time.c: dates and times of YAML 1.1 and how Python's datetime module prints them. Called by
 * yaml_scalar.c, for resolving plain scalars and for values.
 */
#include <assert.h>
#include <string.h>

#include "yaml_internal.h"

/* A text being matched from its front. */
struct cursor {
    const char *p, *end;
};

static bool take(struct cursor *c, char wanted)
{
    if (c->p == c->end || *c->p != wanted)
        return false;
    c->p++;
    return true;
}

static bool at_digit(const struct cursor *c)
{
    return c->p < c->end && *c->p >= '0' && *c->p <= '9';
}

/* A number of `least` to `most` digits. */
static bool take_number(struct cursor *c, int least, int most, int *value)
{
    int n = 0;

    *value = 0;
    while (n < most && at_digit(c)) {
        *value = *value * 10 + (*c->p++ - '0');
        n++;
    }
    return n >= least;
}

static bool take_blanks(struct cursor *c)
{
    bool any = false;

    while (take(c, ' ') || take(c, '\t'))
        any = true;
    return any;
}

/* Any number of digits, of which six count. */
static void take_fraction(struct cursor *c, int *micro)
{
    int scale = 100000;

    for (; at_digit(c); c->p++, scale /= 10)
        *micro += (*c->p - '0') * scale;
}

/* "Z", "+1", "-05:30"; blanks may stand before it. */
static bool take_zone(struct cursor *c, struct ytime *t)
{
    int hours, minutes = 0;

    (void)take_blanks(c);
    t->has_zone = true;
    if (take(c, 'Z'))
        return true;
    bool west = take(c, '-');
    if (!west && !take(c, '+'))
        return false;
    if (!take_number(c, 1, 2, &hours))
        return false;
    if (take(c, ':') && !take_number(c, 2, 2, &minutes))
        return false;
    t->zone = (hours * 60 + minutes) * (west ? -60 : 60);
    return true;
}

/* A line break may end the text: Python's `$` matches before it. */
static bool at_end(const struct cursor *c)
{
    return c->p == c->end || (c->p + 1 == c->end && *c->p == '\n');
}

bool yaml_time_parse(const char *text, size_t n, struct ytime *t)
{
    struct cursor c = {text, text + n};

    *t = (struct ytime){0};
    if (!take_number(&c, 4, 4, &t->year) || !take(&c, '-') || !take_number(&c, 1, 2, &t->month) ||
        !take(&c, '-') || !take_number(&c, 1, 2, &t->day))
        return false;
    if (at_end(&c)) {
        t->short_date = c.p - text != 10;
        return true;
    }
    if (!take(&c, 'T') && !take(&c, 't') && !take_blanks(&c))
        return false;
    t->has_time = true;
    if (!take_number(&c, 1, 2, &t->hour) || !take(&c, ':') || !take_number(&c, 2, 2, &t->minute) ||
        !take(&c, ':') || !take_number(&c, 2, 2, &t->second))
        return false;
    if (take(&c, '.'))
        take_fraction(&c, &t->micro);
    return at_end(&c) || (take_zone(&c, t) && at_end(&c));
}

static bool is_leap(int year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* What the constructors of Python's datetime module accept. */
static bool exists(const struct ytime *t)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    enum { DAY = 24 * 60 * 60 };

    if (t->year < 1 || t->month < 1 || t->month > 12 || t->day < 1)
        return false;
    if (t->day > days[t->month - 1] + (t->month == 2 && is_leap(t->year) ? 1 : 0))
        return false;
    return t->hour < 24 && t->minute < 60 && t->second < 60 && t->zone > -DAY && t->zone < DAY;
}

/* "2001-12-14 21:59:43.100000+01:00" */
static void print_str(const struct ytime *t, struct hfc_buf *out)
{
    hfc_buf_printf(out, "%04d-%02d-%02d", t->year, t->month, t->day);
    if (!t->has_time)
        return;
    hfc_buf_printf(out, " %02d:%02d:%02d", t->hour, t->minute, t->second);
    if (t->micro != 0)
        hfc_buf_printf(out, ".%06d", t->micro);
    if (t->has_zone) {
        int zone = t->zone < 0 ? -t->zone : t->zone;
        hfc_buf_printf(out, "%c%02d:%02d", t->zone < 0 ? '-' : '+', zone / 3600, zone / 60 % 60);
    }
}

/* Leaves out seconds and microseconds that are zero, as Python does. */
static void print_repr(const struct ytime *t, struct hfc_buf *out)
{
    enum { DAY = 24 * 60 * 60 };

    if (!t->has_time) {
        hfc_buf_printf(out, "datetime.date(%d, %d, %d)", t->year, t->month, t->day);
        return;
    }
    hfc_buf_printf(out, "datetime.datetime(%d, %d, %d, %d, %d", t->year, t->month, t->day, t->hour,
                   t->minute);
    if (t->second != 0 || t->micro != 0)
        hfc_buf_printf(out, ", %d", t->second);
    if (t->micro != 0)
        hfc_buf_printf(out, ", %d", t->micro);
    if (t->has_zone && t->zone == 0)
        hfc_buf_str(out, ", tzinfo=datetime.timezone.utc");
    else if (t->zone > 0)
        hfc_buf_printf(out, ", tzinfo=datetime.timezone(datetime.timedelta(seconds=%d))", t->zone);
    else if (t->zone < 0)
        hfc_buf_printf(out, ", tzinfo=datetime.timezone(datetime.timedelta(days=-1, seconds=%d))",
                       t->zone + DAY);
    hfc_buf_char(out, ')');
}

bool yaml_time_node(struct yload *ld, const struct ytime *t, struct ynode *node)
{
    if (!exists(t))
        return false;
    hfc_autobuf struct hfc_buf str, repr;
    hfc_buf_init(&str, 256);
    hfc_buf_init(&repr, 256);
    print_str(t, &str);
    print_repr(t, &repr);
    assert(!hfc_buf_failed(&str) && !hfc_buf_failed(&repr));
    node->type = t->has_time ? Y_DATETIME : Y_DATE;
    node->text = arena_strndup(ld->out, str.data, str.len);
    node->n = (uint32_t)str.len;
    node->repr = arena_strndup(ld->out, repr.data, repr.len);
    return true;
}
