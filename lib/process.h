/* process.h: which process has left a thing behind, and whether it is still there.
 *
 * A process is known by the machine's boot, its PID namespace, its number and its start time, as
 * numbers are used again. A process in another namespace can't be seen from here.
 *
 * Threads: no state; safe from any thread.
 */
#ifndef HFC_PROCESS_H
#define HFC_PROCESS_H

#include <stdbool.h>

enum { HFC_PROCESS_SIZE = 160 };

/* "BOOT/PID NAMESPACE/PID/START TIME" of this process; "" if one of them can't be found out. */
void hfc_process_self(char to[HFC_PROCESS_SIZE]);

/* Whether the process was started on this boot of this machine, in this PID namespace, and is gone.
 * Of all others nothing is known. */
bool hfc_process_gone(const char *process);

#endif
