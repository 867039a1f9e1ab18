/* fuzz_aws_ini.c: any bytes are read as an AWS credentials file, or refused with a line inside the
 * text. What is read is trimmed, and no longer than what was there. */
#include <assert.h>
#include <ctype.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "aws_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
    size_t bytes;
    unsigned keys;
};

static void check_trimmed(const char *text)
{
    size_t n = strlen(text);

    assert(n == 0 || (strchr(" \t\r", text[0]) == NULL && strchr(" \t\r", text[n - 1]) == NULL));
    assert(strchr(text, '\n') == NULL);
}

static void set(void *ctx, const char *section, const char *key, const char *value)
{
    struct seen *seen = ctx;

    assert(section[0] != '\0');
    check_trimmed(section);
    if (key == NULL) {
        assert(value == NULL);
        return;
    }
    assert(key[0] != '\0');
    check_trimmed(key);
    check_trimmed(value);
    for (const char *p = key; *p != '\0'; p++)
        assert(!isupper((unsigned char)*p) && *p != '=');
    seen->bytes += strlen(key) + strlen(value) + 2;
    seen->keys++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct seen seen = {0};
    struct hfc_error err;
    unsigned line = 0, lines = 1;

    for (size_t i = 0; i < size; i++)
        lines += data[i] == '\n';
    if (hfc_aws_ini_parse("f", (const char *)data, size, set, &seen, &err) < 0) {
        assert(sscanf(err.msg, "f:%u: ", &line) == 1);
        assert(line >= 1 && line <= lines);
    }
    /* aws_config.c relies on it: its memory is as large as the file, and 1. */
    assert(seen.bytes <= size + 1);
    assert(seen.keys < lines);
    return 0;
}
