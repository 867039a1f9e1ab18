/* hub_source.c: files of the Hub: what is known of one, and where its bytes are.
 *
 * A large file's bytes are on a CDN, at a signed URL that is valid for a while. One request asks
 * for it, whoever needs it waits for that, and all ranges of the file share it. The redirect that
 * carries it also tells commit, hash and size, which must be those that the listing told.
 */
#include "hub_source.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "hub_headers.h"
#include "hub_json.h"
#include "need.h"
#include "uri.h"

/* The address is a credential. */
static void forget_address(struct hub_source *s)
{
    if (s->address == NULL)
        return;
    explicit_bzero(s->address, strlen(s->address));
    free(s->address);
    s->address = NULL;
}

static void set_address(struct hub_source *s, const char *url)
{
    forget_address(s);
    s->address = need_copy(url, strlen(url));
    s->generation++;
}

/* The name by which the Hub knows the content: what its ETags are. */
static size_t content_name(const struct hub_source *s, char name[HFC_HEX_MAX])
{
    if (s->file.lfs)
        hfc_hex(s->file.sha256, HFC_SHA256_SIZE, name);
    else
        hfc_hex(s->file.git_sha1, HFC_SHA1_SIZE, name);
    return strlen(name);
}

/* Of an ETag that is no digest nothing follows: proxies make their own. */
static bool is_digest(const char *tag, size_t digits)
{
    return strlen(tag) == digits && strspn(tag, "0123456789abcdef") == digits;
}

static int check_hash(const struct hub_source *s, const struct hfc_response *r,
                      struct hfc_error *err)
{
    const char *linked = hfc_response_header(r, "x-linked-etag");
    const char *value = linked != NULL ? linked : hfc_response_header(r, "etag");
    char name[HFC_HEX_MAX], tag[128];
    size_t digits = content_name(s, name);

    if (value == NULL || (linked == NULL && hfc_response_status(r) >= 300))
        return 0;
    if (!header_etag(value, tag, sizeof(tag)))
        tag[0] = '\0';
    if (strcmp(tag, name) == 0 || (linked == NULL && !is_digest(tag, digits)))
        return 0;
    return hub_fail(err, EBADMSG, "the Hub's listing and its download disagree on the hash");
}

int source_check(const struct hub_source *s, const struct hfc_response *r, bool *commit_seen,
                 struct hfc_error *err)
{
    const char *commit = hfc_response_header(r, "x-repo-commit");
    const char *linked_size = hfc_response_header(r, "x-linked-size");
    uint64_t size;

    if (commit != NULL && strcmp(commit, s->commit) != 0)
        return hub_fail(err, EBADMSG, "the Hub answers for another commit than the one asked for");
    if (commit != NULL)
        *commit_seen = true;
    if (linked_size != NULL && (!header_size(linked_size, &size) || size != s->file.size))
        return hub_fail(err, EBADMSG, "the Hub's listing and its download disagree on the size");
    return check_hash(s, r, err);
}

/* One byte, in case that the Hub sends the file itself. */
static void resolver_headers(void *owner, struct hfc_buf *out)
{
    struct hub_source *s = owner;

    if (s->resolver.hops == 0)
        s->commit_seen = false;
    hfc_buf_str(out, "Range: bytes=0-0\n");
}

static int not_the_hub(struct hfc_error *err)
{
    return hub_fail(err, EPROTO,
                    "the answer names no commit (X-Repo-Commit): is it the Hub, or a proxy?");
}

/* Redirects that name the content lead to it; others (a new name of the repository) are followed.
 */
static enum hfc_verdict resolver_redirect(void *owner, const struct hfc_response *r,
                                          const char *target, struct hfc_error *err)
{
    struct hub_source *s = owner;

    if (source_check(s, r, &s->commit_seen, err) < 0)
        return HFC_FAILED;
    if (hfc_response_header(r, "x-linked-etag") == NULL)
        return HFC_AT_ONCE;
    if (!s->commit_seen)
        return (void)not_the_hub(err), HFC_FAILED;
    set_address(s, target);
    return HFC_SUCCEEDED;
}

static bool has_content(const struct hfc_response *r)
{
    return hfc_response_status(r) == 200 || hfc_response_status(r) == 206;
}

static bool resolver_head(void *owner, const struct hfc_response *r)
{
    (void)owner;
    return has_content(r);
}

/* That there is content is all that was to be found out. */
static enum hfc_flow resolver_data(void *owner, const void *bytes, size_t n)
{
    (void)owner, (void)bytes;
    return n > 1 ? HFC_FLOW_STOP : HFC_FLOW_ON;
}

static bool resolver_judge(void *owner, const struct hfc_response *r, enum hfc_http_end end,
                           enum hfc_verdict *verdict, struct hfc_error *err)
{
    struct hub_source *s = owner;

    if (!has_content(r) || (end != HTTP_OK && end != HTTP_STOPPED))
        return false;
    *verdict = HFC_FAILED;
    if (source_check(s, r, &s->commit_seen, err) < 0)
        return true;
    if (!s->commit_seen) {
        (void)not_the_hub(err);
        return true;
    }
    set_address(s, s->resolver.url);
    *verdict = HFC_SUCCEEDED;
    return true;
}

/* The list is taken off first, as who is told may end, start or forget others. The source may be
 * gone when the last one was told. */
static void resolver_done(void *owner, const struct hfc_response *r, const struct hfc_error *err)
{
    struct hub_source *s = owner;
    struct source_wait *list = s->waiting;
    struct hfc_error odd;

    s->resolving = false;
    s->waiting = NULL;
    if (list != NULL)
        list->link = &list;
    if (err == NULL && s->address == NULL) {
        (void)hub_fail(&odd, EPROTO, "status %d without content: is it the Hub?",
                       hfc_response_status(r));
        err = &odd;
    }
    while (list != NULL) {
        struct source_wait *w = list;
        source_forget(w);
        w->ready(w->ctx, err);
    }
}

void source_wait(struct hub_source *s, struct source_wait *w)
{
    assert(w->link == NULL && s->file.lfs);
    w->next = s->waiting;
    w->link = &s->waiting;
    if (w->next != NULL)
        w->next->link = &w->next;
    s->waiting = w;
    if (s->resolving)
        return;
    s->resolving = true;
    request_start(&s->resolver, s->resolve_url);
}

void source_forget(struct source_wait *w)
{
    if (w->link == NULL)
        return;
    *w->link = w->next;
    if (w->next != NULL)
        w->next->link = w->link;
    w->link = NULL;
    w->next = NULL;
}

void source_expired(struct hub_source *s, unsigned generation)
{
    if (s->generation == generation)
        forget_address(s);
}

static char *make_resolve_url(const struct hub *hub, enum repo_kind kind, const char *id,
                              const char *commit, const char *path)
{
    hfc_autobuf struct hfc_buf url = HFC_BUF(16384);

    hfc_buf_printf(&url, "%s/%s", hub->endpoint, kind == REPO_DATASET ? "datasets/" : "");
    hfc_uri_encode(&url, id, strlen(id), "/");
    hfc_buf_printf(&url, "/resolve/%s/", commit);
    hfc_uri_encode(&url, path, strlen(path), "/");
    assert(!hfc_buf_failed(&url));
    return need_copy(url.data, url.len);
}

struct hub_source *hub_source_new(struct hub *hub, enum repo_kind kind, const char *id,
                                  const char *commit, const struct hub_file *file)
{
    static const struct request_class class = {
        .headers = resolver_headers,
        .redirect = resolver_redirect,
        .head = resolver_head,
        .data = resolver_data,
        .judge = resolver_judge,
        .done = resolver_done,
    };
    struct hub_source *s = need(calloc(1, sizeof(*s)));

    assert(strlen(commit) == HUB_COMMIT && hub_path_fault(file->path, strlen(file->path)) == NULL);
    s->hub = hub;
    s->file = *file;
    s->file.path = NULL;
    memcpy(s->commit, commit, HUB_COMMIT + 1);
    s->resolve_url = make_resolve_url(hub, kind, id, commit, file->path);
    s->resolver =
        (struct request){.hub = hub, .class = &class, .owner = s, .bucket = HUB_RESOLVERS};
    hub->sources++;
    return s;
}

void hub_source_free(struct hub_source *source)
{
    if (source == NULL)
        return;
    assert(source->fetches == 0 && source->waiting == NULL && source->hub->sources > 0);
    request_stop(&source->resolver);
    source->hub->sources--;
    forget_address(source);
    free(source->resolve_url);
    free(source);
}
