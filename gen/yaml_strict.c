/* yaml_strict.c: refuses what libyaml reads and PyYAML does not: tabs that separate tokens, a tag
 * or block scalar header with something glued to it, a byte order mark that starts a line. Called
 * by yaml_load.c before it composes.
 *
 * All of these need a character that few documents have; only then the document is scanned into
 * libyaml's tokens a first time. What libyaml refuses itself is left to the second time.
 */
#include <assert.h>
#include <string.h>
#include <yaml.h>

#include "yaml_internal.h"

/* Where the check is in the text. */
struct pass {
    struct yload *ld;
    size_t byte; /* of the character that libyaml counts as `index` */
    size_t index;
};

/* "|2-#": a comment right behind a block scalar's header. */
static bool has_glued_comment(const char *text, size_t len)
{
    const char *hash = text;

    while ((hash = memchr(hash, '#', len - (size_t)(hash - text))) != NULL) {
        if (hash > text && strchr("|>+-0123456789", hash[-1]) != NULL)
            return true;
        hash++;
    }
    return false;
}

/* memchr() for each '%' is quicker than memmem() for "\n%": there are few. */
static bool has_directive(const char *text, size_t len)
{
    const char *p = text;

    while ((p = memchr(p, '%', len - (size_t)(p - text))) != NULL) {
        if (p == text || p[-1] == '\n' || p[-1] == '\r')
            return true;
        p++;
    }
    return false;
}

/* Cheap and generous: a false alarm costs one more scan. */
static bool needs_check(const struct yload *ld)
{
    return memchr(ld->text, '\t', ld->len) != NULL || memchr(ld->text, '!', ld->len) != NULL ||
           has_directive(ld->text, ld->len) || memchr(ld->text, 0xef, ld->len) != NULL ||
           has_glued_comment(ld->text, ld->len);
}

/* Goes to a mark, which is never behind. */
static size_t go_to(struct pass *p, const yaml_mark_t *mark)
{
    assert(mark->index >= p->index);
    for (; p->index < mark->index; p->index++) {
        assert(p->byte < p->ld->len);
        p->byte++;
        while (p->byte < p->ld->len && (p->ld->text[p->byte] & 0xc0) == 0x80)
            p->byte++;
    }
    return p->byte;
}

/* Bytes of the line break at `i`, 0 if there is none. */
static size_t line_break(const struct yload *ld, size_t i)
{
    static const char *const breaks[] = {"\n", "\r", "\xc2\x85", "\xe2\x80\xa8", "\xe2\x80\xa9"};

    for (size_t k = 0; k < sizeof(breaks) / sizeof(*breaks); k++) {
        size_t n = strlen(breaks[k]);
        if (ld->len - i >= n && memcmp(ld->text + i, breaks[k], n) == 0)
            return n;
    }
    return 0;
}

/* Line and column of a byte; errors only, so it may count from the start. */
static int fail_at(struct yload *ld, size_t byte, const char *problem)
{
    uint32_t line = 1, col = 1;

    for (size_t i = 0; i < byte;) {
        size_t n = line_break(ld, i);
        col++;
        if (n > 0) {
            line += ld->text[i] != '\r' || i + 1 == ld->len || ld->text[i + 1] != '\n';
            col = 1;
        }
        i += n > 0 ? n : 1;
        while (n == 0 && i < byte && (ld->text[i] & 0xc0) == 0x80)
            i++;
    }
    return yaml_fail(ld, line, line == 1 ? col + ld->bom : col, "%s", problem);
}

/* Between two tokens: white space and comments. */
static int check_gap(struct yload *ld, size_t from, size_t to)
{
    bool comment = false;

    for (size_t i = from; i < to; i++) {
        if (line_break(ld, i) > 0)
            comment = false;
        else if (ld->text[i] == '#')
            comment = true;
        else if (!comment && ld->text[i] == '\t')
            return fail_at(ld, i, "found a tab: only spaces may indent and separate");
        else if (!comment && ld->text[i] == '\xef')
            return fail_at(ld, i, "found a byte order mark (U+FEFF) inside the text");
    }
    return 0;
}

/* libyaml takes a tab inside a plain scalar or a directive for a space. */
static int check_no_tab(struct yload *ld, size_t from, size_t to)
{
    const char *tab = memchr(ld->text + from, '\t', to - from);

    return tab == NULL ? 0
                       : fail_at(ld, (size_t)(tab - ld->text),
                                 "found a tab in text without quotes: only spaces may stand there");
}

/* A space, a line break or the end. */
static int check_ends(struct yload *ld, size_t at, const char *what)
{
    if (at == ld->len || ld->text[at] == ' ' || line_break(ld, at) > 0)
        return 0;
    return fail_at(ld, at, what);
}

/* The line of a "|" or ">", up to its comment. */
static int check_header(struct yload *ld, size_t from, size_t to)
{
    size_t i = from + 1;

    while (i < to && strchr("+-0123456789", ld->text[i]) != NULL)
        i++;
    if (check_ends(ld, i, "found something behind | or > that is no indicator") < 0)
        return -1;
    while (i < to && ld->text[i] == ' ')
        i++;
    return i < to && ld->text[i] == '\t' ? fail_at(ld, i, "found a tab behind | or >") : 0;
}

/* `%00` would end the tag early for libyaml. */
static int check_tag(struct yload *ld, size_t from, size_t to, const char *what)
{
    const char *nul = memmem(ld->text + from, to - from, "%00", 3);

    if (nul != NULL)
        return fail_at(ld, (size_t)(nul - ld->text), "found a NUL in a tag");
    return check_ends(ld, to, what);
}

static int check_token(struct yload *ld, const yaml_token_t *token, size_t from, size_t to)
{
    switch (token->type) {
    case YAML_SCALAR_TOKEN:
        if (token->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
            return check_no_tab(ld, from, to);
        if (token->data.scalar.style == YAML_LITERAL_SCALAR_STYLE ||
            token->data.scalar.style == YAML_FOLDED_SCALAR_STYLE)
            return check_header(ld, from, to);
        return 0;
    case YAML_TAG_TOKEN:
        return check_tag(ld, from, to, "a tag must be followed by a space or a line break");
    case YAML_VERSION_DIRECTIVE_TOKEN:
    case YAML_TAG_DIRECTIVE_TOKEN:
        if (check_no_tab(ld, from, to) < 0)
            return -1;
        return check_tag(ld, from, to, "a directive must be followed by a space or a line break");
    default:
        return 0;
    }
}

/* Tokens come in the order of the text, so all bytes are looked at once. */
static int check_tokens(struct pass *p, yaml_parser_t *parser)
{
    for (bool end = false; !end;) {
        yaml_token_t token;
        if (!yaml_parser_scan(parser, &token))
            return 0;
        size_t gap = p->byte;
        size_t from = go_to(p, &token.start_mark);
        size_t to = go_to(p, &token.end_mark);
        int rc = check_gap(p->ld, gap, from);
        if (rc == 0)
            rc = check_token(p->ld, &token, from, to);
        end = token.type == YAML_STREAM_END_TOKEN;
        yaml_token_delete(&token);
        if (rc < 0)
            return -1;
    }
    return 0;
}

int yaml_check_strict(struct yload *ld)
{
    yaml_parser_t parser;
    struct pass p = {.ld = ld};

    if (!needs_check(ld))
        return 0;
    int ok = yaml_parser_initialize(&parser);
    assert(ok);
    (void)ok;
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *)ld->text, ld->len);
    int rc = check_tokens(&p, &parser);
    yaml_parser_delete(&parser);
    return rc;
}
