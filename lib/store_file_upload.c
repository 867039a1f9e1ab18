/* store_file_upload.c: uploads in parts, as far as the upload as a whole goes; see upload.h. Its
 * parts are in store_file_part.c.
 *
 * An upload is a folder with the key, one file `data` that all parts are written into at their
 * place, and a record for each part whose bytes are safe on the disk. Completing checks the records
 * and renames `data`; no byte is moved.
 */
#include "store_file_path.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "cleanup.h"
#include "file.h"
#include "key.h"

enum { UPLOADS_MAX = 100000 };

struct upload {
    char *key;
    char id[HFC_DIR_ID];
    int64_t initiated;
};

struct uploads {
    struct upload *at;
    size_t n, cap;
};

/* ---- Folders. ---- */

static bool is_upload_id(const char *id)
{
    return strlen(id) == HFC_DIR_ID - 1 && strncmp(id, "up-", 3) == 0 &&
           strspn(id + 3, "0123456789abcdef") == HFC_DIR_ID - 4;
}

/* Opens the folder and reads its key. An upload without data was completed. */
static int open_folder(struct hfc_dir *d, const char *id, struct hfc_buf *key)
{
    struct hfc_error err;
    hfc_autoclose int uploads = is_upload_id(id) ? hfc_dir_uploads(d, false) : -1;
    hfc_autoclose int fd =
        uploads >= 0 ? openat(uploads, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;

    if (!is_upload_id(id))
        errno = ENOENT;
    if (fd < 0 || faccessat(fd, "data", F_OK, 0) < 0)
        return -1;
    if (hfc_file_read(fd, "key", key, &err) < 0) {
        errno = err.errnum;
        return -1;
    }
    return hfc_steal_fd(&fd);
}

bool hfc_dir_open_upload(struct hfc_dir_op *o)
{
    hfc_autobuf struct hfc_buf key = HFC_BUF(HFC_KEY_MAX);

    o->from = open_folder((struct hfc_dir *)o->op.store, o->op.upload_id, &key);
    if (o->from >= 0 && strcmp(key.data, o->op.key) == 0)
        return true;
    if (o->from >= 0 || errno == ENOENT)
        hfc_dir_refuse(o, ENOENT, "there is no such upload");
    else
        hfc_dir_fail(o, errno, "upload");
    return false;
}

static void new_id(char id[HFC_DIR_ID])
{
    uint8_t random[16];

    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
        abort(); /* can't fail for so few bytes */
    (void)stpcpy(id, "up-");
    hfc_hex(random, sizeof(random), id + 3);
}

/* Its name while it is made does not look like an upload: nobody sees it half-made. */
void hfc_dir_create(struct hfc_dir_op *o)
{
    struct hfc_dir *d = (struct hfc_dir *)o->op.store;
    char id[HFC_DIR_ID];
    struct hfc_error err;
    hfc_autoclose int fd = hfc_dir_make_temp(o, true);
    hfc_autoclose int uploads = fd >= 0 ? hfc_dir_uploads(d, false) : -1;

    if (uploads < 0) {
        hfc_dir_fail(o, errno, "upload");
        return;
    }
    new_id(id);
    if (hfc_file_create(fd, "key", o->op.key, strlen(o->op.key), 0666, &err) < 0 ||
        hfc_file_create(fd, "data", "", 0, 0666, &err) < 0) {
        hfc_dir_fail(o, err.errnum, "upload");
        return;
    }
    if (renameat(uploads, o->temp, uploads, id) < 0 || fsync(uploads) < 0) {
        hfc_dir_fail(o, errno, "upload");
        return;
    }
    o->temp[0] = '\0';
    struct hfc_store_reply reply = {.upload_id = id};
    hfc_store_op_end(&o->op, &reply, NULL);
}

/* Without its key it is no upload any more, whatever is left of it. */
void hfc_dir_abort(struct hfc_dir_op *o)
{
    hfc_autobuf struct hfc_buf key = HFC_BUF(HFC_KEY_MAX);

    o->from = open_folder((struct hfc_dir *)o->op.store, o->op.upload_id, &key);
    if (o->from < 0 && errno != ENOENT) {
        hfc_dir_fail(o, errno, "abort");
        return;
    }
    if (o->from >= 0 && strcmp(key.data, o->op.key) == 0) {
        if (unlinkat(o->from, "key", 0) < 0 && errno != ENOENT) {
            hfc_dir_fail(o, errno, "abort");
            return;
        }
        hfc_dir_remove_temp((struct hfc_dir *)o->op.store, o->op.upload_id);
    }
    hfc_dir_succeed(o, NULL);
}

/* ---- The list. ---- */

static void cleanup_uploads(struct uploads *u)
{
    for (size_t i = 0; i < u->n; i++)
        free(u->at[i].key);
    free(u->at);
}

static int by_key(const void *a, const void *b)
{
    const struct upload *x = a, *y = b;
    int c = strcmp(x->key, y->key);

    return c != 0 ? c : strcmp(x->id, y->id);
}

static struct upload *add_upload(struct uploads *u)
{
    if (u->n == UPLOADS_MAX)
        return NULL;
    if (u->n == u->cap) {
        u->cap = u->cap == 0 ? 16 : u->cap * 2;
        u->at = realloc(u->at, u->cap * sizeof(*u->at));
        if (u->at == NULL)
            abort();
    }
    return &u->at[u->n++];
}

/* Takes the upload in, if its key begins with the prefix. What vanishes meanwhile, or was cut down
 * by a crash, is none. Returns an errno value. */
static int take_upload(struct hfc_dir_op *o, const char *id, struct uploads *u)
{
    hfc_autobuf struct hfc_buf key = HFC_BUF(HFC_KEY_MAX);
    hfc_autoclose int fd = open_folder((struct hfc_dir *)o->op.store, id, &key);
    struct stat st;

    if (fd < 0)
        return errno == ENOENT || errno == EFBIG ? 0 : errno;
    if (hfc_key_fault(key.data) != NULL || strlen(key.data) != key.len ||
        strncmp(key.data, o->op.key, strlen(o->op.key)) != 0 || fstatat(fd, "key", &st, 0) < 0)
        return 0;
    struct upload *upload = add_upload(u);
    if (upload == NULL)
        return ENOMEM;
    upload->key = hfc_dir_alloc(key.len + 1);
    memcpy(upload->key, key.data, key.len);
    memcpy(upload->id, id, sizeof(upload->id));
    upload->initiated = st.st_mtim.tv_sec;
    return 0;
}

/* Returns an errno value. */
static int read_uploads(struct hfc_dir_op *o, struct uploads *u)
{
    int fd = hfc_dir_uploads((struct hfc_dir *)o->op.store, false);
    hfc_autoclosedir DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *e;

    if (dir == NULL)
        return errno == ENOENT ? 0 : errno;
    while (errno = 0, (e = readdir(dir)) != NULL) {
        int rc = is_upload_id(e->d_name) ? take_upload(o, e->d_name, u) : 0;
        if (rc != 0)
            return rc;
    }
    return errno;
}

/* In one turn: there are never many. */
void hfc_dir_list_uploads(struct hfc_dir_op *o)
{
    __attribute__((cleanup(cleanup_uploads))) struct uploads u = {0};
    int rc = read_uploads(o, &u);

    if (rc != 0) {
        hfc_dir_fail(o, rc, "list");
        return;
    }
    if (u.n > 0)
        qsort(u.at, u.n, sizeof(*u.at), by_key);
    for (size_t i = 0; i < u.n && !o->op.ended; i++)
        o->op.call.upload(o->op.ctx, hfc_store_short_key(o->op.store, u.at[i].key), u.at[i].id,
                          u.at[i].initiated);
    if (!o->op.ended)
        hfc_dir_succeed(o, NULL);
}
