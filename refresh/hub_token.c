/* hub_token.c: where the Hub's token comes from, and the page of memory that it lives in. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "hub_internal.h"
#include "secret.h"

enum { TOKEN_PAGE = 4096 }; /* bytes, with the NUL */

void hub_token_free(char *token)
{
    hfc_secret_free(token);
}

/* Takes white space off both ends, in place. */
static void trim(char *text)
{
    static const char blanks[] = " \t\r\n\f\v";
    size_t start = strspn(text, blanks), n = strlen(text);

    while (n > start && strchr(blanks, text[n - 1]) != NULL)
        n--;
    memmove(text, text + start, n - start);
    text[n - start] = '\0';
}

/* What goes into a header must not end it. */
static bool is_header_value(const char *text)
{
    for (; *text != '\0'; text++)
        if (*text <= ' ' || *text > '~')
            return false;
    return true;
}

int hub_token_copy(const char *text, const char *source, char **token, struct hfc_error *err)
{
    *token = NULL;
    if (strlen(text) >= TOKEN_PAGE)
        return hub_fail(err, EINVAL, "%s: too long for a token", source);
    char *copy = hfc_secret_new(TOKEN_PAGE);
    if (copy == NULL)
        return hfc_error_set(err, ENOMEM, "%s", source);
    memcpy(copy, text, strlen(text) + 1);
    trim(copy);
    if (!is_header_value(copy)) {
        hub_token_free(copy);
        return hub_fail(err, EINVAL, "%s: a token has visible ASCII characters only", source);
    }
    if (copy[0] == '\0') {
        hub_token_free(copy);
        return 0;
    }
    *token = copy;
    return 0;
}

/* Reads into a page, not into a buffer that would leave copies behind. Returns an errno value. */
static int read_page(const char *path, char *page)
{
    hfc_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t have = 0;

    if (fd < 0)
        return errno;
    for (;;) {
        ssize_t n = read(fd, page + have, TOKEN_PAGE - have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        have += (size_t)n;
        if (have == TOKEN_PAGE)
            return EFBIG;
        if (n == 0)
            break;
    }
    page[have] = '\0';
    /* The text would end there for us, but not for whoever wrote the file. */
    return strlen(page) == have ? 0 : EINVAL;
}

static int read_file(const char *path, char **token, struct hfc_error *err)
{
    char *page = hfc_secret_new(TOKEN_PAGE);

    if (page == NULL)
        return hfc_error_set(err, ENOMEM, "%s", path);
    int rc = read_page(path, page);
    if (rc == 0)
        rc = hub_token_copy(page, path, token, err);
    else if (rc == ENOENT || rc == ENOTDIR)
        rc = 0;
    else
        rc = hfc_error_set(err, rc, "token file %s", path);
    hub_token_free(page);
    return rc;
}

static const char *from_env(const char *name)
{
    const char *value = getenv(name);

    return value != NULL && value[0] != '\0' ? value : NULL;
}

/* As huggingface_hub finds it. False: no place is known. */
static bool token_path(char path[PATH_MAX])
{
    const char *own = from_env("HF_TOKEN_PATH"), *hf_home = from_env("HF_HOME");
    const char *cache = from_env("XDG_CACHE_HOME"), *home = from_env("HOME");
    int n;

    if (own != NULL)
        n = snprintf(path, PATH_MAX, "%s", own);
    else if (hf_home != NULL)
        n = snprintf(path, PATH_MAX, "%s/token", hf_home);
    else if (cache != NULL)
        n = snprintf(path, PATH_MAX, "%s/huggingface/token", cache);
    else if (home != NULL)
        n = snprintf(path, PATH_MAX, "%s/.cache/huggingface/token", home);
    else
        return false;
    return n > 0 && n < PATH_MAX;
}

int hub_find_token(char **token, struct hfc_error *err)
{
    static const char *const names[] = {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"};
    char path[PATH_MAX];

    *token = NULL;
    for (size_t i = 0; i < HFC_ARRAY_LEN(names); i++) {
        const char *value = from_env(names[i]);
        if (value != NULL && hub_token_copy(value, names[i], token, err) < 0)
            return -1;
        if (*token != NULL)
            return 0;
    }
    return token_path(path) ? read_file(path, token, err) : 0;
}
