/* aws_ini.c: the format of ~/.aws/config and ~/.aws/credentials; see hfc_aws_ini_parse().
 *
 * The line that is looked at is copied, so that names and values can be ended where they end; the
 * copy may hold a secret and is wiped. Messages say where, and never quote a line.
 */
#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "aws_config.h"

enum { LINE_MAX_BYTES = 32768, SECTION_MAX = 512 };

struct ini {
    const char *name;
    unsigned line;
    bool in_section;
    char section[SECTION_MAX];
    char text[LINE_MAX_BYTES];
    void (*set)(void *ctx, const char *section, const char *key, const char *value);
    void *ctx;
    struct hfc_error *err;
};

static int fault(const struct ini *ini, const char *what)
{
    return hfc_error_set(ini->err, 0, "%s:%u: %s", ini->name, ini->line, what);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static bool is_comment(char c)
{
    return c == '#' || c == ';';
}

static char *trim(char *text)
{
    while (is_blank(*text))
        text++;
    size_t n = strlen(text);
    while (n > 0 && is_blank(text[n - 1]))
        n--;
    text[n] = '\0';
    return text;
}

/* A comment behind a value has a blank in front, or the '#' in a key would end it. */
static void cut_comment(char *text)
{
    for (char *p = text; *p != '\0'; p++) {
        if (is_blank(p[0]) && is_comment(p[1])) {
            *p = '\0';
            return;
        }
    }
}

static int section_line(struct ini *ini, char *text)
{
    char *end = strchr(text, ']');

    if (end == NULL)
        return fault(ini, "the section's ']' is missing");
    *end = '\0';
    char *rest = trim(end + 1);
    if (*rest != '\0' && !is_comment(*rest))
        return fault(ini, "there is something behind the section's ']'");
    const char *section = trim(text);
    if (*section == '\0')
        return fault(ini, "the section has no name");
    size_t n = strlen(section);
    if (n >= sizeof(ini->section))
        return fault(ini, "the section's name is too long");
    memcpy(ini->section, section, n + 1);
    ini->in_section = true;
    ini->set(ini->ctx, ini->section, NULL, NULL);
    return 0;
}

static int key_line(struct ini *ini, char *text)
{
    char *equals = strchr(text, '=');

    if (equals == NULL)
        return fault(ini, "this is neither [section] nor key = value");
    if (!ini->in_section)
        return fault(ini, "there is no [section] above this key");
    *equals = '\0';
    char *key = trim(text);
    if (*key == '\0')
        return fault(ini, "there is no key before '='");
    for (char *p = key; *p != '\0'; p++)
        *p = (char)tolower((unsigned char)*p);
    cut_comment(equals + 1);
    ini->set(ini->ctx, ini->section, key, trim(equals + 1));
    return 0;
}

/* The line without its end. */
static int one_line(struct ini *ini, const char *line, size_t n)
{
    if (n >= sizeof(ini->text))
        return fault(ini, "the line is too long");
    if (memchr(line, '\0', n) != NULL)
        return fault(ini, "there is a NUL byte in this line");
    memcpy(ini->text, line, n);
    ini->text[n] = '\0';
    if (n == 0 || is_comment(ini->text[0]) || is_blank(ini->text[0]))
        return 0;
    return ini->text[0] == '[' ? section_line(ini, ini->text + 1) : key_line(ini, ini->text);
}

int hfc_aws_ini_parse(const char *name, const char *text, size_t n,
                      void (*set)(void *ctx, const char *section, const char *key,
                                  const char *value),
                      void *ctx, struct hfc_error *err)
{
    static const char bom[] = "\xef\xbb\xbf";
    struct ini ini = {.name = name, .set = set, .ctx = ctx, .err = err};
    size_t at = n >= 3 && memcmp(text, bom, 3) == 0 ? 3 : 0;
    int rc = 0;

    while (rc == 0 && at < n) {
        const char *end = memchr(text + at, '\n', n - at);
        size_t len = end != NULL ? (size_t)(end - text) - at : n - at;
        ini.line++;
        rc = one_line(&ini, text + at, len);
        at += len + 1;
    }
    explicit_bzero(ini.text, sizeof(ini.text));
    return rc;
}
