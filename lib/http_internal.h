/* http_internal.h: what http.c (clients, places, how exchanges begin and end) and http_curl.c (what
 * curl is told and what it tells) share. Nobody else includes it.
 */
#ifndef HFC_HTTP_INTERNAL_H
#define HFC_HTTP_INTERNAL_H

#include <sys/queue.h>

#include "http.h"
#include "loop_internal.h"

enum {
    HTTP_HEAD_MAX = 32 * 1024, /* of an answer, the heads before it (1xx) included */
    HTTP_TRANSFER_BUFFER = 64 * 1024,
    HTTP_CONNECT_TIMEOUT_MS = 10000,
    HTTP_STALL_TIMEOUT_MS = 60000,
    HTTP_PATIENCE = 15, /* slow windows that an answer may have if it is not to a GET or HEAD */
};

struct hfc_response {
    int status;
    struct hfc_buf head; /* "name\0value\0" each, names in lower case */
    struct hfc_buf body;
    uint64_t bytes;
    bool resent; /* by curl, on another connection: an idle one was dead, or died */
};

TAILQ_HEAD(exchange_list, hfc_exchange);

struct hfc_exchange {
    TAILQ_ENTRY(hfc_exchange) link; /* in the client's `waiting` or `active` */
    struct hfc_http *http;
    struct hfc_http_request req; /* its strings are in `strings` */
    struct hfc_response r;
    struct hfc_transfer transfer; /* its handle is NULL without a place */
    struct hfc_timer stall;
    int64_t progress;    /* when a byte went or came last */
    uint64_t wire_bytes; /* what the kernel had moved when the stall timer looked last */
    int64_t paused_at;
    struct {
        int64_t from;   /* when the window began, moved on by pauses */
        uint64_t bytes; /* that had been moved then, if known */
        bool known;
        unsigned slow; /* windows before it, in a row */
    } window;          /* of the test for slowness */
    int own_port;      /* of its connection */
    uint64_t read_offset;
    size_t head_bytes;
    const char *why;     /* own reason to end it; NULL: curl's */
    CURLcode refused;    /* why it could not begin; CURLE_OK: it could */
    bool active;         /* has a place */
    bool sent;           /* the server may have seen the request */
    bool head_done;      /* head() has been called */
    bool to_data;        /* the body goes to data() */
    bool paused;         /* by a function of the caller */
    bool resume;         /* hfc_http_resume() was called */
    bool stopped;        /* by a function of the caller */
    bool cancelled;      /* its caller must not be called again */
    bool ending;         /* done() is being called */
    unsigned long round; /* the last round of put-off work that saw it */
    char error[CURL_ERROR_SIZE];
    struct curl_slist *headers; /* for curl; nodes and text are in `strings` */
    size_t strings_size;
    char *strings;
};

struct hfc_http {
    struct hfc_loop *loop;
    struct hfc_http_config config; /* defaults filled in */
    char *user_agent, *ca_bundle;
    char stall_text[64], slow_text[64];
    struct exchange_list waiting, active;
    struct hfc_http_stats stats;
    struct hfc_timer work; /* runs what could not be done at once */
    unsigned long round;
    unsigned busy; /* functions of this file that will still use it when their callee returns */
    bool dying;    /* freed by its owner */
    CURL **idle;   /* handles of places that are free; room for all places */
    unsigned n_idle;
};

/* Tells curl everything about the exchange. */
CURLcode http_curl_setup(struct hfc_exchange *x);

/* Copies the header lines into nodes for curl at x->strings, which has http_curl_headers_size(). */
size_t http_curl_headers_size(const char *lines);
void http_curl_headers(struct hfc_exchange *x, const char *lines);

/* How it ended, with the message unless HTTP_OK. */
enum hfc_http_end http_curl_end(struct hfc_exchange *x, CURLcode rc, struct hfc_error *err);

/* What the kernel has done for the exchange's connection. */
struct http_wire {
    uint64_t acked, received; /* bytes, since the connection was made */
    bool sending;             /* bytes of the body are still to be sent or acknowledged */
};
bool http_curl_wire(const struct hfc_exchange *x, struct http_wire *wire);

struct hfc_loop *hfc_http_loop(const struct hfc_http *http);

#endif
