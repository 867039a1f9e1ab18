/* check.c: checks of single values; see check.h. */
#include "check.h"

#include <assert.h>
#include <string.h>

#include "suggest.h"

/* What a message shows of a value: a whole mapping would drown it. A cut inside a character is
 * harmless, as the printers replace what is malformed. */
enum { REPR_SHOWN = 120 };

const char *type_noun(const struct ynode *n)
{
    static const char *const nouns[] = {
        [Y_NULL] = "null",     [Y_BOOL] = "a boolean",  [Y_INT] = "an integer",
        [Y_FLOAT] = "a float", [Y_STR] = "text",        [Y_DATE] = "a date",
        [Y_BYTES] = "binary",  [Y_DATETIME] = "a date", [Y_SEQ] = "a list",
        [Y_MAP] = "a mapping", [Y_SET] = "a set",       [Y_PAIRS] = "a list of pairs",
    };

    assert(n->type < sizeof(nouns) / sizeof(nouns[0]));
    return nouns[n->type];
}

const char *repr_of(struct diags *d, const struct ynode *n)
{
    hfc_autobuf struct hfc_buf text = HFC_BUF(4096);

    ynode_repr(n, &text);
    if (text.len <= REPR_SHOWN)
        return arena_strndup(diags_arena(d), text.data, text.len);
    return arena_printf(diags_arena(d), "%.*s...", REPR_SHOWN, text.data);
}

/* A null mostly means that a key was emptied in the hope of its default. To YAML it is a value all
 * the same, so it gets advice of its own instead of a type error. */
static void wrong(struct diags *d, enum diag_code code, const struct ynode *n, const char *what,
                  const char *expected)
{
    struct diag item = {.code = code, .at = ynode_pos(n), .expected = expected};

    if (n->type == Y_NULL) {
        item.code = D_NULL;
        item.message = arena_printf(diags_arena(d), "%s is null", what);
        item.hint = "leave the key out to get its default";
    } else {
        item.message = arena_printf(diags_arena(d), "%s must be %s", what, expected);
        item.found = arena_printf(diags_arena(d), "%s: %s", type_noun(n), repr_of(d, n));
    }
    diags_add(d, &item);
}

bool check_type(struct diags *d, const struct ynode *n, const char *what, enum ytype type)
{
    /* Text goes on as a C string: what a NUL would cut off must not vanish unnoticed. */
    if (n->type == type && (type != Y_STR || strlen(n->text) == n->n))
        return true;
    /* Only lends its type: what is expected and what is found are named by the same table. */
    struct ynode example = {.type = (uint8_t)type};
    wrong(d, D_TYPE, n, what, type_noun(&example));
    return false;
}

bool check_number(struct diags *d, const struct ynode *n, const char *what)
{
    if (n->type == Y_INT || n->type == Y_FLOAT)
        return true;
    wrong(d, D_TYPE, n, what, "a number");
    return false;
}

/* The text of a Y_INT is as Python prints it: no plus sign, no leading zeros, never "-0". So sign
 * and zero show in the text, and numbers of any length need no conversion. */
bool check_int(struct diags *d, enum diag_code code, const struct ynode *n, const char *what,
               int min)
{
    assert(min == 0 || min == 1);
    if (n->type == Y_INT && n->text[0] != '-' && (min == 0 || strcmp(n->text, "0") != 0))
        return true;
    wrong(d, code, n, what, min == 0 ? "an integer of 0 or more" : "an integer of 1 or more");
    return false;
}

bool check_list_or_null(struct diags *d, const struct ynode *n, const char *what)
{
    if (ynode_is_null(n) || n->type == Y_SEQ)
        return true;
    wrong(d, D_TYPE, n, what, "a list");
    return false;
}

static bool is_known(const char *key, const char *const *known)
{
    for (; *known != NULL; known++)
        if (strcmp(key, *known) == 0)
            return true;
    return false;
}

/* The files hold keys for other programs too, so an unknown key is not wrong in itself; only one
 * that is nearly a known one is, since its setting would quietly be the default. Keys that are not
 * text are nobody's misspelling. */
void check_keys(struct diags *d, const struct ynode *map, const char *const *known,
                const struct ynode *others)
{
    assert(map->type == Y_MAP);
    for (uint32_t i = 0; i < map->n; i++) {
        const struct ynode *key = map->entries[i].key;
        if (key->type != Y_STR || is_known(key->text, known) || list_has(others, key->text))
            continue;
        const char *near = suggest(key->text, known);
        if (near == NULL)
            continue;
        struct diag item = {.code = D_NEAR_KEY,
                            .at = ynode_pos(key),
                            .message = arena_printf(diags_arena(d), "unknown key '%s'", key->text),
                            .hint = arena_printf(diags_arena(d), "did you mean '%s'?", near)};
        diags_add(d, &item);
    }
}

/* A text is not searched: `modules: hf-cache-old` must not enable hf-cache because it contains it.
 */
bool list_has(const struct ynode *list, const char *text)
{
    if (list == NULL || list->type != Y_SEQ)
        return false;
    for (uint32_t i = 0; i < list->n; i++)
        if (ynode_is_text(list->items[i], text))
            return true;
    return false;
}

bool is_dns_label(const char *text, size_t n)
{
    bool ok = n >= 1 && n <= 63 && text[0] != '-' && text[n - 1] != '-';

    for (size_t i = 0; i < n; i++)
        ok &= (text[i] >= 'a' && text[i] <= 'z') || (text[i] >= '0' && text[i] <= '9') ||
              text[i] == '-';
    return ok;
}
