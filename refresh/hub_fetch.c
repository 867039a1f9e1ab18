/* hub_fetch.c: bytes of a file of the Hub.
 *
 * A small file is asked for at /resolve, which leads to its bytes. A large one is asked for by
 * range at its address (hub_source.c); when that has expired there is a new one, and the fetch goes
 * on where it was. Whatever attempt bytes come from, `got` counts those that the user has taken:
 * the next attempt begins there.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "hub_headers.h"
#include "hub_source.h"
#include "need.h"

enum {
    RENEWALS_MAX = 4,           /* addresses refused in a row */
    SKIP_MAX = 8 * 1024 * 1024, /* bytes read for nothing where a server ignores ranges */
    PROGRESS = 64 * 1024        /* so many bytes and the tries count anew */
};

struct fetch {
    struct hub_op op;
    struct request request;
    struct source_wait wait;
    struct hub_source *source; /* NULL once the fetch is over */
    uint64_t offset, length;
    uint64_t got;  /* bytes that the user has taken */
    uint64_t mark; /* of them, when tries were counted anew the last time */
    hub_data *data;
    hub_done *done;
    void *ctx;

    /* Of the attempt. */
    uint64_t skip; /* bytes to be read for nothing */
    bool faulty;   /* it is to end with this: */
    enum hfc_verdict verdict;
    struct hfc_error error;
    bool commit_seen;

    unsigned generation, renewals; /* of the address in use; refused since bytes came */
    bool renew;
};

static struct fetch *fetch_of(struct hub_op *op)
{
    return (struct fetch *)(void *)op;
}

/* Notes how the attempt has to end, whatever else comes. */
static void set_fault(struct fetch *f, enum hfc_verdict verdict, int errnum, const char *text)
{
    f->faulty = true;
    f->verdict = verdict;
    (void)hub_fail(&f->error, errnum, "%s", text);
}

static uint64_t position(const struct fetch *f)
{
    return f->offset + f->got;
}

/* The whole of a small file is asked for without Range: that is what a Hub serves fastest. */
static bool is_ranged(const struct fetch *f)
{
    return f->source->file.lfs || f->offset > 0 || f->length != f->source->file.size || f->got > 0;
}

static void fetch_headers(void *owner, struct hfc_buf *out)
{
    struct fetch *f = owner;

    assert(f->got < f->length);
    f->faulty = false;
    f->skip = 0;
    if (f->request.hops == 0)
        f->commit_seen = false;
    if (is_ranged(f))
        hfc_buf_printf(out, "Range: bytes=%llu-%llu\n", (unsigned long long)position(f),
                       (unsigned long long)(f->offset + f->length - 1));
}

static enum hfc_verdict fetch_redirect(void *owner, const struct hfc_response *r,
                                       const char *target, struct hfc_error *err)
{
    struct fetch *f = owner;

    (void)target;
    if (f->request.home && source_check(f->source, r, &f->commit_seen, err) < 0)
        return HFC_FAILED;
    return HFC_AT_ONCE;
}

/* If the answer says how long it is, is that as long as it has to be? */
static bool length_is(const struct hfc_response *r, uint64_t expected)
{
    const char *value = hfc_response_header(r, "content-length");
    uint64_t length;

    return value == NULL || (header_size(value, &length) && length == expected);
}

static void check_partial(struct fetch *f, const struct hfc_response *r)
{
    const char *value = hfc_response_header(r, "content-range");
    uint64_t first, last, total;

    if (!is_ranged(f))
        set_fault(f, HFC_RETRY, EBADMSG, "part of a file (206) where all of it was asked for");
    else if (value == NULL || !header_content_range(value, &first, &last, &total))
        set_fault(f, HFC_RETRY, EBADMSG, "a range (206) without a readable Content-Range");
    else if (first != position(f) || last != f->offset + f->length - 1)
        set_fault(f, HFC_RETRY, EBADMSG, "another range than the one asked for");
    else if (total != UINT64_MAX && total != f->source->file.size)
        set_fault(f, HFC_RETRY, EBADMSG, "the file has another size than the listing says");
    else if (!length_is(r, f->length - f->got))
        set_fault(f, HFC_RETRY, EBADMSG, "a range whose Content-Length is wrong");
}

/* All of the file, asked for or not. What comes before the position is thrown away if it isn't too
 * much. */
static void check_whole(struct fetch *f, const struct hfc_response *r)
{
    f->skip = position(f);
    if (!length_is(r, f->source->file.size))
        set_fault(f, HFC_RETRY, EBADMSG, "the file has another length than the listing says");
    else if (f->skip > SKIP_MAX)
        set_fault(f, HFC_RETRY, EPROTO,
                  "the server ignores Range and sends the file from its start");
}

/* The Hub has to show itself on the way to a small file; that way to a large one was checked when
 * its address was found. */
static void check_origin(struct fetch *f, const struct hfc_response *r)
{
    struct hfc_error err;

    if (f->request.home && source_check(f->source, r, &f->commit_seen, &err) < 0)
        set_fault(f, HFC_FAILED, err.errnum, err.msg);
    else if (!f->source->file.lfs && !f->commit_seen)
        set_fault(f, HFC_FAILED, EPROTO,
                  "the answer names no commit (X-Repo-Commit): is it the Hub, or a proxy?");
}

static bool is_coded(const struct hfc_response *r)
{
    const char *coding = hfc_response_header(r, "content-encoding");

    return coding != NULL && coding[0] != '\0' && strcmp(coding, "identity") != 0;
}

static bool fetch_head(void *owner, const struct hfc_response *r)
{
    struct fetch *f = owner;
    int status = hfc_response_status(r);

    if (status != 200 && status != 206)
        return false;
    if (is_coded(r))
        set_fault(f, HFC_RETRY, EPROTO, "the bytes came coded, though that was ruled out");
    else if (status == 206)
        check_partial(f, r);
    else
        check_whole(f, r);
    check_origin(f, r);
    return true;
}

/* The bytes of a range, or the rest of a file, are there, and more come. */
static enum hfc_flow surplus(struct fetch *f)
{
    if (f->offset + f->length == f->source->file.size)
        set_fault(f, HFC_FAILED, EBADMSG, "more bytes than the file has");
    return HFC_FLOW_STOP;
}

/* Nothing is counted before the user has taken it, as a pause makes the same bytes come again. */
static enum hfc_flow fetch_data(void *owner, const void *bytes, size_t n)
{
    struct fetch *f = owner;

    if (f->faulty)
        return HFC_FLOW_STOP;
    size_t skip = f->skip < n ? (size_t)f->skip : n;
    uint64_t wanted = f->length - f->got;
    size_t take = n - skip < wanted ? n - skip : (size_t)wanted;
    enum hfc_flow flow = take > 0 ? f->data(f->ctx, (const char *)bytes + skip, take) : HFC_FLOW_ON;
    if (f->op.ended)
        return HFC_FLOW_STOP;
    if (flow == HFC_FLOW_PAUSE)
        return flow;
    if (flow == HFC_FLOW_STOP) {
        set_fault(f, HFC_FAILED, ECANCELED, "stopped");
        return flow;
    }
    f->skip -= skip;
    f->got += take;
    f->renewals = take > 0 ? 0 : f->renewals;
    assert(f->got <= f->length);
    if (skip + take < n)
        return surplus(f);
    return f->faulty ? HFC_FLOW_STOP : HFC_FLOW_ON;
}

/* What a CDN may say of an address that has expired: stores differ. */
static bool is_refusal(int status)
{
    return status == 400 || status == 401 || status == 403 || status == 404 || status == 410;
}

/* An answer without content. False: the rules for all requests say what it means. */
static bool judge_refusal(struct fetch *f, const struct hfc_response *r, enum hfc_verdict *verdict,
                          struct hfc_error *err)
{
    int status = hfc_response_status(r);
    bool by_hub = f->request.home && hfc_response_header(r, "x-error-code") != NULL;
    char host[256];

    request_host(&f->request, host, sizeof(host));
    if (status == 416) {
        (void)hub_fail(err, EBADMSG, "%s: the file has no such range (416)", host);
        *verdict = HFC_RETRY;
    } else if (status > 200 && status < 300) {
        (void)hub_fail(err, EPROTO, "%s answers with status %d to a download", host, status);
        *verdict = HFC_FAILED;
    } else if (is_refusal(status) && !by_hub && (f->source->file.lfs || !f->request.home)) {
        (void)hub_fail(err, EACCES, "%s refuses the address that the Hub gave (%d)", host, status);
        f->renew = f->source->file.lfs;
        *verdict = f->renew ? HFC_FAILED : HFC_RETRY;
    } else {
        return false;
    }
    return true;
}

static bool fetch_judge(void *owner, const struct hfc_response *r, enum hfc_http_end end,
                        enum hfc_verdict *verdict, struct hfc_error *err)
{
    struct fetch *f = owner;
    int status = hfc_response_status(r);

    if (f->faulty) {
        *verdict = f->verdict;
        *err = f->error;
        return true;
    }
    if (status != 200 && status != 206)
        return end == HTTP_OK && judge_refusal(f, r, verdict, err);
    if (f->got == f->length) {
        *verdict = HFC_SUCCEEDED;
        return true;
    }
    if (end != HTTP_OK)
        return false;
    (void)hub_fail(err, EBADMSG, "fewer bytes than were asked for");
    *verdict = HFC_RETRY;
    return true;
}

static bool fetch_progress(void *owner)
{
    struct fetch *f = owner;

    if (f->got - f->mark < PROGRESS)
        return false;
    f->mark = f->got;
    return true;
}

/* Asks for the bytes, or for where they are. */
static void go(struct fetch *f)
{
    struct hub_source *s = f->source;

    if (!s->file.lfs) {
        request_start(&f->request, s->resolve_url);
    } else if (s->address != NULL) {
        f->generation = s->generation;
        request_start(&f->request, s->address);
    } else {
        source_wait(s, &f->wait);
    }
}

static void on_address(void *ctx, const struct hfc_error *err)
{
    struct fetch *f = ctx;

    if (err == NULL)
        go(f);
    else
        hub_op_end(&f->op, err);
}

static void fetch_done(void *owner, const struct hfc_response *r, const struct hfc_error *err)
{
    struct fetch *f = owner;

    (void)r;
    if (!f->renew || f->renewals == RENEWALS_MAX) {
        hub_op_end(&f->op, err);
        return;
    }
    f->renew = false;
    f->renewals++;
    f->op.hub->stats.expired++;
    hub_say(f->op.hub, "asking the Hub anew: %s", err->msg);
    source_expired(f->source, f->generation);
    go(f);
}

static void fetch_stop(struct hub_op *op)
{
    struct fetch *f = fetch_of(op);

    source_forget(&f->wait);
    request_stop(&f->request);
    hfc_timer_stop(&op->timer);
    if (f->source == NULL)
        return;
    assert(f->source->fetches > 0);
    f->source->fetches--;
    f->source = NULL;
}

static void fetch_deliver(struct hub_op *op, const struct hfc_error *err)
{
    struct fetch *f = fetch_of(op);

    assert(f->source == NULL && (err != NULL || f->got == f->length));
    f->done(f->ctx, err);
}

static void fetch_destroy(struct hub_op *op)
{
    free(fetch_of(op));
}

static struct request *fetch_request(struct hub_op *op)
{
    return &fetch_of(op)->request;
}

static void end_empty(void *ctx)
{
    struct fetch *f = ctx;

    hub_op_end(&f->op, NULL);
}

struct hub_op *hub_fetch(struct hub_source *source, uint64_t offset, uint64_t length,
                         hub_data *data, hub_done *done, void *ctx)
{
    static const struct hub_op_class op_class = {fetch_stop, fetch_deliver, fetch_destroy,
                                                 fetch_request};
    static const struct request_class request_class = {
        .headers = fetch_headers,
        .redirect = fetch_redirect,
        .head = fetch_head,
        .data = fetch_data,
        .judge = fetch_judge,
        .progress = fetch_progress,
        .done = fetch_done,
    };
    struct fetch *f = need(calloc(1, sizeof(*f)));

    assert(offset <= source->file.size && length <= source->file.size - offset);
    f->source = source;
    f->offset = offset;
    f->length = length;
    f->data = data;
    f->done = done;
    f->ctx = ctx;
    f->wait = (struct source_wait){.ready = on_address, .ctx = f};
    f->request = (struct request){
        .hub = source->hub, .class = &request_class, .owner = f, .bucket = HUB_RESOLVERS};
    source->fetches++;
    hub_op_start(&f->op, source->hub, &op_class);
    if (length == 0)
        hfc_timer_start(source->hub->loop, &f->op.timer, 0, end_empty, f);
    else
        go(f);
    return &f->op;
}
