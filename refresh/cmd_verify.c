/* cmd_verify.c: `verify`: reads again what a bucket holds, and hashes it.
 *
 * What is looked at is decided in verify.h; here is what is told of it. Findings are printed when
 * they are made: a run over terabytes takes hours, and may be stopped.
 */
#include <assert.h>
#include <errno.h>
#include <jansson.h>
#include <string.h>
#include <unistd.h>

#include "budget.h"
#include "cleanup.h"
#include "need.h"
#include "report_parts.h"
#include "verify.h"

enum { OPT_IN = 1000, OPT_JSON, OPT_JOBS, OPT_MEMORY, WORDS_MAX = 1000, REDRAW_MS = 250 };

struct verify_arguments {
    const char *url;
    char *words[WORDS_MAX];
    size_t nwords;
    bool json;
    size_t memory;
    unsigned jobs;
};

static const struct argp_option options[] = {
    {"in", OPT_IN, "URL", 0, "the bucket: s3://BUCKET[/PREFIX] or file:///DIR", 1},
    {"json", OPT_JSON, NULL, 0, "print one JSON object", 1},
    {"jobs", OPT_JOBS, "N", 0, "objects at once; default 4", 1},
    {"memory", OPT_MEMORY, "N", 0, "for everything, such as 256Mi; default 64Mi", 1},
    {0},
};

static const char doc[] =
    "Reads every object of a bucket whose hash is known and compares it: the hashes come from the "
    "index, from trees/COMMIT.json, or from the object's metadata. Looks, too, whether everything "
    "is there that index, trees and refs name. With names of models (ORG/NAME, datasets/ORG/NAME), "
    "only those. Nothing is written.\v"
    "Exit status: 0 all well, 1 something is bad or could not be read, 2 wrong usage.";

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct verify_arguments *a = state->input;

    switch (key) {
    case OPT_IN:
        command_bucket(state, "in", arg, &a->url);
        return 0;
    case OPT_JSON:
        a->json = true;
        return 0;
    case OPT_JOBS:
        a->jobs = (unsigned)command_number(state, "jobs", arg, 1, INSPECTION_JOBS_MAX);
        return 0;
    case OPT_MEMORY:
        a->memory = command_memory(state, arg);
        return 0;
    case ARGP_KEY_ARG:
        if (a->nwords == WORDS_MAX)
            argp_error(state, "more than %d models", WORDS_MAX);
        a->words[a->nwords++] = arg;
        return 0;
    case ARGP_KEY_END:
        if (a->url == NULL)
            argp_error(state, "which bucket? --in URL");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* Output. */

struct output {
    struct verify verify;
    bool json, first;
    bool terminal; /* a line at the bottom shows how far it is */
    struct hfc_timer redraw;
};

/* The line of progress makes room for one that stays. */
static void erase(const struct output *o)
{
    if (o->terminal)
        fputs("\r\033[K", stderr);
}

/* By bytes, as a model's files are of very different sizes. What is being read counts as done, so
 * that it runs a little ahead. */
static void draw(void *ctx)
{
    struct output *o = ctx;
    const struct verify *v = &o->verify;
    hfc_autobuf struct hfc_buf line = HFC_BUF(200);
    double share = v->total > 0 ? 100.0 * (double)v->counts.bytes / (double)v->total : 100.0;

    report_add_size(&line, v->counts.read);
    hfc_buf_str(&line, " read of ");
    report_add_size(&line, v->total);
    erase(o);
    fprintf(stderr, "%3.0f %%  %s, %llu bad", share, line.data, (unsigned long long)v->counts.bad);
    (void)fflush(stderr);
    hfc_timer_start(v->in->loop, &o->redraw, REDRAW_MS, draw, o);
}

static const char *const finding_names[] = {"BAD", "FAILED", "NOTE"};

/* "BAD KEY: what is wrong": a line, for grep. */
static void print_finding(enum verify_finding finding, const char *key, const char *text)
{
    printf("%s ", finding_names[finding]);
    print_visible(stdout, key);
    fputs(": ", stdout);
    print_visible(stdout, text);
    putchar('\n');
}

/* Printed as they come: there may be many. */
static void add_finding(struct output *o, enum verify_finding finding, const char *key,
                        const char *text)
{
    json_t *object = need(
        json_pack("{s:s,s:s,s:s}", "finding", finding_names[finding], "key", key, "message", text));

    fputs(o->first ? "\n  " : ",\n  ", stdout);
    (void)json_dumpf(object, stdout, JSON_ENSURE_ASCII);
    json_decref(object);
    o->first = false;
}

static void say(void *ctx, enum verify_finding finding, const char *key, const char *text)
{
    struct output *o = ctx;

    assert(finding < HFC_ARRAY_LEN(finding_names));
    erase(o);
    if (o->json)
        add_finding(o, finding, key, text);
    else
        print_finding(finding, key, text);
    (void)fflush(stdout);
}

/* For people. What was not looked at is no reason to call anything bad, but one to exit with 1. */
static void print_summary(const struct verify_counts *c)
{
    hfc_autobuf struct hfc_buf size = HFC_BUF(64);

    report_add_size(&size, c->read);
    printf("%llu object%s: %llu verified (%s read), %llu bad, %llu unknown",
           (unsigned long long)c->objects, c->objects == 1 ? "" : "s",
           (unsigned long long)c->verified, size.data, (unsigned long long)c->bad,
           (unsigned long long)c->unknown);
    if (c->failed > 0)
        printf(", %llu not looked at", (unsigned long long)c->failed);
    putchar('\n');
}

/* "whole": nothing has ended it early. */
static void print_end(const struct output *o, bool whole)
{
    const struct verify_counts *c = &o->verify.counts;
    json_t *sum = need(json_pack("{s:b,s:I,s:I,s:I,s:I,s:I,s:I}", "whole", whole, "objects",
                                 (json_int_t)c->objects, "verified", (json_int_t)c->verified, "bad",
                                 (json_int_t)c->bad, "unknown", (json_int_t)c->unknown, "failed",
                                 (json_int_t)c->failed, "bytes_read", (json_int_t)c->read));

    fputs("\n ],\n \"summary\": ", stdout);
    (void)json_dumpf(sum, stdout, 0);
    fputs("\n}\n", stdout);
    json_decref(sum);
}

static int verify(struct inspection *in, const struct verify_arguments *a, struct selection *models)
{
    struct output o = {.json = a->json, .first = true, .terminal = isatty(STDERR_FILENO) == 1};
    struct hfc_error err = {0};

    o.verify = (struct verify){.in = in, .models = models, .say = say, .ctx = &o};
    if (a->json)
        fputs("{\"findings\": [", stdout);
    if (o.terminal)
        draw(&o);
    int rc = verify_run(&o.verify, a->jobs, &err);
    hfc_timer_stop(&o.redraw);
    erase(&o);
    if (a->json)
        print_end(&o, rc == 0);
    else if (rc == 0)
        print_summary(&o.verify.counts);
    if (rc < 0) {
        (void)fflush(stdout);
        fprintf(stderr, "hfcache-refresh: %llu of the objects were verified until then\n",
                (unsigned long long)o.verify.counts.verified);
        return inspection_failed(in, &err);
    }
    if (selection_missing(models) != STATUS_OK)
        return STATUS_FAILED;
    return o.verify.counts.bad + o.verify.counts.failed > 0 ? STATUS_FAILED : STATUS_OK;
}

static int run(int argc, char **argv)
{
    static const struct argp argp = {options, parse, "[MODEL...]", doc, NULL, NULL, NULL};
    struct verify_arguments a = {.memory = BUDGET_DEFAULT, .jobs = INSPECTION_JOBS};
    struct selection models;
    struct inspection in;
    int rc = STATUS_FAILED;

    command_parse(&argp, argc, argv, &a);
    if (selection_of(a.words, a.nwords, &models) < 0)
        return STATUS_USAGE;
    const struct inspection_options open = {
        .url = a.url, .use = TARGET_READ, .memory = a.memory, .jobs = a.jobs};
    if (inspection_open(&in, &open) == 0)
        rc = verify(&in, &a, &models);
    inspection_close(&in);
    selection_free(&models);
    return rc;
}

const struct subcommand verify_command = {"verify", "read again and hash what a bucket holds", run};
