/* http.h: one HTTP exchange at a time, many at once: a client with a hard cap on what it uses.
 *
 * A client belongs to a loop and has a fixed number of places. A request without a place waits in
 * line, with its struct and strings (a signature ages meanwhile). Redirects are not followed.
 *
 * Memory. A connection costs at most hfc_http_connection_memory(): the socket's buffers (the kernel
 * doubles what SO_RCVBUF and SO_SNDBUF ask for), libcurl's buffers, and TLS.
 *
 * Threads: as the loop's.
 */
#ifndef HFC_HTTP_H
#define HFC_HTTP_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "buf.h"
#include "loop.h"

struct hfc_http;

struct hfc_http_config {
    unsigned connections;    /* at once; at least 1 */
    size_t receive_buffer;   /* SO_RCVBUF in bytes; 0: the kernel's choice */
    size_t send_buffer;      /* SO_SNDBUF in bytes; 0: the kernel's choice */
    size_t transfer_buffer;  /* libcurl's buffers, in bytes each; 0: 64 KiB */
    int64_t connect_timeout; /* ms; 0: 10 s */
    int64_t stall_timeout;   /* ms without a byte in either direction, or too slow; 0: 60 s */
    const char *user_agent;  /* NULL: none is sent */
    const char *ca_bundle;   /* file of CA certificates; NULL: the system's */
    bool no_proxy;           /* ignores http_proxy and the like (metadata services) */
};

/* Too slow is below 1 kB/s over one stall_timeout, less the caller's pauses: an upload until it is
 * acknowledged, an answer from its first line on. Answers but to GET and HEAD may trickle 15 times
 * as long: S3 sends blanks while it puts an object together. The configuration is copied. */
struct hfc_http *hfc_http_new(struct hfc_loop *loop, const struct hfc_http_config *config,
                              struct hfc_error *err);

/* Drops requests under way without a word. NULL is fine. */
void hfc_http_free(struct hfc_http *http);

size_t hfc_http_connection_memory(const struct hfc_http_config *config);

/* How an exchange ended. All but HTTP_OK come with a message. */
enum hfc_http_end {
    HTTP_OK,       /* an answer was read to its end, whatever its status */
    HTTP_NOT_SENT, /* the server can't have seen it: name, connection, proxy */
    HTTP_TLS,      /* certificate, version or ciphers were refused, and would be again */
    HTTP_BROKEN,   /* cut, reset, timed out, too slow or malformed; it may have been acted on */
    HTTP_STOPPED,  /* a callback of the caller said so */
};

struct hfc_response;
int hfc_response_status(const struct hfc_response *r); /* 0: none was read */

/* The header's value, or NULL; `name` in lower case. Valid until done() returns. Of a repeated
 * header the last one. */
const char *hfc_response_header(const struct hfc_response *r, const char *name);

/* The body where it was collected, always with a NUL behind it. */
const struct hfc_buf *hfc_response_body(const struct hfc_response *r);

uint64_t hfc_response_bytes(const struct hfc_response *r); /* of the body, as received */
bool hfc_response_resent(const struct hfc_response *r); /* sent twice: the first may have arrived */

enum hfc_flow {
    HFC_FLOW_ON,    /* all bytes were taken */
    HFC_FLOW_PAUSE, /* none was; they come again after hfc_http_resume() */
    HFC_FLOW_STOP,  /* ends the exchange with HTTP_STOPPED */
};

enum { HFC_READ_PAUSE = -1, HFC_READ_STOP = -2, HFC_HTTP_COLLECT_MAX = 4 * 1024 * 1024 };

struct hfc_http_request {
    const char *method;
    const char *url;
    const char *headers;   /* "Name: value\n" lines; NULL: none. User-Agent and Host are added */
    int64_t total_timeout; /* ms for the whole exchange; 0: none but the stall timeout */

    /* The request's body: body_size bytes, read in order. Puts up to n bytes at `to`, returns how
     * many (at least 1), or HFC_READ_PAUSE or HFC_READ_STOP. NULL: no body (a PUT or POST then
     * sends Content-Length: 0). May be asked for offset 0 again if a connection that had been idle
     * turns out to be dead. */
    ssize_t (*read)(void *ctx, uint64_t offset, void *to, size_t n);
    uint64_t body_size;

    /* The head of the answer is there. True: the body goes to data(); false: it is collected, and
     * an exchange with more than HFC_HTTP_COLLECT_MAX bytes ends HTTP_BROKEN. NULL: false. */
    bool (*head)(void *ctx, const struct hfc_response *r);
    enum hfc_flow (*data)(void *ctx, const void *bytes, size_t n);

    /* Called exactly once, last; never from within hfc_http_start(). `err` holds the message unless
     * `end` is HTTP_OK. A body shorter than its Content-Length is HTTP_BROKEN. */
    void (*done)(void *ctx, const struct hfc_response *r, enum hfc_http_end end,
                 const struct hfc_error *err);
    void *ctx;
};

struct hfc_exchange;

/* Starts, or stands in line. The strings are copied. Out of memory shows in done(). The handle is
 * valid until done() has been called. */
struct hfc_exchange *hfc_http_start(struct hfc_http *http, const struct hfc_http_request *request);

/* Goes on after a pause in either direction. */
void hfc_http_resume(struct hfc_exchange *x);

/* Ends it without calling done(); the connection is closed. */
void hfc_http_cancel(struct hfc_exchange *x);

/* Counts since the client was made: for metrics. */
struct hfc_http_stats {
    uint64_t exchanges, connects, bytes_in, bytes_out;
    unsigned active, waiting;
};
void hfc_http_stats(const struct hfc_http *http, struct hfc_http_stats *stats);

#endif
