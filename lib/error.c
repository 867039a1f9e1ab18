/* error.c: error objects; see error.h for the convention. */
#include "error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* strerrordesc_np() rather than strerror(): safe with threads, and the same text in every locale,
 * which tests and users can search for. */
int hfc_error_set(struct hfc_error *err, int errnum, const char *fmt, ...)
{
    if (err == NULL)
        return -1;
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
    va_end(ap);
    err->errnum = errnum;
    if (errnum != 0 && n >= 0 && (size_t)n < sizeof(err->msg))
        (void)snprintf(err->msg + n, sizeof(err->msg) - (size_t)n, ": %s",
                       strerrordesc_np(errnum) ? strerrordesc_np(errnum) : "unknown error");
    return -1;
}

/* errnum stays: a caller further up may still ask what the cause was. When it gets too long, it is
 * the end of the cause that is cut. */
int hfc_error_prefix(struct hfc_error *err, const char *fmt, ...)
{
    if (err == NULL)
        return -1;
    char cause[HFC_ERROR_MAX];
    memcpy(cause, err->msg, sizeof(cause));
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof(err->msg)) {
        size_t room = sizeof(err->msg) - (size_t)n;
        (void)snprintf(err->msg + n, room, ": %.*s", (int)room, cause);
    }
    return -1;
}
