/* pattern.c: globs as Python's fnmatch.fnmatchcase() matches them; see pattern.h.
 *
 * Python turns a glob into a regular expression. What that does in odd cases is kept here, because
 * a list is written with what huggingface_hub does in mind: a '[' without its ']' is a plain
 * character, ']' may stand first in a set, a range that runs backwards holds nothing.
 */
#include "pattern.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "glyph.h"

/* A place in a pattern or a name. */
struct text {
    const char *at, *end;
};

/* The next character; a byte that is no UTF-8 is one of its own, unequal to any other. */
static uint32_t take(struct text *t)
{
    uint32_t c;

    assert(t->at < t->end);
    unsigned char byte = (unsigned char)*t->at;
    t->at += hfc_utf8_next(t->at, (size_t)(t->end - t->at), &c);
    return c == HFC_UTF8_BAD ? 0x110000u + byte : c;
}

/* The ']' that ends the set whose content starts at `p`, or NULL. One that comes first, behind '!'
 * or not, belongs to the set. */
static const char *set_end(const char *p, const char *end)
{
    if (p < end && *p == '!')
        p++;
    if (p < end && *p == ']')
        p++;
    return p < end ? memchr(p, ']', (size_t)(end - p)) : NULL;
}

/* Whether c is in the set. Ranges as Python finds them: a '-' at either end is a plain character,
 * and so is one behind the end of a range. */
static bool set_has(struct text set, uint32_t c)
{
    bool found = false;

    while (set.at < set.end) {
        uint32_t low = take(&set);
        if (set.end - set.at > 1 && *set.at == '-') {
            set.at++;
            uint32_t high = take(&set);
            found |= low <= c && c <= high;
        } else {
            found |= low == c;
        }
    }
    return found;
}

/* Whether c fits the pattern's next item, which is no '*'; takes the item. */
static bool item_fits(struct text *pattern, uint32_t c)
{
    uint32_t p = take(pattern);

    if (p == '?')
        return true;
    const char *end = p == '[' ? set_end(pattern->at, pattern->end) : NULL;
    if (end == NULL)
        return p == c;
    struct text set = {pattern->at, end};
    pattern->at = end + 1;
    bool negated = *set.at == '!';
    set.at += negated;
    return set_has(set, c) != negated;
}

/* Of several stars only the last has to be tried anew with a longer text: whatever an earlier one
 * could take, the later can take as well. So there is no recursion, and no exponential time. */
static bool match(struct text pattern, struct text name)
{
    struct text star = {NULL, NULL}, retry = name;

    while (name.at < name.end) {
        if (pattern.at < pattern.end && *pattern.at == '*') {
            pattern.at++;
            star = pattern;
            retry = name;
            continue;
        }
        if (pattern.at < pattern.end && item_fits(&pattern, take(&name)))
            continue;
        if (star.at == NULL)
            return false;
        (void)take(&retry);
        pattern = star;
        name = retry;
    }
    while (pattern.at < pattern.end && *pattern.at == '*')
        pattern.at++;
    return pattern.at == pattern.end;
}

bool pattern_match(const char *pattern, const char *name)
{
    return match((struct text){pattern, pattern + strlen(pattern)},
                 (struct text){name, name + strlen(name)});
}

/* "folder/" means "folder/" and '*': the Hub's clients put the star there. */
static bool glob_matches(const char *glob, const char *path)
{
    size_t n = strlen(glob);

    if (n == 0 || glob[n - 1] != '/')
        return pattern_match(glob, path);
    char below[MODEL_GLOB_MAX + 2];
    assert(n <= MODEL_GLOB_MAX);
    (void)snprintf(below, sizeof(below), "%s*", glob);
    return pattern_match(below, path);
}

static bool any_matches(char *const *globs, size_t n, const char *path)
{
    for (size_t i = 0; i < n; i++)
        if (glob_matches(globs[i], path))
            return true;
    return false;
}

bool model_wants(const struct model *model, const char *path)
{
    static const char *const config[] = {"*.json", "*.txt", "*.model", "*.jinja"};
    bool wanted = !model->config_only;

    for (size_t i = 0; !wanted && i < sizeof(config) / sizeof(config[0]); i++)
        wanted = pattern_match(config[i], path);
    return wanted && (model->nallow == 0 || any_matches(model->allow, model->nallow, path)) &&
           !any_matches(model->ignore, model->nignore, path);
}
