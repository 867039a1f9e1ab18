/* query.h: answers what scripts ask of clusters.yaml, exactly as the tool they used to ask did.
 *
 * Lenient on purpose: a query must not fail because of something it does not touch. What cannot be
 * answered is an error with a reason; what was appended to `out` before is still printed.
 */
#ifndef GEN_QUERY_H
#define GEN_QUERY_H

#include "buf.h"
#include "error.h"
#include "ynode.h"

enum query_result {
    QUERY_OK,
    QUERY_NO, /* the answer is no, or there is nothing: exit 1, `err` may say why */
};

struct query {
    const char *cluster;
    const char *what;  /* a command or a dotted path; NULL: cluster_name */
    const char *extra; /* the module of has-module, the default of a path; NULL: not given */
};

/* The ids of all clusters, one a line. */
enum query_result query_list(const struct ynode *root, struct hfc_buf *out, struct hfc_error *err);

enum query_result query_answer(const struct ynode *root, const struct query *q, struct hfc_buf *out,
                               struct hfc_error *err);

/* query_tfvars.c: the -var arguments of a cluster's base infrastructure. */
enum query_result query_tfvars(const struct ynode *cluster, const struct ynode *defaults,
                               struct hfc_buf *out, struct hfc_error *err);

/* cluster.PATH if not null, else defaults.PATH; NULL if neither is there. Parts of the path are
 * text keys; empty ones are real keys. */
const struct ynode *query_path(const struct ynode *cluster, const struct ynode *defaults,
                               const char *path);

/* Calls fn for each thing a Python loop over the value sees: items of a list, keys of a mapping,
 * characters of a text. False if it cannot be looped over. */
bool query_each(const struct ynode *n, void (*fn)(void *ctx, const struct ynode *item), void *ctx);

#endif
