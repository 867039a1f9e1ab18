/* error.h: how functions of this project report failure.
 *
 * A function that can fail takes `struct hfc_error *err` last and returns 0 or -1. Success leaves
 * `err` untouched. Failure sets it once, at the place that knows the cause; callers on the way up
 * may put context in front with hfc_error_prefix(), so that the text reads from the outside in:
 * "staging generated: generated/prod: No space left on device". `err` may be NULL.
 *
 * Threads: an error object belongs to one thread.
 */
#ifndef HFC_ERROR_H
#define HFC_ERROR_H

#define HFC_ERROR_MAX 1024

struct hfc_error {
    int errnum;              /* an errno value, or 0 where none fits */
    char msg[HFC_ERROR_MAX]; /* one line, no final newline; longer text is cut */
};

/* Sets the message; with errnum != 0, ": " and the text of that errno follow. Returns -1. */
int hfc_error_set(struct hfc_error *err, int errnum, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts context in front of the message. Returns -1, so that it can end a function. */
int hfc_error_prefix(struct hfc_error *err, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#endif
