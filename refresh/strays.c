/* strays.c: finds and removes uploads that were never completed; see strays.h. */
#include "strays.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "need.h"
#include "pool.h"
#include "upload.h"

enum { AT_ONCE = 8, STRAYS_MAX = 10000 /* the rest is for the next time */ };

static void note_error(struct strays *s, const struct hfc_error *err)
{
    if (err != NULL && s->error.msg[0] == '\0')
        s->error = *err;
}

/* The first error that was noted fails what was done, once all of it has ended. */
static int settled(const struct strays *s, int rc, struct hfc_error *err)
{
    if (rc == 0 && s->error.msg[0] != '\0') {
        *err = s->error;
        return -1;
    }
    return rc;
}

/* Finding. */

static void add(struct strays *s, const char *key, const char *upload_id)
{
    if (s->n == STRAYS_MAX)
        return;
    if ((s->n & (s->n - 1)) == 0)
        s->list = need(reallocarray(s->list, s->n > 0 ? 2 * s->n : 1, sizeof(*s->list)));
    s->list[s->n++] = (struct stray){.all = s,
                                     .key = need_copy(key, strlen(key)),
                                     .upload_id = need_copy(upload_id, strlen(upload_id))};
}

static void upload_listed(void *ctx, const char *key, const char *upload_id, int64_t initiated)
{
    const struct pool_slot *slot = ctx;

    (void)initiated;
    add(slot->user, key, upload_id);
}

static void uploads_listed(void *ctx, const struct hfc_store_reply *reply,
                           const struct hfc_error *err)
{
    struct pool_slot *slot = ctx;

    (void)reply;
    note_error(slot->user, err);
    pool_give(slot);
}

static int look_for_them(struct strays *s, struct pool *pool, struct hfc_error *err)
{
    struct pool_slot *slot = pool_take(pool, err);

    if (slot == NULL)
        return -1;
    slot->user = s;
    (void)hfc_store_list_uploads(s->target->store, "", upload_listed, uploads_listed, slot);
    return settled(s, pool_drain(pool, err), err);
}

static void part_listed(void *ctx, unsigned number, const struct hfc_part *part)
{
    const struct pool_slot *slot = ctx;
    struct stray *s = slot->user;

    (void)number;
    s->bytes += part->size;
}

/* The size is for people; an upload that is gone by now needs none. */
static void parts_listed(void *ctx, const struct hfc_store_reply *reply,
                         const struct hfc_error *err)
{
    (void)reply, (void)err;
    pool_give(ctx);
}

int strays_find(struct strays *s, struct target *t, bool look, struct hfc_error *err)
{
    struct pool_slot *slot;
    struct pool pool;

    *s = (struct strays){.target = t};
    pool_init(&pool, t->loop, AT_ONCE);
    for (size_t i = 0; i < t->nleftovers && !look; i++)
        add(s, t->leftovers[i].key, t->leftovers[i].upload_id);
    if (look && look_for_them(s, &pool, err) < 0)
        return -1;
    for (size_t i = 0; i < s->n && (slot = pool_take(&pool, err)) != NULL; i++) {
        slot->user = &s->list[i];
        (void)hfc_store_list_parts(t->store, s->list[i].key, s->list[i].upload_id, part_listed,
                                   parts_listed, slot);
    }
    return pool_drain(&pool, err);
}

/* Removing. */

static void aborted(void *ctx, const struct hfc_store_reply *reply, const struct hfc_error *err)
{
    struct pool_slot *slot = ctx;
    struct stray *s = slot->user;

    (void)reply;
    assert(s->all->aborted < s->all->n);
    s->all->aborted += err == NULL;
    note_error(s->all, err);
    pool_give(slot);
}

/* Without the lock somebody else may go on with them. */
int strays_abort(struct strays *s, struct hfc_error *err)
{
    const struct target *t = s->target;
    struct pool_slot *slot;
    struct pool pool;

    assert(t->lock != NULL);
    pool_init(&pool, t->loop, AT_ONCE);
    for (size_t i = 0; i < s->n && !t->failed && (slot = pool_take(&pool, err)) != NULL; i++) {
        slot->user = &s->list[i];
        (void)hfc_store_abort(t->store, s->list[i].key, s->list[i].upload_id, aborted, slot);
    }
    int rc = pool_drain(&pool, err);
    if (t->failed)
        note_error(s, &t->error);
    return settled(s, rc, err);
}

void strays_free(struct strays *s)
{
    for (size_t i = 0; i < s->n; i++) {
        free(s->list[i].key);
        free(s->list[i].upload_id);
    }
    free(s->list);
    *s = (struct strays){0};
}
