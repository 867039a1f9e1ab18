/* fuzz_yaml.c: any bytes are read or refused with a place inside the text; what is read prints.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "ynode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void print(const struct ynode *root)
{
    struct hfc_buf out;

    hfc_buf_init(&out, 16384);
    ynode_str(root, &out);
    hfc_buf_reset(&out);
    ynode_repr(root, &out);
    hfc_buf_free(&out);
}

static void check_place(const struct source *src, uint32_t line, uint32_t col)
{
    assert(line >= 1 && line <= source_lines(src) && col >= 1);
    (void)source_offset(src, line, col);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new();
    const struct source *src = source_from_text(a, "fuzz.yaml", (const char *)data, size);
    struct ydoc doc;
    struct yerror err;

    if (yaml_parse(a, src, &doc, &err) == 0) {
        check_place(src, doc.root->line, doc.root->col);
        for (size_t i = 0; i < doc.ndups; i++)
            check_place(src, doc.dups[i].again->line, doc.dups[i].again->col);
        print(doc.root);
        (void)ynode_truthy(doc.root);
        (void)ynode_get(doc.root, "a");
    } else {
        check_place(src, err.line, err.col);
        if (err.context_line != 0)
            check_place(src, err.context_line, err.context_col);
    }
    arena_free(a);
    return 0;
}
