/* worker_health.c: alive? ready? Owns nothing; called on the listener's thread and, for the gauge,
 * on the loop's.
 *
 * Alive is a worker whose loop comes round and whose threads answer requests: that of the prober.
 * All of them may wait for room while PARKED_SLOTS reads wait for a store that is away: nothing is
 * wrong with the worker then. Ready is one whose mount shows names and can get what is behind them.
 */
#include "metrics.h"
#include "worker_internal.h"

enum { NS_PER_MS = 1000000, MS_PER_S = 1000 };

bool health_live(const struct health *h, struct hfc_buf *why)
{
    if (h->beat_ms >= BEAT_MAX_MS) {
        hfc_buf_printf(why, "the loop has not come round for %lld s",
                       (long long)h->beat_ms / MS_PER_S);
        return false;
    }
    if (h->serving && !h->draining && !h->full && h->probe_ms >= BEAT_MAX_MS) {
        hfc_buf_printf(why, "no request through the mount was answered for %lld s",
                       (long long)h->probe_ms / MS_PER_S);
        return false;
    }
    hfc_buf_str(why, "alive");
    return true;
}

bool health_ready(const struct health *h, struct hfc_buf *why)
{
    const char *what = NULL;

    if (h->draining)
        what = "draining: another worker is to take over";
    else if (!h->serving)
        what = "no requests are taken yet";
    else if (!h->has_tree)
        what = "the names are not known yet: neither the store nor the cache has told them";
    else if (h->refused)
        what = "the store refuses the credentials";
    else if (!h->probed)
        what = "a read through the mount was not answered in time";
    hfc_buf_str(why, what != NULL ? what : "ready");
    return what == NULL;
}

static int64_t ms_since(uint64_t ns, uint64_t now)
{
    return now > ns ? (int64_t)((now - ns) / NS_PER_MS) : 0;
}

static void look(struct serving *w, struct health *h)
{
    uint64_t now = clock_ns();
    struct nametree *tree = catalog_tree(w->catalog);
    int64_t age = w->prober != NULL ? prober_age_ms(w->prober) : -1;

    *h = (struct health){
        .serving = atomic_load(&w->serving),
        .draining = atomic_load(&w->draining),
        .has_tree = tree != NULL,
        .probed = w->prober != NULL && prober_ready(w->prober),
        .full = session_parked(w->session) >= PARKED_SLOTS,
        .refused = atomic_load(&w->refused_look) || atomic_load(&w->refused_fetch),
        .beat_ms = ms_since(atomic_load(&w->beat), now),
        .probe_ms = age >= 0 ? age : ms_since(atomic_load(&w->began), now),
    };
    nametree_unref(tree);
}

bool worker_live(void *serving, struct hfc_buf *why)
{
    struct health h;

    look(serving, &h);
    return health_live(&h, why);
}

bool worker_ready(void *serving, struct hfc_buf *why)
{
    struct health h;

    look(serving, &h);
    return health_ready(&h, why);
}
