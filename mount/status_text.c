/* status_text.c: the screen of `status`; see mount_commands.h. Made from the same object as --json.
 *
 * What is missing, as everything of the worker's is when there is none, or another version's, is
 * left out. Text from outside is made visible.
 */
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "client.h"
#include "glyph.h"
#include "mount_commands.h"

enum { LABEL = 12, BAR = 20, FAILURES_SHOWN = 5, TEXT_SHOWN = 300, COLUMNS = 100 };

struct screen {
    struct hfc_buf *out;
    const json_t *status;
};

static const json_t *member(const json_t *of, const char *path)
{
    char name[32];
    size_t n;

    for (; *path != '\0'; path += n + (path[n] == '.')) {
        n = strcspn(path, ".");
        (void)snprintf(name, sizeof(name), "%.*s", (int)n, path);
        of = json_object_get(of, name);
    }
    return of;
}

static double number(const json_t *of, const char *path)
{
    double n = json_number_value(member(of, path));

    return n > 0 ? n : 0;
}

static unsigned long long whole(const json_t *of, const char *path)
{
    return (unsigned long long)number(of, path);
}

static void label(const struct screen *s, const char *text)
{
    hfc_buf_printf(s->out, "%-*s", LABEL, text);
}

static void bytes(const struct screen *s, const char *path)
{
    client_add_bytes(s->out, whole(s->status, path));
}

static void text(const struct screen *s, const json_t *t)
{
    const char *bytes = json_is_string(t) ? json_string_value(t) : "?";
    size_t n = strlen(bytes);

    hfc_glyph_add(s->out, bytes, n > TEXT_SHOWN ? TEXT_SHOWN : n);
}

/* Broken where the screen ends; `used` columns of the line are taken. */
static void long_text(const struct screen *s, size_t used, const json_t *t)
{
    const char *bytes = json_is_string(t) ? json_string_value(t) : "?";

    for (size_t left = strlen(bytes); left > 0;) {
        struct hfc_glyph g = hfc_glyph_next(bytes, left);
        if (used + g.len > COLUMNS) {
            hfc_buf_char(s->out, '\n');
            label(s, "");
            used = LABEL;
        }
        hfc_buf_add(s->out, g.text, g.len);
        used += g.len;
        bytes += g.taken;
        left -= g.taken;
    }
}

static void print_head(const struct screen *s)
{
    label(s, "mount");
    text(s, member(s->status, "mountpoint"));
    hfc_buf_str(s->out, "  ");
    text(s, member(s->status, "state"));
    hfc_buf_str(s->out, " for ");
    client_add_duration(s->out, number(s->status, "state_s"));
    hfc_buf_char(s->out, '\n');
    if (json_is_false(member(s->status, "ready"))) {
        label(s, "");
        hfc_buf_str(s->out, "NOT READY: ");
        long_text(s, LABEL + strlen("NOT READY: "), member(s->status, "ready_why"));
        hfc_buf_char(s->out, '\n');
    }
    label(s, "keeper");
    hfc_buf_printf(s->out, "pid %llu, version ", whole(s->status, "keeper_pid"));
    text(s, member(s->status, "keeper_version"));
    hfc_buf_str(s->out, ", ");
    text(s, member(s->status, "socket"));
    hfc_buf_char(s->out, '\n');
}

static void print_worker(const struct screen *s)
{
    unsigned long long standbys = whole(s->status, "standbys");

    label(s, "worker");
    if (whole(s->status, "worker_pid") == 0)
        hfc_buf_str(s->out, "NONE");
    else
        hfc_buf_printf(s->out, "pid %llu", whole(s->status, "worker_pid"));
    if (member(s->status, "version") != NULL) {
        hfc_buf_str(s->out, ", version ");
        text(s, member(s->status, "version"));
        hfc_buf_str(s->out, ", up ");
        client_add_duration(s->out, number(s->status, "uptime_s"));
    }
    hfc_buf_printf(s->out, "; %llu on standby\n", standbys);
    if (member(s->status, "error") != NULL) {
        label(s, "");
        long_text(s, LABEL, member(s->status, "error"));
        hfc_buf_char(s->out, '\n');
    }
}

/* The deaths are the keeper's to count, so this is there without a worker. */
static void print_handovers(const struct screen *s)
{
    const json_t *last = member(s->status, "last_takeover_ms");

    label(s, "hand-overs");
    hfc_buf_printf(s->out, "%llu workers have served, %llu have died",
                   whole(s->status, "generation"), whole(s->status, "deaths"));
    if (json_is_number(last))
        hfc_buf_printf(s->out, "; the last gap was %.1f ms", json_number_value(last));
    hfc_buf_printf(s->out,
                   "\n%-*s%llu requests done again, %llu poisonous, %llu failed for want of "
                   "a worker\n",
                   LABEL, "", whole(s->status, "redone"), whole(s->status, "poisoned"),
                   whole(s->status, "orphaned"));
}

static void print_store(const struct screen *s)
{
    label(s, "store");
    if (member(s->status, "store") != NULL) {
        text(s, member(s->status, "store"));
        hfc_buf_str(s->out, ", ");
    }
    hfc_buf_printf(s->out, "%llu connections, %llu fetches running, %llu waiting\n",
                   whole(s->status, "fetches.connections"), whole(s->status, "fetches.active"),
                   whole(s->status, "fetches.queued"));
    label(s, "");
    bytes(s, "fetches.bytes");
    hfc_buf_printf(s->out, " in %llu fetches, %llu tried again\n",
                   whole(s->status, "fetches.asked"), whole(s->status, "fetches.retries"));
}

static void print_tree(const struct screen *s)
{
    const json_t *age = member(s->status, "tree.age_s");

    label(s, "tree");
    hfc_buf_printf(s->out, "%llu names, ", whole(s->status, "tree.names"));
    bytes(s, "tree.bytes");
    if (json_is_number(age)) {
        hfc_buf_str(s->out, ", looked at ");
        client_add_duration(s->out, json_number_value(age));
        hfc_buf_str(s->out, " ago\n");
    } else {
        hfc_buf_str(s->out, ", not looked at yet\n");
    }
}

static void print_cache(const struct screen *s)
{
    double used = number(s->status, "cache.used"), limit = number(s->status, "cache.limit");
    double part = limit > 0 ? used / limit : 0;
    int full = (int)(part * BAR + 0.5);

    label(s, "cache");
    hfc_buf_char(s->out, '[');
    for (int i = 0; i < BAR; i++)
        hfc_buf_char(s->out, i < full ? '#' : '.');
    hfc_buf_str(s->out, "]  ");
    bytes(s, "cache.used");
    hfc_buf_str(s->out, " of ");
    bytes(s, "cache.limit");
    hfc_buf_printf(s->out, ", %.0f %%\n%-*s%llu objects, %llu evictions", part * 100, LABEL, "",
                   whole(s->status, "cache.blobs"), whole(s->status, "cache.evictions"));
    if (json_is_true(member(s->status, "cache.degraded")))
        hfc_buf_str(s->out, ", DEGRADED: the disk fails, reads stream past it");
    hfc_buf_char(s->out, '\n');
}

/* "a 1 B, b 2 B": members of an object; broken where the screen ends. */
static void sizes(const struct screen *s, size_t used, const char *of, const char *const *names,
                  size_t n)
{
    for (size_t i = 0; i < n; i++) {
        hfc_autobuf struct hfc_buf item = HFC_BUF(COLUMNS);
        char path[64];
        (void)snprintf(path, sizeof(path), "%s.%s", of, names[i]);
        hfc_buf_printf(&item, "%s ", names[i]);
        client_add_bytes(&item, whole(s->status, path));
        bool breaks = used + item.len + strlen(", ,") > COLUMNS;
        if (i > 0)
            hfc_buf_str(s->out, breaks ? ",\n" : ", ");
        if (i > 0 && breaks) {
            label(s, "");
            used = LABEL;
        }
        hfc_buf_add(s->out, item.data, item.len);
        used += item.len + strlen(", ");
    }
    hfc_buf_char(s->out, '\n');
}

static void print_memory(const struct screen *s)
{
    static const char *const used[] = {"resident", "sockets", "arena", "tree"};
    static const char *const budget[] = {"fixed", "connections", "arena", "tree", "cache"};

    label(s, "memory");
    bytes(s, "memory.budget.total");
    hfc_buf_str(s->out, ": ");
    sizes(s, LABEL + strlen("1023.9 MiB: "), "memory.budget", budget, HFC_ARRAY_LEN(budget));
    label(s, "");
    hfc_buf_str(s->out, "used: ");
    sizes(s, LABEL + strlen("used: "), "memory.used", used, HFC_ARRAY_LEN(used));
}

static void print_reads(const struct screen *s)
{
    static const char *const sources[] = {"memory", "disk", "store"};

    label(s, "reads");
    hfc_buf_printf(s->out, "%llu waiting", whole(s->status, "reads.waiting"));
    if (whole(s->status, "reads.waiting") > 0) {
        hfc_buf_str(s->out, ", the oldest for ");
        client_add_duration(s->out, number(s->status, "reads.oldest_s"));
    }
    hfc_buf_printf(s->out, "; %llu answered\n%-*sfrom: ", whole(s->status, "reads.answered"), LABEL,
                   "");
    sizes(s, LABEL + strlen("from: "), "reads.bytes", sources, HFC_ARRAY_LEN(sources));
}

/* Only what is not zero; "none" if nothing is. */
static unsigned add_counts(const struct screen *s, const char *of, const char *what)
{
    const char *name;
    json_t *value;
    unsigned n = 0;

    json_object_foreach((json_t *)(uintptr_t)member(s->status, of), name,
                        value) if (json_integer_value(value) > 0)
        hfc_buf_printf(s->out, "%s%s %lld", n++ > 0 ? ", " : what, name,
                       (long long)json_integer_value(value));
    if (n > 0)
        hfc_buf_str(s->out, "; ");
    return n;
}

static void print_errors(const struct screen *s)
{
    unsigned long long wrong =
        whole(s->status, "verify.wrong_blocks") + whole(s->status, "verify.wrong_files");
    unsigned long long disk = whole(s->status, "cache.disk_errors");
    unsigned long long tree = whole(s->status, "tree.failures");

    label(s, "errors");
    unsigned n = add_counts(s, "reads.errors", "reads: ");
    n += add_counts(s, "fetches.errors", "fetches: ");
    if (wrong + disk + tree + n == 0) {
        hfc_buf_str(s->out, "none\n");
        return;
    }
    hfc_buf_printf(s->out, "disk %llu, wrong bytes %llu, names %llu\n", disk, wrong, tree);
}

static void print_scrub(const struct screen *s)
{
    if (!json_is_true(member(s->status, "scrub.running")))
        return;
    label(s, "scrub");
    hfc_buf_printf(s->out, "%llu of %llu objects, %llu wrong\n",
                   whole(s->status, "scrub.objects_done"), whole(s->status, "scrub.objects"),
                   whole(s->status, "scrub.wrong"));
}

static void print_kernel(const struct screen *s)
{
    bool passthrough = json_is_true(member(s->status, "kernel.passthrough"));
    bool readdirplus = json_is_true(member(s->status, "kernel.readdirplus"));

    label(s, "kernel");
    hfc_buf_printf(s->out, "%spassthrough, %sreaddirplus, %llu pages a request\n",
                   passthrough ? "" : "no ", readdirplus ? "" : "no ",
                   whole(s->status, "kernel.max_pages"));
}

static void print_failures(const struct screen *s)
{
    const json_t *list = member(s->status, "failures"), *f;
    size_t n = json_array_size(list);

    for (size_t i = 0; i < n && i < FAILURES_SHOWN; i++) {
        f = json_array_get(list, i);
        label(s, i == 0 ? "failures" : "");
        client_add_duration(s->out, number(f, "age_s"));
        hfc_buf_str(s->out, " ago: ");
        long_text(s, LABEL + strlen("59 min 59 s ago: "), member(f, "message"));
        hfc_buf_char(s->out, '\n');
    }
}

void status_print(const json_t *status, struct hfc_buf *out)
{
    const struct screen s = {out, status};

    print_head(&s);
    print_worker(&s);
    print_handovers(&s);
    if (member(status, "cache") == NULL)
        return;
    print_store(&s);
    print_tree(&s);
    print_cache(&s);
    print_memory(&s);
    print_reads(&s);
    print_errors(&s);
    print_scrub(&s);
    print_kernel(&s);
    print_failures(&s);
}
