/* fuzz_hub_json.c: any answer of the Hub is understood or refused; what is understood is safe.
 *
 * Input: 'i' and a description of a revision, or any other byte and a listing.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "hub_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Skimming has to give the same however the answer is cut. */
static void check_info(const char *text, size_t n)
{
    hfc_autobuf struct hfc_buf whole = HFC_BUF(1 << 20), cut = HFC_BUF(1 << 20);
    struct json_skim a = {0}, b = {0};
    struct json_info info;
    struct hfc_error err = {0};

    json_skim(&a, text, n, &whole);
    for (size_t i = 0; i < n; i++)
        json_skim(&b, text + i, 1, &cut);
    assert(whole.len == cut.len && memcmp(whole.data, cut.data, cut.len) == 0);
    if (json_info_parse(whole.data, whole.len, &info, &err) == 0) {
        assert(strlen(info.commit) == HUB_COMMIT);
        assert(info.id == NULL || model_id_fault(info.id) == NULL);
        free(info.id);
    } else {
        assert(err.errnum != 0 && err.msg[0] != '\0');
    }
}

static bool check_entry(void *ctx, const struct json_entry *e)
{
    struct hub_paths *paths = ctx;

    assert(hub_path_fault(e->file.path, strlen(e->file.path)) == NULL);
    const char *wrong = hub_paths_add(paths, e->file.path, e->directory);
    if (wrong == NULL)
        assert(e->directory || hub_paths_add(paths, e->file.path, false) != NULL);
    return wrong == NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hub_paths paths = {0};
    struct hfc_error err = {0};

    if (size == 0)
        return 0;
    const char *text = (const char *)data + 1;
    if (data[0] == 'i')
        check_info(text, size - 1);
    else if (json_tree_parse(text, size - 1, check_entry, &paths, &err) < 0)
        assert(err.errnum != 0 && err.msg[0] != '\0' && strchr(err.msg, '\n') == NULL);
    hub_paths_free(&paths);
    return 0;
}
