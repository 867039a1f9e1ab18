/* loop_internal.h: what http.c needs of a loop: transfers on its curl multi handle.
 *
 * While curl runs (hfc_loop_in_curl()), functions that curl calls must not come here: what they
 * start or end has to wait for a timer.
 */
#ifndef HFC_LOOP_INTERNAL_H
#define HFC_LOOP_INTERNAL_H

#include <curl/curl.h>
#include <stdbool.h>

#include "loop.h"

/* A transfer is a member of its owner's struct. done() is called from the loop, outside of curl,
 * once curl has nothing more to do for it; the owner removes it then, or whenever it likes. */
struct hfc_transfer {
    CURL *easy;
    bool added;
    void (*done)(struct hfc_transfer *t, CURLcode rc);
};

CURLMcode hfc_loop_add(struct hfc_loop *loop, struct hfc_transfer *t);

/* Does nothing if it was not added. A transfer under way loses its connection. */
void hfc_loop_remove(struct hfc_loop *loop, struct hfc_transfer *t);

/* Goes on in both directions; curl may call the transfer's functions meanwhile. */
CURLcode hfc_loop_unpause(struct hfc_loop *loop, struct hfc_transfer *t);

/* Whether curl is running, which is: whether the caller has been called by curl. */
bool hfc_loop_in_curl(const struct hfc_loop *loop);

/* A client that may have so many connections open at once came, or went. */
void hfc_loop_connections(struct hfc_loop *loop, unsigned more, unsigned less);

#endif
