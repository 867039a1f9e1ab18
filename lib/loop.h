/* loop.h: one thread's event loop: transfers, timers, watched descriptors.
 *
 * Everything of this project that waits for a network waits here. The loop runs on curl's multi
 * interface; http.h puts transfers on it. Functions are called back from hfc_loop_run() only, one
 * after the other, so what shares a loop needs no locks. A callback may start and stop anything,
 * but not run or free the loop.
 *
 * Threads: a loop and all that is on it belong to one thread; hfc_loop_wake() may be called from
 * any thread and from a signal handler.
 */
#ifndef HFC_LOOP_H
#define HFC_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"

struct hfc_loop;
typedef void hfc_loop_fn(void *ctx);

/* NULL: out of memory or descriptors. */
struct hfc_loop *hfc_loop_new(struct hfc_error *err);

/* What is on it has to be gone: clients freed, timers stopped, descriptors unwatched. NULL is fine.
 */
void hfc_loop_free(struct hfc_loop *loop);

/* Calls back until *until is true; at once if it is already. -1: the loop is broken (a system call
 * failed). */
int hfc_loop_run(struct hfc_loop *loop, const bool *until, struct hfc_error *err);

/* Stopping, once and for all, means that the hooks are called: whoever has something under way
 * cancels it, so that everything that is waited for comes to its end. The loop itself goes on, for
 * whatever has to be cleaned up. A hook is a member of its owner's struct; zeroed is not added. */
struct hfc_stop_hook {
    struct hfc_loop *loop;
    struct hfc_stop_hook *next;
    hfc_loop_fn *fn;
    void *ctx;
};
void hfc_stop_hook_add(struct hfc_loop *loop, struct hfc_stop_hook *h, hfc_loop_fn *fn, void *ctx);
void hfc_stop_hook_remove(struct hfc_stop_hook *h);
void hfc_loop_stop(struct hfc_loop *loop);
bool hfc_loop_stopped(const struct hfc_loop *loop);

/* Makes a waiting loop look around. */
void hfc_loop_wake(struct hfc_loop *loop);

/* A timer is a member of its owner's struct; zeroed is stopped. */
struct hfc_timer {
    struct hfc_loop *loop; /* NULL: stopped */
    struct hfc_timer *next;
    int64_t due; /* hfc_now_ms() */
    hfc_loop_fn *fn;
    void *ctx;
};

/* Calls fn once, `ms` from now, from the loop. 0 is "as soon as the callers have returned". A timer
 * that runs already is set anew. */
void hfc_timer_start(struct hfc_loop *loop, struct hfc_timer *t, int64_t ms, hfc_loop_fn *fn,
                     void *ctx);
void hfc_timer_stop(struct hfc_timer *t);

/* A descriptor watched for input, member of its owner's struct; the same rules. */
struct hfc_watch {
    struct hfc_loop *loop; /* NULL: not watched */
    struct hfc_watch *next;
    int fd;
    hfc_loop_fn *fn;
    void *ctx;
};

/* Calls fn whenever fd is readable, until hfc_watch_stop(). At most HFC_WATCHES_MAX on a loop. */
enum { HFC_WATCHES_MAX = 8 };
void hfc_watch_start(struct hfc_loop *loop, struct hfc_watch *w, int fd, hfc_loop_fn *fn,
                     void *ctx);
void hfc_watch_stop(struct hfc_watch *w);

/* Milliseconds of the monotonic clock. */
int64_t hfc_now_ms(void);

#endif
