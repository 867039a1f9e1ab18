/* hub.h: a client of the Hugging Face Hub: what a revision is, its files, and their bytes.
 *
 * Every call starts an operation and ends with one call of its done(), from the loop, never from
 * within the call that started it. Retries, redirects, rate limits and signed URLs that expire are
 * dealt with in here; what reaches done() is final. `err` is NULL for success, else its errnum is
 *
 *   ENOENT    no such repository (or private, and no token), revision or file
 *   EACCES    the token is refused, or the repository is gated     EPERM     it is disabled
 *   EPROTO    whoever answers is not the Hub, or answers nonsense  ELOOP     redirects, or pages
 *   EBADMSG   answers contradict each other or what was asked      EINVAL    a hostile file name
 *   EAGAIN    rate limit or 5xx to the last try                    ENOTCONN  not reachable
 *   EFBIG     more than any repository has                         ECANCELED hub_cancel() or STOP
 *
 * The token goes to the endpoint's own origin (scheme, host, port) and nowhere else; neither it nor
 * a signed URL is ever part of a message. Messages don't name repository or file, but for files of
 * a listing: who asked knows them.
 *
 * Threads: as the loop's.
 */
#ifndef REFRESH_HUB_H
#define REFRESH_HUB_H

#include "call.h"
#include "hash.h"
#include "http.h"
#include "models.h"

enum {
    HUB_COMMIT = 40,               /* hex digits */
    HUB_PATH_MAX = 1024 - 57,      /* S3's keys, less "models--" and "/snapshots/COMMIT/" */
    HUB_ENTRIES_MAX = 1000000,     /* files of a repository */
    HUB_PAGE_MAX = 8 * 1024 * 1024 /* bytes of one answer of the API */
};

struct hub;
struct hub_op;

typedef void hub_log(void *ctx, const char *line);

struct hub_config {
    const char *endpoint;        /* NULL: HF_ENDPOINT, else https://huggingface.co */
    const char *token;           /* NULL: none; see hub_find_token() */
    struct hfc_http_config http; /* caps, ca_bundle; user_agent is set here */
    struct hfc_retry_policy retry;
    int64_t rate_limit_ms; /* how long one request may wait for rate limits; 0: 15 minutes */
    hub_log *log;          /* NULL: nobody listens */
    void *log_ctx;
};

/* The token is copied. Fails for a wrong endpoint and a token that is no header value. */
struct hub *hub_new(struct hfc_loop *loop, const struct hub_config *config, struct hfc_error *err);

/* Operations under way are dropped without a word; sources have to be freed before. Not from within
 * data() or an entry(), which belong to an operation of it. NULL is fine. */
void hub_free(struct hub *hub);

const char *hub_endpoint(const struct hub *hub);

/* HF_TOKEN, HUGGING_FACE_HUB_TOKEN, the file $HF_TOKEN_PATH, $HF_HOME/token, or
 * ~/.cache/huggingface/token, without white space around it; -> *token, NULL if there is none. It
 * is kept out of core dumps. Free with hub_token_free(), which wipes it. */
int hub_find_token(char **token, struct hfc_error *err);
void hub_token_free(char *token);

struct hub_info {
    char commit[HUB_COMMIT + 1];
    const char *id; /* another one than was asked for if the repository was renamed */
    bool private, gated, disabled;
};
typedef void hub_info_done(void *ctx, const struct hub_info *info, const struct hfc_error *err);

/* What the model's revision is at the moment; info is NULL if there is an error. */
struct hub_op *hub_info(struct hub *hub, const struct model *model, hub_info_done *done, void *ctx);

struct hub_file {
    const char *path; /* UTF-8, a clean relative path of at most HUB_PATH_MAX bytes */
    uint64_t size;
    bool lfs;
    uint8_t sha256[HFC_SHA256_SIZE]; /* of the content, if lfs */
    uint8_t git_sha1[HFC_SHA1_SIZE]; /* git's name of the file; of the pointer's text, if lfs */
};
typedef void hub_entry(void *ctx, const struct hub_file *file);
typedef void hub_done(void *ctx, const struct hfc_error *err);

/* All files of a commit, page by page. Names were checked and are different, none is a folder of
 * another. Entries may have been handed out before an error shows. */
struct hub_op *hub_tree(struct hub *hub, enum repo_kind kind, const char *id, const char *commit,
                        hub_entry *entry, hub_done *done, void *ctx);

/* One file of one commit, as a place to get bytes from: keeps the signed URL while it is valid. */
struct hub_source;
struct hub_source *hub_source_new(struct hub *hub, enum repo_kind kind, const char *id,
                                  const char *commit, const struct hub_file *file);
/* Its fetches have to be over or cancelled. NULL is fine. */
void hub_source_free(struct hub_source *source);

/* Bytes offset to offset + length of the file, which must be inside of it. data() gets them in
 * order, each once, also across retries. HFC_FLOW_PAUSE: goes on after hub_resume(). Several
 * fetches of a source may run at once. The bytes are not verified here. A file that can't be what
 * the tree said (size, hash, commit) is EBADMSG. */
typedef enum hfc_flow hub_data(void *ctx, const void *bytes, size_t n);
struct hub_op *hub_fetch(struct hub_source *source, uint64_t offset, uint64_t length,
                         hub_data *data, hub_done *done, void *ctx);

void hub_resume(struct hub_op *op);

/* Ends it; done() is called with ECANCELED, from the loop. The handle is dead afterwards. */
void hub_cancel(struct hub_op *op);

struct hub_stats {
    struct hfc_http_stats http;
    uint64_t api, resolvers, cdn;       /* requests, redirects and retries included */
    uint64_t retries, expired, limited; /* tries again; fresh signed URLs; answers 429 */
    uint64_t held, held_ms;             /* requests held back for a rate limit, and how long */
};
void hub_stats(const struct hub *hub, struct hub_stats *stats);

#endif
