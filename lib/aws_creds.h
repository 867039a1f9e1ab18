/* aws_creds.h: AWS credentials, from wherever there are some, always fresh.
 *
 * Tried in the order of the AWS SDKs: environment; web identity (AWS_ROLE_ARN +
 * AWS_WEB_IDENTITY_TOKEN_FILE, by STS); the profile's keys, or its role with a web identity token
 * (before the environment's web identity if AWS_PROFILE names it); container credentials
 * (AWS_CONTAINER_CREDENTIALS_FULL_URI or _RELATIVE_URI); the instance's metadata service (IMDSv2).
 * The first source that is configured is the one: if it fails, no other is tried, as the SDKs do;
 * only the metadata service is "configured" without anybody having said so.
 *
 * Renewal starts five minutes before the end, in the background: whoever asks meanwhile gets the
 * old ones. Only when none is valid does anybody wait. A renewal that fails is tried again with
 * growing waits.
 *
 * Secrets are wiped when freed, excluded from core dumps (MADV_DONTDUMP), and never part of a
 * message.
 *
 * Threads: as the loop's.
 */
#ifndef HFC_AWS_CREDS_H
#define HFC_AWS_CREDS_H

#include "aws_config.h"
#include "aws_sign.h"
#include "loop.h"

struct hfc_aws_creds;

/* `config` must outlive it. `ca_bundle` is for STS; NULL: the system's. */
struct hfc_aws_creds *hfc_aws_creds_new(struct hfc_loop *loop, const struct hfc_aws_config *config,
                                        struct hfc_error *err);
void hfc_aws_creds_free(struct hfc_aws_creds *c);

/* Called with keys that are valid now and stay where they are until it returns; or with NULL and an
 * error that names each source that was looked at and what was wrong with it (errnum EACCES). */
typedef void hfc_aws_creds_fn(void *ctx, const struct hfc_aws_keys *keys,
                              const struct hfc_error *err);

/* A request for keys, a member of its owner's struct; zeroed is idle. */
struct hfc_aws_creds_wait {
    struct hfc_aws_creds *creds; /* NULL: idle */
    struct hfc_aws_creds_wait *next;
    hfc_aws_creds_fn *fn;
    void *ctx;
};

/* Keys at once if some are valid: fn is then called before this returns. Otherwise fn is called
 * from the loop. hfc_aws_creds_forget() takes a request back. */
void hfc_aws_creds_get(struct hfc_aws_creds *c, struct hfc_aws_creds_wait *w, hfc_aws_creds_fn *fn,
                       void *ctx);
void hfc_aws_creds_forget(struct hfc_aws_creds_wait *w);

/* Keys that are valid now, without waiting; NULL: there are none yet. */
const struct hfc_aws_keys *hfc_aws_creds_now(struct hfc_aws_creds *c);

/* Counts the keys that there have been: a refusal says by it which ones are meant. */
unsigned hfc_aws_creds_generation(const struct hfc_aws_creds *c);

/* The server refused the keys of that generation as expired: the next get fetches new ones. `told`
 * false: it has not said why; then only keys that have an expiry are taken for expired. False:
 * another try would go out with the same keys, as there are no others to be had. */
bool hfc_aws_creds_refused(struct hfc_aws_creds *c, unsigned generation, bool told);

/* Where the keys come from ("environment", "profile x", "web identity ROLE", "container", "instance
 * metadata"), or "none". */
const char *hfc_aws_creds_source(const struct hfc_aws_creds *c);

#endif
