/* process.c: who a process is, read from /proc; see process.h. */
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"
#include "file.h"

enum { STAT_MAX = 4096, START_FIELD = 22 };

/* "BOOT/NAMESPACE/": what this process shares with those that it can see. Empty if it is unknown.
 */
static void add_place(struct hfc_buf *out)
{
    hfc_autobuf struct hfc_buf boot = HFC_BUF(STAT_MAX);
    struct stat ns;

    if (hfc_file_read(AT_FDCWD, "/proc/sys/kernel/random/boot_id", &boot, NULL) < 0 ||
        stat("/proc/self/ns/pid", &ns) < 0)
        return;
    hfc_buf_printf(out, "%.*s/%llu/", (int)strcspn(boot.data, "\n"), boot.data,
                   (unsigned long long)ns.st_ino);
}

/* Clock ticks between boot and the process's start; 0: unknown. The name in parentheses, which may
 * hold anything, is passed over from its end. */
static unsigned long long start_of(long pid)
{
    hfc_autobuf struct hfc_buf text = HFC_BUF(STAT_MAX);
    char path[64];

    (void)snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
    if (hfc_file_read(AT_FDCWD, path, &text, NULL) < 0)
        return 0;
    const char *at = strrchr(text.data, ')');
    for (int field = 2; at != NULL && field < START_FIELD; field++)
        at = strchr(at + 1, ' ');
    return at != NULL ? strtoull(at + 1, NULL, 10) : 0;
}

/* All or nothing: half of it would never be recognised as gone, or wrongly so. */
void hfc_process_self(char to[HFC_PROCESS_SIZE])
{
    hfc_autobuf struct hfc_buf text = HFC_BUF(HFC_PROCESS_SIZE - 1);
    long pid = (long)getpid();

    add_place(&text);
    if (text.len > 0)
        hfc_buf_printf(&text, "%ld/%llu", pid, start_of(pid));
    (void)snprintf(to, HFC_PROCESS_SIZE, "%s", hfc_buf_failed(&text) ? "" : text.data);
}

bool hfc_process_gone(const char *process)
{
    hfc_autobuf struct hfc_buf place = HFC_BUF(HFC_PROCESS_SIZE);
    char *end;

    add_place(&place);
    if (place.len == 0 || strncmp(process, place.data, place.len) != 0)
        return false;
    long pid = strtol(process + place.len, &end, 10);
    unsigned long long start = *end == '/' ? strtoull(end + 1, NULL, 10) : 0;
    if (pid <= 0 || start == 0)
        return false;
    if (kill((pid_t)pid, 0) < 0 && errno == ESRCH)
        return true;
    unsigned long long now = start_of(pid);
    return now != 0 && now != start;
}
