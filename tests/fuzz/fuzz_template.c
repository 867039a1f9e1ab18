/* fuzz_template.c: compiles and renders arbitrary templates for every keep mask.
 *
 * Input: value of A, NUL, value of B, NUL, template. Checked: no crash, no three newlines in a
 * row, rendering twice gives the same, and what is left over is found where it is.
 */
#include <assert.h>
#include <string.h>

#include "buf.h"
#include "template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const tags[] = {"X", "Y", NULL};
static const char *const names[] = {"A", "B", NULL};

static void check_place(void *ctx, enum template_issue issue, struct srcpos at, const char *tag,
                        size_t tag_len)
{
    (void)ctx, (void)issue;
    assert(at.line >= 1 && at.line <= source_lines(at.src) && at.col >= 1);
    assert(tag != NULL && memchr(tag, '\n', tag_len) == NULL);
}

static void check_render(const struct template *t, const struct text *values, unsigned mask,
                         struct hfc_buf *out, struct hfc_buf *again)
{
    bool keep[] = {(mask & 1) != 0, (mask & 2) != 0};
    size_t n;

    hfc_buf_reset(out);
    hfc_buf_reset(again);
    template_render(t, values, keep, out);
    template_render(t, values, keep, again);
    assert(hfc_buf_failed(out) == hfc_buf_failed(again));
    if (hfc_buf_failed(out))
        return;
    assert(out->len == again->len && memcmp(out->data, again->data, out->len) == 0);
    assert(memmem(out->data, out->len, "\n\n\n", 3) == NULL);
    const char *left = template_leftover(out->data, out->len, &n);
    if (left != NULL) {
        assert(left + n <= out->data + out->len && n >= 5);
        (void)template_find(t, keep, left, n);
    }
}

static struct text take_value(const uint8_t **data, size_t *size)
{
    const uint8_t *nul = *size > 0 ? memchr(*data, 0, *size) : NULL;
    struct text value = {(const char *)*data, 0};

    if (nul != NULL) {
        value.n = (size_t)(nul - *data);
        *size -= value.n + 1;
        *data = nul + 1;
    }
    return value;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct text values[2];

    values[0] = take_value(&data, &size);
    values[1] = take_value(&data, &size);
    struct arena *a = arena_new();
    const struct source *src = source_from_text(a, "t.tpl", (const char *)data, size);
    const struct template *t = template_compile(a, src, tags, names, check_place, NULL);
    struct hfc_buf out, again;
    hfc_buf_init(&out, 1 << 16);
    hfc_buf_init(&again, 1 << 16);
    for (unsigned mask = 0; t != NULL && mask < 4; mask++)
        check_render(t, values, mask, &out, &again);
    hfc_buf_free(&out);
    hfc_buf_free(&again);
    arena_free(a);
    return 0;
}
