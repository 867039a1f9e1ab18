/* hub_internal.h: what the Hub client's files (hub*.c) share.
 *
 *   hub.c            the client, the life of operations     hub_repo.c       info and listing
 *   hub_request.c    a question, until it is answered       hub_fetch.c      bytes
 *   hub_ratelimit.c  who may ask when                       hub_error.c      what a refusal means
 */
#ifndef REFRESH_HUB_INTERNAL_H
#define REFRESH_HUB_INTERNAL_H

#include "hub.h"

enum { HUB_HOPS_MAX = 20 };

/* The Hub's rate limits that concern us. */
enum hub_bucket { HUB_API, HUB_RESOLVERS, HUB_BUCKETS };

struct request;

struct quota {
    int64_t remaining;            /* by the answers of this window; -1: not known */
    int64_t reset;                /* its end, as hfc_now_ms() */
    int64_t blocked;              /* nobody starts before */
    unsigned active;              /* requests under way */
    unsigned strikes;             /* answers 429 in a row that named no time */
    struct request *first, *last; /* held back */
    struct hfc_timer timer;
};

struct hub {
    struct hfc_loop *loop;
    struct hfc_http *http;
    struct hfc_retry_policy retry;
    struct hfc_retry_budget budget;
    char *endpoint, *token;
    int64_t rate_limit_ms;
    hub_log *log;
    void *log_ctx;
    struct quota quotas[HUB_BUCKETS];
    struct hub_op *ops;
    struct hfc_stop_hook hook;
    unsigned sources;
    struct hub_stats stats;
};

void hub_say(struct hub *hub, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Copies a token; *token is NULL if it is empty. `source` is for the message. */
int hub_token_copy(const char *text, const char *source, char **token, struct hfc_error *err);

/* What an operation is: the first member of its struct. */
struct hub_op_class {
    void (*stop)(struct hub_op *op); /* nothing may call it back from here on */
    void (*deliver)(struct hub_op *op, const struct hfc_error *err); /* calls the user's done() */
    void (*destroy)(struct hub_op *op);
    struct request *(*request)(struct hub_op *op); /* that can be paused; or NULL */
};
struct hub_op {
    struct hub *hub;
    const struct hub_op_class *class;
    struct hub_op *next, **link; /* in hub->ops */
    struct hfc_timer timer;
    bool ended; /* waits for its last call */
};
void hub_op_start(struct hub_op *op, struct hub *hub, const struct hub_op_class *class);
/* The end: tells the user and frees it. Only from the loop. `err` NULL: success. */
void hub_op_end(struct hub_op *op, const struct hfc_error *err);

/* How a request differs from others; every function but done() may be NULL. */
struct request_class {
    void (*headers)(void *owner, struct hfc_buf *out); /* appends "Name: value\n" */
    /* A redirect: HFC_AT_ONCE follows it, the others end the attempt. */
    enum hfc_verdict (*redirect)(void *owner, const struct hfc_response *r, const char *target,
                                 struct hfc_error *err);
    bool (*head)(void *owner, const struct hfc_response *r);
    enum hfc_flow (*data)(void *owner, const void *bytes, size_t n);
    /* The first word on how an attempt ended. False: by the rules for all requests. */
    bool (*judge)(void *owner, const struct hfc_response *r, enum hfc_http_end end,
                  enum hfc_verdict *verdict, struct hfc_error *err);
    /* Whether enough was achieved since it was asked last for the tries to count anew. */
    bool (*progress)(void *owner);
    void (*done)(void *owner, const struct hfc_response *r, const struct hfc_error *err);
};

/* A question and what becomes of it: held back, redirected, tried again. */
struct request {
    struct hub *hub;
    const struct request_class *class;
    void *owner;
    enum hub_bucket bucket;
    char *first_url, *url; /* what a new try begins with; the one that is asked now */
    bool home;             /* url is at the endpoint's origin */
    unsigned hops;
    uint64_t visited[HUB_HOPS_MAX + 1];
    struct hfc_call *call;
    bool held, active, again; /* in the quota's line; counted there; to be started anew */
    struct request *next;
    int64_t held_since, limited_since; /* 0: never */
};

/* Starts, or stands in line. Ends with one done() unless stopped; may be started anew then. */
void request_start(struct request *q, const char *url);
void request_stop(struct request *q);  /* fine at any time */
void request_begin(struct request *q); /* for the quota: it is its turn */
/* The host that is asked, for messages. */
void request_host(const struct request *q, char *host, size_t size);

void quota_enter(struct request *q);
void quota_leave(struct request *q);
void quota_note(struct request *q, const struct hfc_response *r);
/* After a 429: how long to wait in ms; the bucket is closed for so long. */
int64_t quota_limited(struct request *q, const struct hfc_response *r);

/* A failure whose text says all: errnum only tells what kind it is. Returns -1. */
int hub_fail(struct hfc_error *err, int errnum, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* What the Hub's refusal means. Returns -1. */
int hub_refused(const struct request *q, const struct hfc_response *r, struct hfc_error *err);

#endif
