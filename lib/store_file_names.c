/* store_file_names.c: the names in a folder, read over several turns and sorted; see
 * store_file_path.h.
 */
#include "store_file_path.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NAMES_MAX = 256 * 1024 * 1024 };

struct hfc_dir_names *hfc_dir_names_new(int fd)
{
    struct hfc_dir_names *names = hfc_dir_alloc(sizeof(*names));

    hfc_buf_init(&names->text, NAMES_MAX);
    hfc_dir_names_reopen(names, fd);
    return names;
}

void hfc_dir_names_reopen(struct hfc_dir_names *names, int fd)
{
    assert(names->dir == NULL);
    names->dir = fdopendir(fd);
    if (names->dir == NULL)
        abort(); /* memory: the descriptor is a folder's */
}

void hfc_dir_names_close(struct hfc_dir_names *names)
{
    if (names->dir != NULL)
        (void)closedir(names->dir);
    names->dir = NULL;
}

void hfc_dir_names_free(struct hfc_dir_names *names)
{
    if (names == NULL)
        return;
    hfc_dir_names_close(names);
    hfc_buf_free(&names->text);
    free(names->at);
    free(names);
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort(struct hfc_dir_names *names)
{
    char *text = names->text.data;

    names->at = hfc_dir_alloc((names->n + 1) * sizeof(*names->at));
    for (size_t i = 0; i < names->n; i++) {
        names->at[i] = text;
        text += strlen(text) + 1;
    }
    assert(text == names->text.data + names->text.len);
    qsort(names->at, names->n, sizeof(*names->at), by_bytes);
}

int hfc_dir_names_read(struct hfc_dir_names *names, hfc_dir_filter *filter, void *ctx)
{
    assert(names->dir != NULL && names->at == NULL);
    for (unsigned i = 0; i < HFC_DIR_TURN_ITEMS; i++) {
        errno = 0;
        const struct dirent *e = readdir(names->dir);
        if (e == NULL && errno != 0)
            return -1;
        if (e == NULL) {
            sort(names);
            return 0;
        }
        enum hfc_dir_take take = filter(ctx, dirfd(names->dir), e);
        if (take == HFC_DIR_SKIP)
            continue;
        hfc_buf_str(&names->text, e->d_name);
        if (take == HFC_DIR_FOLDER)
            hfc_buf_char(&names->text, '/');
        hfc_buf_char(&names->text, '\0');
        names->n++;
        if (hfc_buf_failed(&names->text)) {
            errno = ENOMEM;
            return -1;
        }
    }
    return 1;
}
