/* store_file_meta.c: ETag and metadata of a file; see store_file.h.
 *
 * The ETag is made of inode, size and time of modification: cheap enough for lists, another one
 * whenever the store has put a file there, and also when somebody else wrote to it. (The time of
 * change would be safer against tricks with utimes(2), but a chmod or a rename moves it as well.)
 *
 * Metadata lie in an extended attribute that says which version they belong to: of a file that
 * somebody else has changed since, they say nothing.
 */
#include "store_file.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

static const char ATTRIBUTE[] = "user.hfcache.meta";
enum { TEXT_MAX = 512 };

void hfc_dir_etag(const struct stat *st, char etag[HFC_ETAG_MAX])
{
    uint64_t ns = (uint64_t)st->st_mtim.tv_sec * 1000000000U + (uint64_t)st->st_mtim.tv_nsec;
    int n = snprintf(etag, HFC_ETAG_MAX, "%jx.%jx.%" PRIx64, (uintmax_t)st->st_ino,
                     (uintmax_t)st->st_size, ns);

    assert(n > 0 && n < HFC_ETAG_MAX);
}

/* The value of "name=value" among words with a space between; false: it is not there, or no digest
 * of n bytes. */
static bool find_digest(const char *text, const char *name, uint8_t *digest, size_t n)
{
    char hex[HFC_HEX_MAX];
    size_t name_len = strlen(name);

    for (const char *word = text;; word++) {
        size_t len = strcspn(word, " ");
        if (len == name_len + 2 * n && strncmp(word, name, name_len) == 0) {
            memcpy(hex, word + name_len, 2 * n);
            hex[2 * n] = '\0';
            return hfc_unhex(hex, digest, n);
        }
        word += len;
        if (*word == '\0')
            return false;
    }
}

static void read_meta(int fd, const char *etag, struct hfc_meta *meta)
{
    char text[TEXT_MAX];
    ssize_t n = fgetxattr(fd, ATTRIBUTE, text, sizeof(text) - 1);

    if (n < 0)
        return;
    text[n] = '\0';
    const char *of = strstr(text, "etag=");
    if (of == NULL || strcmp(of + strlen("etag="), etag) != 0)
        return;
    meta->has_sha256 = find_digest(text, "sha256=", meta->sha256, HFC_SHA256_SIZE);
    meta->has_git_sha1 = find_digest(text, "git-sha1=", meta->git_sha1, HFC_SHA1_SIZE);
}

void hfc_dir_object(int fd, const struct stat *st, struct hfc_object *object)
{
    *object = (struct hfc_object){.size = (uint64_t)st->st_size, .modified = st->st_mtim.tv_sec};
    hfc_dir_etag(st, object->etag);
    if (fd >= 0)
        read_meta(fd, object->etag, &object->meta);
}

int hfc_dir_keep_meta(int fd, const struct stat *st, const struct hfc_meta *meta)
{
    char hex[HFC_HEX_MAX], etag[HFC_ETAG_MAX];
    hfc_autobuf struct hfc_buf text = HFC_BUF(TEXT_MAX - 1);

    if (!meta->has_sha256 && !meta->has_git_sha1)
        return 0;
    if (meta->has_sha256) {
        hfc_hex(meta->sha256, HFC_SHA256_SIZE, hex);
        hfc_buf_printf(&text, "sha256=%s ", hex);
    }
    if (meta->has_git_sha1) {
        hfc_hex(meta->git_sha1, HFC_SHA1_SIZE, hex);
        hfc_buf_printf(&text, "git-sha1=%s ", hex);
    }
    hfc_dir_etag(st, etag);
    hfc_buf_printf(&text, "etag=%s", etag);
    if (hfc_buf_failed(&text))
        abort(); /* memory: the text is shorter than TEXT_MAX */
    if (fsetxattr(fd, ATTRIBUTE, text.data, text.len, 0) < 0 && errno != ENOTSUP && errno != ENOSYS)
        return -1;
    return 0;
}
