/* control_drop.c: takes models out of the cache; see control.h.
 *
 * Whatever the cache has of a model goes, also versions that the tree no longer knows: so the
 * cache's ids are walked and each blob's key is looked at, some at a turn.
 *
 * Threads: the loop's.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "control_internal.h"
#include "model_walk.h"
#include "need.h"

enum { IDS_A_TURN = 32 };

void drop_start(struct drop *d, json_t *models)
{
    size_t n = json_array_size(models);

    assert(d->models == NULL && n > 0);
    *d = (struct drop){.models = json_incref(models),
                       .bytes = need(calloc(n, sizeof(*d->bytes))),
                       .objects = need(calloc(n, sizeof(*d->objects)))};
}

void drop_end(struct drop *d)
{
    json_decref(d->models);
    free(d->bytes);
    free(d->objects);
    *d = (struct drop){.models = NULL};
}

/* The model that a key belongs to; their number if to none of them. */
static size_t model_of(const struct drop *d, const char *key)
{
    size_t n = json_array_size(d->models), i = 0;
    char folder[MODEL_FOLDER_MAX];

    for (; i < n; i++) {
        const char *name = json_string_value(json_array_get(d->models, i));
        if (walk_folder(name, folder, NULL) < 0)
            continue;
        size_t len = strlen(folder);
        if (strncmp(key, folder, len) == 0 && key[len] == '/')
            break;
    }
    return i;
}

static void drop_one(struct control *c, struct drop *d, uint64_t id)
{
    struct blob *b = blob_use_cached(c->config.cache, id);
    size_t i = b != NULL ? model_of(d, blob_info(b)->key) : SIZE_MAX;
    uint64_t bytes = 0;

    if (b != NULL && i < json_array_size(d->models) && cache_has(c->config.cache, id, &bytes)) {
        blob_drop(b);
        engine_forget(c->config.engine, id);
        d->objects[i]++;
        d->bytes[i] += bytes;
    }
    blob_done(b);
}

static bool is_known(struct control *c, const char *name)
{
    struct nametree *t = catalog_tree(c->config.catalog);
    char folder[MODEL_FOLDER_MAX], path[HFC_KEY_MAX + 1] = "";
    struct node n;
    bool known = walk_folder(name, folder, NULL) == 0 && model_next(t, folder, path, &n);

    nametree_unref(t);
    return known;
}

static void tell(struct control *c, struct control_client *client)
{
    struct drop d = client->drop;
    size_t n = json_array_size(d.models), unknown = 0;

    client->drop = (struct drop){.models = NULL}; /* whoever hangs up leaves it alone */
    for (size_t i = 0; i < n; i++) {
        json_t *name = json_array_get(d.models, i);
        json_t *done = need(json_pack("{s:O,s:I,s:I}", "model", name, "objects",
                                      (json_int_t)d.objects[i], "bytes", (json_int_t)d.bytes[i]));
        if (d.objects[i] == 0 && !is_known(c, json_string_value(name))) {
            unknown++;
            (void)json_object_set_new(
                done, "error",
                json_string("there is no such model, neither in the store nor in the cache"));
        }
        control_say(c, client, json_pack("{s:o}", "done", done));
    }
    if (client->fd >= 0)
        control_end(c, client, json_object(),
                    unknown > 0 ? "some of the models are not known" : NULL);
    drop_end(&d);
}

void drop_turn(struct control *c, struct control_client *client)
{
    struct drop *d = &client->drop;
    uint64_t ids[IDS_A_TURN];
    unsigned n = cache_ids(c->config.cache, d->after, ids, IDS_A_TURN);

    for (unsigned i = 0; i < n; i++) {
        drop_one(c, d, ids[i]);
        d->after = ids[i];
    }
    if (n > 0)
        control_again(c);
    else
        tell(c, client);
}
