/* catalog_copy.c: the copy of the index in the cache directory; see catalog.h.
 *
 * Belongs to the loop's thread; the worker that holds the cache's lock is the only one who writes
 * here. Nothing is synced: a copy that a power cut has spoilt does not have the digest that its
 * last line tells, and is not used. index.etag names the very copy it is of, so it does no harm if
 * one of the two files is older.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "catalog_internal.h"
#include "cleanup.h"
#include "file.h"
#include "logging.h"
#include "metrics.h"

#define COPY "index"
#define COPY_NEW "index.new"
#define ETAG "index.etag"
#define ETAG_NEW "index.etag.new"

enum { ETAG_FILE_MAX = HFC_ETAG_MAX + HFC_HEX_MAX, MODE = 0600 };

static void say_failed(const char *name, int errnum)
{
    metric_add(M_DISK_ERRORS, 1);
    log_line(LOG_TREE, LEVEL_WARNING,
             "the copy of the tree was not written: %s in the cache directory: %s; the one before "
             "stays for the next start",
             name, strerror(errnum));
}

/* ---- Writing. ---- */

static void give_up(struct copy *c, const char *name, int errnum)
{
    say_failed(name, errnum);
    catalog_copy_drop(c);
    c->directory = -1;
}

void catalog_copy_begin(struct copy *c, int directory)
{
    *c = (struct copy){.directory = directory, .fd = -1, .hash = hfc_hash_new(HFC_SHA256)};
    if (directory < 0)
        return;
    c->fd =
        openat(directory, COPY_NEW, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, MODE);
    if (c->fd < 0)
        give_up(c, COPY_NEW, errno);
}

void catalog_copy_add(struct copy *c, const void *bytes, size_t n)
{
    const char *at = bytes, *end = at + n;

    hfc_hash_add(c->hash, bytes, n);
    while (c->fd >= 0 && at < end) {
        ssize_t done = write(c->fd, at, (size_t)(end - at));
        if (done < 0 && errno != EINTR)
            give_up(c, COPY_NEW, errno);
        at += done > 0 ? done : 0;
    }
}

void catalog_copy_end(struct copy *c)
{
    hfc_hash_finish(c->hash, c->sha256);
}

/* By way of a new file, so that it is never half of one. */
static void keep_etag(const struct copy *c, const char *etag)
{
    char hex[HFC_HEX_MAX], text[ETAG_FILE_MAX + 1];
    struct hfc_error err = {0};

    if (*etag == '\0') {
        (void)unlinkat(c->directory, ETAG, 0);
        return;
    }
    hfc_hex(c->sha256, HFC_SHA256_SIZE, hex);
    int n = snprintf(text, sizeof(text), "%s %s\n", etag, hex);
    assert(n > 0 && (size_t)n < sizeof(text));
    (void)unlinkat(c->directory, ETAG_NEW, 0);
    if (hfc_file_create(c->directory, ETAG_NEW, text, (size_t)n, MODE, &err) == 0 &&
        renameat(c->directory, ETAG_NEW, c->directory, ETAG) == 0)
        return;
    say_failed(ETAG, err.errnum != 0 ? err.errnum : errno);
    (void)unlinkat(c->directory, ETAG_NEW, 0);
}

void catalog_copy_keep(struct copy *c, const char *etag)
{
    if (c->fd < 0)
        return;
    if (renameat(c->directory, COPY_NEW, c->directory, COPY) < 0) {
        give_up(c, COPY, errno);
        return;
    }
    (void)close(hfc_steal_fd(&c->fd));
    keep_etag(c, etag);
}

void catalog_copy_drop(struct copy *c)
{
    if (c->fd < 0)
        return;
    (void)close(hfc_steal_fd(&c->fd));
    (void)unlinkat(c->directory, COPY_NEW, 0);
}

/* ---- Reading. ---- */

int catalog_copy_open(int directory)
{
    if (directory < 0)
        return -1;
    int fd = openat(directory, COPY, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 && errno != ENOENT)
        log_line(LOG_TREE, LEVEL_WARNING,
                 "the copy of the tree can't be opened: " COPY " in the cache directory: %s; the "
                 "names come from the bucket",
                 strerror(errno));
    return fd;
}

bool catalog_is_etag(const char *etag)
{
    for (const char *c = etag; *c != '\0'; c++)
        if (*c < 0x21 || *c > 0x7e || *c == '"')
            return false;
    return *etag != '\0' && strlen(etag) < HFC_ETAG_MAX;
}

bool catalog_copy_etag(int directory, char etag[HFC_ETAG_MAX], uint8_t sha256[HFC_SHA256_SIZE])
{
    hfc_autobuf struct hfc_buf text = HFC_BUF(ETAG_FILE_MAX);

    if (directory < 0 || hfc_file_read(directory, ETAG, &text, NULL) < 0)
        return false;
    const char *space = memchr(text.data, ' ', text.len);
    size_t n = space != NULL ? (size_t)(space - text.data) : 0;
    if (n == 0 || n >= HFC_ETAG_MAX || text.len != n + 2 * HFC_SHA256_SIZE + 2 ||
        text.data[text.len - 1] != '\n')
        return false;
    text.data[n] = text.data[text.len - 1] = '\0';
    memcpy(etag, text.data, n + 1);
    return catalog_is_etag(etag) && hfc_unhex(text.data + n + 1, sha256, HFC_SHA256_SIZE);
}
