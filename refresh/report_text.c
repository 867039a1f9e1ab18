/* report_text.c: sizes, rates and times as people read them; see report_parts.h. */
#include <assert.h>

#include "report_parts.h"

/* "1.2", "12.3", but "105": three digits say enough. */
static void add_short(struct hfc_buf *out, double value, const char *unit)
{
    hfc_buf_printf(out, value < 99.95 ? "%.1f %s" : "%.0f %s", value, unit);
}

void report_add_size(struct hfc_buf *out, uint64_t bytes)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes / 1024;
    size_t unit = 0;

    if (bytes < 1024) {
        hfc_buf_printf(out, "%u B", (unsigned)bytes);
        return;
    }
    for (; value >= 1023.5 && unit + 1 < sizeof(units) / sizeof(units[0]); unit++)
        value /= 1024;
    add_short(out, value, units[unit]);
}

void report_add_rate(struct hfc_buf *out, double bytes_per_second)
{
    assert(bytes_per_second >= 0);
    if (bytes_per_second < 950000)
        hfc_buf_printf(out, "%.2f MB/s", bytes_per_second / 1e6);
    else
        add_short(out, bytes_per_second / 1e6, "MB/s");
}

void report_add_time(struct hfc_buf *out, int64_t ms)
{
    int64_t s = (ms + 500) / 1000;

    assert(ms >= 0);
    if (ms < 9950)
        hfc_buf_printf(out, "%.1f s", (double)ms / 1000);
    else if (s < 60)
        hfc_buf_printf(out, "%d s", (int)s);
    else if (s < 3600)
        hfc_buf_printf(out, "%d min %d s", (int)(s / 60), (int)(s % 60));
    else
        hfc_buf_printf(out, "%lld h %d min", (long long)(s / 3600), (int)(s / 60 % 60));
}

/* RFC 3339. */
void report_add_utc(struct hfc_buf *out, time_t t)
{
    char text[40] = "1970-01-01T00:00:00Z";
    struct tm tm;

    if (gmtime_r(&t, &tm) != NULL)
        (void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
    hfc_buf_str(out, text);
}
