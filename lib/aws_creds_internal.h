/* aws_creds_internal.h: what the aws_creds*.c files share; nobody else includes it.
 *
 * aws_creds.c          who waits, what is valid, when it is renewed
 * aws_creds_source.c   which source is configured
 * aws_creds_request.c  a source's HTTP requests, tokens in files, keys in JSON
 * aws_creds_sts.c, aws_creds_container.c, aws_creds_imds.c   a source each
 *
 * A fetch is begun by the source's fetch(), fills c->next, and ends with hfc_creds_got() or
 * hfc_creds_failed(). Both may free `c` by way of whoever was waiting: return at once.
 */
#ifndef HFC_AWS_CREDS_INTERNAL_H
#define HFC_AWS_CREDS_INTERNAL_H

#include "aws_creds.h"
#include "call.h"

enum {
    CREDS_TOKEN_MAX = 20000, /* of a file: what STS takes */
    CREDS_URL_MAX = 2048,
    CREDS_SHOWN_MAX = 200, /* of a text that a server sent */
};

/* Keys with their texts, in secret memory. */
struct hfc_creds_set {
    struct hfc_aws_keys keys;
    int64_t expires; /* seconds since 1970; 0: never */
    char access_key[256];
    char secret_key[1024];
    char session_token[16384];
};

struct hfc_creds_source {
    const char *name;
    void (*fetch)(struct hfc_aws_creds *c); /* NULL: the keys are there from the start */
    struct hfc_retry_policy policy;
    int64_t connect_timeout, total_timeout; /* ms */
    bool no_proxy;
};

extern const struct hfc_creds_source hfc_creds_sts, hfc_creds_container, hfc_creds_imds;

/* What a source asks for. The buffers are wiped when they are freed. */
struct hfc_creds_request {
    const char *method;
    struct hfc_buf url, headers, body;
    /* Whether an answer is worth another try; may be NULL: by its status. */
    bool (*passing)(int status, const struct hfc_buf *body);
    void (*answer)(struct hfc_aws_creds *c, int status, const struct hfc_buf *body);
};

struct hfc_aws_creds {
    struct hfc_loop *loop;
    const struct hfc_aws_config *config;

    /* Found once, by hfc_creds_choose(). */
    const struct hfc_creds_source *source; /* NULL: none */
    char name[256];                        /* "profile x": of the source, for messages */
    char broken[512];                      /* what is wrong with its configuration; "": nothing */
    struct hfc_buf looked_at;              /* the sources before it: "NAME: why not; " each */
    char url[CREDS_URL_MAX];               /* of the service, without '/' at its end */
    const char *role_arn, *token_file;
    char session_name[65];

    struct hfc_http *http; /* NULL: the source needs none */
    struct hfc_call *call;
    struct hfc_creds_request request;

    struct hfc_creds_set *current, *next;
    bool refused;                  /* `current`, by the server */
    bool fetching;                 /* until got() or failed() */
    unsigned generation, failures; /* of `current`; in a row */
    int64_t clock_offset; /* the service's clock less ours, in seconds, by its last answer */
    int64_t not_before;   /* hfc_now_ms() of the next fetch that somebody waits for */
    int64_t renew_at; /* seconds since 1970 of the next fetch without anybody waiting; 0: never */
    struct hfc_timer timer; /* the next fetch */
    struct hfc_aws_creds_wait *waiting, *told;
    bool telling; /* them */
    bool dying;   /* freed by one of them */
};

/* Looks for the source; fills `current` if its keys are there already. */
void hfc_creds_choose(struct hfc_aws_creds *c);

/* Checks what c->next was filled with and makes it the current one. */
void hfc_creds_got(struct hfc_aws_creds *c);
void hfc_creds_failed(struct hfc_aws_creds *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Points set->keys at its texts. -> what is wrong with them, or NULL. */
const char *hfc_creds_seal(struct hfc_creds_set *set);

/* Empties the request; send() starts it. What went wrong on the way ends the fetch. */
void hfc_creds_request_begin(struct hfc_aws_creds *c);
void hfc_creds_request_send(struct hfc_aws_creds *c);

/* Appends a file's token, without white space at its end; it has to be one line. */
int hfc_creds_read_token(const char *path, struct hfc_buf *out, struct hfc_error *err);

/* Whether a text can be a header's value or a token: printable ASCII, not empty. */
bool hfc_creds_is_plain(const char *text);

/* An empty c->next in place of what is there; false: out of memory. */
bool hfc_creds_new_set(struct hfc_aws_creds *c);

/* Copies a text into an array of a set; one that is too long becomes "", which nobody takes. */
void hfc_creds_copy(char *to, size_t size, const char *text, size_t n);

/* What may be shown of a text that a server sent: cut, printable, and without words so long that
 * they may be somebody's token. */
void hfc_creds_show(struct hfc_buf *out, const char *text, size_t n);

/* Fills c->next from {"AccessKeyId", "SecretAccessKey", "Token", "Expiration"}; wipes the body.
 * `code_needed`: "Code" has to be "Success". -1 with what is wrong. */
int hfc_creds_read_json(struct hfc_aws_creds *c, const struct hfc_buf *body, bool code_needed,
                        struct hfc_error *err);

/* "2026-01-31T12:00:00Z", with a fraction or an offset too. -1: none. */
int64_t hfc_creds_time(const char *text);

#endif
