/* address.h: a listening socket for an address as people write it.
 *
 * Threads: no state. A name is looked up by the system's resolver, which may wait.
 */
#ifndef HFC_ADDRESS_H
#define HFC_ADDRESS_H

#include "error.h"

/* Listens (TCP, non-blocking, close-on-exec) at "HOST:PORT", "[V6]:PORT" or ":PORT", the last of
 * which is all addresses of both families. Port 0 is the kernel's choice. Returns the descriptor;
 * *port gets the port. The message does not name the address; errnum is EADDRINUSE if it is taken.
 */
int hfc_listen(const char *address, unsigned *port, struct hfc_error *err);

#endif
