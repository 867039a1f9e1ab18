/* report_parts.h: what the files of the report offer each other. For report*.c and their tests
 * only.
 *
 *   report.c           life, events, what is kept of them
 *   report_say.c       lines: files, models, buckets, the summary
 *   report_terminal.c  the block at the bottom of a terminal, rates
 *   report_text.c      sizes, rates and times as people read them
 *   report_json.c      the JSON file               report_prom.c   Prometheus' text
 *   report_serve.c     GET /metrics                report_push.c   PUT to a Pushgateway
 */
#ifndef REFRESH_REPORT_PARTS_H
#define REFRESH_REPORT_PARTS_H

#include "report_internal.h"

uint64_t report_sum(const struct report *r, bool bytes, enum file_outcome outcome);
uint64_t report_s3_requests(const struct report *r);
uint64_t report_failure_count(const struct report *r);
int64_t report_elapsed_ms(const struct report *r);

/* report_text.c: append "1.2 GiB", "105 MB/s", "3 min 20 s". */
void report_add_size(struct hfc_buf *out, uint64_t bytes);
void report_add_rate(struct hfc_buf *out, double bytes_per_second);
void report_add_time(struct hfc_buf *out, int64_t ms);
void report_add_utc(struct hfc_buf *out, time_t t);

/* report_say.c: a line to stderr (or stdout), above the block, made visible. */
void report_put(struct report *r, FILE *to, const char *text);
void report_say_file(struct report *r, const struct file_report *f);
void report_say_model(struct report *r, const struct model_report *m);
void report_say_buckets(struct report *r);
void report_say_summary(struct report *r);

/* report_terminal.c */
bool report_is_terminal(void);
void report_rate_update(struct report_rate *rate, uint64_t value, int64_t now);
void report_add_totals(const struct report *r, struct hfc_buf *out);
void report_draw(struct report *r);
void report_erase(struct report *r);
void report_start_ticking(struct report *r);

/* report_json.c, report_prom.c: the whole text; `old` is what the file said before, or "". */
void report_json_text(const struct report *r, struct hfc_buf *out);
void report_prom_text(const struct report *r, const char *old, struct hfc_buf *out);

/* report_serve.c, report_push.c */
struct report_server *report_serve(struct report *r, const char *address, struct hfc_error *err);
unsigned report_server_port(const struct report_server *s);
void report_server_free(struct report_server *s);
struct report_pusher *report_pusher_new(struct report *r, const char *url, struct hfc_error *err);
/* The last one; waits for it. -1: it was not taken. */
int report_push_last(struct report_pusher *p, struct hfc_error *err);
void report_pusher_free(struct report_pusher *p);

#endif
