/* store_s3_list.c: lists of objects, parts and uploads; see store_s3.h.
 *
 * A page is parsed as it arrives and kept until it is whole: only its end tells whether keys are
 * encoded, and a page that is asked for twice is delivered once. So memory is that of one page, at
 * most PAGE_MAX. A page is checked before any of it is given on: keys in order and with the prefix,
 * and a next page that gets further. Used by store_s3.c only.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store_s3_steps.h"

/* A thousand keys of 1,024 bytes, each byte encoded, just fit. */
enum { PAGE_MAX = 4 * 1024 * 1024, IDLE_PAGES_MAX = 1000, TEXTS = 4 };

/* Which fields of an item are kept, in this order. */
static const enum hfc_s3_field object_fields[TEXTS] = {HFC_S3_KEY, HFC_S3_ETAG, HFC_S3_SIZE,
                                                       HFC_S3_MODIFIED};
static const enum hfc_s3_field part_fields[TEXTS] = {HFC_S3_NUMBER, HFC_S3_ETAG, HFC_S3_SIZE,
                                                     HFC_S3_CHECKSUM};
static const enum hfc_s3_field upload_fields[TEXTS] = {HFC_S3_KEY, HFC_S3_UPLOAD_ID,
                                                       HFC_S3_INITIATED, HFC_S3_SIZE /* none */};

struct listed {
    char key[HFC_KEY_MAX + 1];
    unsigned number;
    const char *upload_id;
    struct hfc_object object;
    struct hfc_part part;
    int64_t initiated;
};

/* Three kinds, told apart by the operation. */
static enum hfc_s3_doc doc_of(const struct hfc_s3_op *op)
{
    return op->op.kind == HFC_OP_LIST         ? HFC_S3_LIST
           : op->op.kind == HFC_OP_LIST_PARTS ? HFC_S3_PARTS
                                              : HFC_S3_UPLOADS;
}

/* Each text with its NUL, one behind the other. */
static bool keep_item(void *ctx, const struct hfc_s3_xml *x)
{
    struct hfc_s3_op *op = ctx;
    const enum hfc_s3_field *fields = op->op.kind == HFC_OP_LIST         ? object_fields
                                      : op->op.kind == HFC_OP_LIST_PARTS ? part_fields
                                                                         : upload_fields;

    for (int i = 0; i < TEXTS; i++) {
        const char *text = hfc_s3_xml_item(x, fields[i]);
        hfc_buf_add(&op->document, text, strlen(text) + 1);
    }
    return !hfc_buf_failed(&op->document);
}

static void drop_page(struct hfc_s3_op *op)
{
    hfc_s3_xml_free(op->xml);
    op->xml = NULL;
    hfc_buf_free(&op->document);
    hfc_buf_init(&op->document, PAGE_MAX);
}

/* A new try, or a new page: what was kept of the one before does not count. */
static bool list_head(void *ctx, const struct hfc_response *r)
{
    struct hfc_s3_op *op = ctx;

    if (hfc_response_status(r) != 200)
        return false;
    drop_page(op);
    op->get.verdict = HFC_SUCCEEDED;
    op->xml = hfc_s3_xml_new(doc_of(op), keep_item, op);
    return true;
}

/* Stops at the first byte that is wrong: the rest need not be waited for. */
static enum hfc_flow list_data(void *ctx, const void *bytes, size_t n)
{
    struct hfc_s3_op *op = ctx;
    struct hfc_error why;

    if (op->op.ended)
        return HFC_FLOW_STOP;
    if (hfc_s3_xml_feed(op->xml, bytes, n, &why) == 0)
        return HFC_FLOW_ON;
    (void)hfc_s3_fail(op, &op->get.err, why.errnum, "the list can't be read: %s", why.msg);
    op->get.verdict = HFC_RETRY;
    return HFC_FLOW_STOP;
}

/* What list_data() has found is better known than that the exchange was stopped. */
static bool list_cut(struct hfc_s3_op *op, enum hfc_http_end end, enum hfc_verdict *verdict,
                     struct hfc_error *err)
{
    if (end != HTTP_STOPPED || op->get.verdict == HFC_SUCCEEDED)
        return false;
    *err = op->get.err;
    *verdict = op->get.verdict;
    return true;
}

/* S3 writes a space as '+' where it encodes. */
static bool decode_key(const char *text, bool encoded, char key[HFC_KEY_MAX + 1])
{
    hfc_autobuf struct hfc_buf out = HFC_BUF(HFC_KEY_MAX);

    if (!encoded) {
        hfc_buf_str(&out, text);
    } else {
        while (*text != '\0') {
            size_t n = strcspn(text, "+");
            if (!hfc_uri_decode(&out, text, n))
                return false;
            text += n;
            if (*text == '+') {
                hfc_buf_char(&out, ' ');
                text++;
            }
        }
    }
    if (hfc_buf_failed(&out) || out.len == 0)
        return false;
    memcpy(key, out.data, out.len + 1);
    return true;
}

/* Without an ETag an object is of no use to anybody here: "", and deliver() passes it over. */
static bool read_object(const char *const texts[TEXTS], struct hfc_object *o)
{
    o->modified = hfc_s3_time(texts[3]);
    if (hfc_s3_etag(texts[1], o->etag) < 0)
        o->etag[0] = '\0';
    return hfc_s3_number(texts[2], &o->size);
}

static bool read_part(const char *const texts[TEXTS], struct listed *it)
{
    uint64_t number;

    it->part.has_sha256 = hfc_unbase64(texts[3], it->part.sha256, HFC_SHA256_SIZE);
    if (!hfc_s3_number(texts[0], &number) || number < 1 || number > HFC_PARTS_MAX)
        return false;
    it->number = (unsigned)number;
    return hfc_s3_etag(texts[1], it->part.etag) == 0 && hfc_s3_number(texts[2], &it->part.size);
}

/* The item at *pos of the page, and the place of the next. */
static bool read_item(const struct hfc_s3_op *op, size_t *pos, struct listed *it)
{
    const char *texts[TEXTS];
    bool encoded = strcmp(hfc_s3_xml_text(op->xml, HFC_S3_ENCODING), "url") == 0;

    *it = (struct listed){0};
    for (int i = 0; i < TEXTS; i++) {
        texts[i] = op->document.data + *pos;
        *pos += strlen(texts[i]) + 1;
    }
    assert(*pos <= op->document.len);
    if (op->op.kind == HFC_OP_LIST_PARTS)
        return read_part(texts, it);
    if (!decode_key(texts[0], encoded, it->key))
        return false;
    if (op->op.kind == HFC_OP_LIST)
        return read_object(texts, &it->object);
    it->upload_id = texts[1];
    it->initiated = hfc_s3_time(texts[2]);
    return *texts[1] != '\0';
}

/* In order, and within what was asked for. One key may have several uploads. */
static int check_item(struct hfc_s3_op *op, const struct listed *it, const char *last_key,
                      unsigned last_number, struct hfc_error *err)
{
    if (op->op.kind == HFC_OP_LIST_PARTS) {
        if (it->number <= last_number)
            return hfc_s3_fail(op, err, EBADMSG, "the list's parts are out of order");
        return 0;
    }
    if (strncmp(it->key, op->op.key, strlen(op->op.key)) != 0)
        return hfc_s3_fail(op, err, EBADMSG, "the list has a key without the prefix");
    int order = last_key != NULL ? strcmp(it->key, last_key) : 1;
    if (order < 0 || (order == 0 && op->op.kind == HFC_OP_LIST))
        return hfc_s3_fail(op, err, EBADMSG, "the list's keys are out of order");
    return 0;
}

static void keep_text(char **to, const char *text)
{
    free(*to);
    *to = strdup(text);
    if (*to == NULL)
        abort();
}

/* The whole page, before the caller sees its first item: a page that is wrong in the middle is
 * asked for again. */
static int check_items(struct hfc_s3_op *op, struct hfc_error *err)
{
    char last[HFC_KEY_MAX + 1] = "";
    bool has_last = op->list.last_key != NULL;

    assert(!has_last || strlen(op->list.last_key) <= HFC_KEY_MAX);
    unsigned number = op->list.last_number;
    struct listed it;

    if (has_last)
        memcpy(last, op->list.last_key, strlen(op->list.last_key) + 1);
    for (size_t pos = 0; pos < op->document.len;) {
        if (!read_item(op, &pos, &it))
            return hfc_s3_fail(op, err, EBADMSG, "the list has an unreadable entry");
        if (check_item(op, &it, has_last ? last : NULL, number, err) < 0)
            return -1;
        memcpy(last, it.key, sizeof(last));
        number = it.number;
        has_last = true;
    }
    return 0;
}

/* Where the next page begins, decoded if it is a key. */
static bool next_place(const struct hfc_s3_op *op, char next[HFC_S3_TEXT_MAX + 1], const char **id)
{
    const struct hfc_s3_xml *x = op->xml;
    bool encoded = strcmp(hfc_s3_xml_text(x, HFC_S3_ENCODING), "url") == 0;

    *id = hfc_s3_xml_text(x, HFC_S3_NEXT_UPLOAD_ID);
    if (op->op.kind == HFC_OP_LIST_UPLOADS)
        return decode_key(hfc_s3_xml_text(x, HFC_S3_NEXT_KEY), encoded, next);
    const char *text =
        hfc_s3_xml_text(x, op->op.kind == HFC_OP_LIST ? HFC_S3_NEXT_TOKEN : HFC_S3_NEXT_NUMBER);
    memcpy(next, text, strlen(text) + 1);
    return *text != '\0';
}

static bool same(const char *a, const char *b)
{
    return a != NULL && b != NULL && strcmp(a, b) == 0;
}

/* A server that sends the same pages for ever would keep us for ever. The ids of one key's uploads
 * are in no order, so pages of one key are counted. */
static int check_next(struct hfc_s3_op *op, struct hfc_error *err)
{
    char next[HFC_S3_TEXT_MAX + 1];
    const char *id;

    op->list.more = strcmp(hfc_s3_xml_text(op->xml, HFC_S3_TRUNCATED), "true") == 0;
    if (!op->list.more)
        return 0;
    if (!next_place(op, next, &id))
        return hfc_s3_fail(op, err, EBADMSG, "the list goes on without saying where");
    bool uploads = op->op.kind == HFC_OP_LIST_UPLOADS && op->list.after != NULL;
    int order = uploads ? strcmp(next, op->list.after) : 1;
    op->list.idle_pages = op->document.len == 0 || order == 0 ? op->list.idle_pages + 1 : 0;
    if (op->list.idle_pages > IDLE_PAGES_MAX || order < 0 ||
        (same(op->list.after, next) && same(op->list.after_id, id)))
        return hfc_s3_fail(op, err, EBADMSG, "the list's pages get no further");
    keep_text(&op->list.after, next);
    keep_text(&op->list.after_id, id);
    return 0;
}

/* A page that is wrong may be right next time, so each fault is worth another try. */
static enum hfc_verdict list_answer(struct hfc_s3_op *op, const struct hfc_response *r,
                                    struct hfc_error *err)
{
    struct hfc_error why;

    if (hfc_response_status(r) != 200) {
        (void)hfc_s3_fail(op, err, EBADMSG, "unexpected status %d", hfc_response_status(r));
        return HFC_RETRY;
    }
    if (hfc_s3_xml_finish(op->xml, &why) < 0) {
        (void)hfc_s3_fail(op, err, EBADMSG, "the list can't be read: %s", why.msg);
        return HFC_RETRY;
    }
    if (hfc_s3_xml_is_error(op->xml))
        return hfc_s3_judge_document(op, r, op->xml, err);
    return check_items(op, err) == 0 && check_next(op, err) == 0 ? HFC_SUCCEEDED : HFC_RETRY;
}

static void deliver(struct hfc_s3_op *op, const struct listed *it)
{
    struct hfc_store_op *o = &op->op;

    if (o->kind == HFC_OP_LIST && it->object.etag[0] == '\0')
        hfc_store_say(o->store, "LIST %.300s: passed over, it has no usable ETag",
                      hfc_store_short_key(o->store, it->key));
    else if (o->kind == HFC_OP_LIST)
        o->call.item(o->ctx, hfc_store_short_key(o->store, it->key), &it->object);
    else if (o->kind == HFC_OP_LIST_PARTS)
        o->call.part(o->ctx, it->number, &it->part);
    else
        o->call.upload(o->ctx, hfc_store_short_key(o->store, it->key), it->upload_id,
                       it->initiated);
}

/* Here, and not in list_answer(): the call is over, so the caller may do as it likes. */
static void list_done(struct hfc_s3_op *op, const struct hfc_error *err)
{
    struct listed it;

    if (err != NULL) {
        hfc_s3_end(op, err);
        return;
    }
    for (size_t pos = 0; pos < op->document.len && !op->op.ended;) {
        bool good = read_item(op, &pos, &it);
        assert(good);
        (void)good;
        if (pos == op->document.len && op->op.kind != HFC_OP_LIST_PARTS)
            keep_text(&op->list.last_key, it.key);
        op->list.last_number = it.number;
        deliver(op, &it);
    }
    if (op->op.ended)
        return;
    drop_page(op);
    if (op->list.more)
        hfc_s3_begin(op, op->step);
    else
        hfc_s3_end(op, NULL);
}

static void add_pair(struct hfc_buf *query, const char *name, const char *value)
{
    hfc_buf_str(query, name);
    hfc_uri_encode(query, value, strlen(value), "");
    hfc_buf_char(query, '&');
}

/* encoding-type, for keys with characters that XML can't hold. */
static void list_build(struct hfc_s3_op *op, struct hfc_buf *headers, struct hfc_buf *query)
{
    (void)headers;
    hfc_buf_str(query, "list-type=2&encoding-type=url&");
    if (op->list.after != NULL)
        add_pair(query, "continuation-token=", op->list.after);
    add_pair(query, "prefix=", op->op.key);
}

static void parts_build(struct hfc_s3_op *op, struct hfc_buf *headers, struct hfc_buf *query)
{
    if (op->list.after != NULL)
        add_pair(query, "part-number-marker=", op->list.after);
    hfc_s3_upload_query(op, headers, query);
}

static void uploads_build(struct hfc_s3_op *op, struct hfc_buf *headers, struct hfc_buf *query)
{
    (void)headers;
    hfc_buf_str(query, "uploads=&encoding-type=url&");
    if (op->list.after != NULL)
        add_pair(query, "key-marker=", op->list.after);
    if (op->list.after_id != NULL && *op->list.after_id != '\0')
        add_pair(query, "upload-id-marker=", op->list.after_id);
    add_pair(query, "prefix=", op->op.key);
}

static const struct hfc_s3_step list_step = {
    .name = "LIST",
    .method = "GET",
    .of_bucket = true,
    .build = list_build,
    .answer = list_answer,
    .head = list_head,
    .data = list_data,
    .cut = list_cut,
    .done = list_done,
};

static const struct hfc_s3_step parts_step = {
    .name = "LIST PARTS",
    .method = "GET",
    .build = parts_build,
    .answer = list_answer,
    .head = list_head,
    .data = list_data,
    .cut = list_cut,
    .done = list_done,
};

static const struct hfc_s3_step uploads_step = {
    .name = "LIST UPLOADS",
    .method = "GET",
    .of_bucket = true,
    .build = uploads_build,
    .answer = list_answer,
    .head = list_head,
    .data = list_data,
    .cut = list_cut,
    .done = list_done,
};

static void start(struct hfc_store_op *base, const struct hfc_s3_step *step)
{
    struct hfc_s3_op *op = (struct hfc_s3_op *)base;

    hfc_buf_init(&op->document, PAGE_MAX);
    hfc_s3_begin(op, step);
}

void hfc_s3_start_list(struct hfc_store_op *op)
{
    start(op, &list_step);
}

void hfc_s3_start_list_parts(struct hfc_store_op *op)
{
    start(op, &parts_step);
}

void hfc_s3_start_list_uploads(struct hfc_store_op *op)
{
    start(op, &uploads_step);
}
