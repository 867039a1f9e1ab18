/* cleanup.h: scope-bound release of memory, descriptors and folders.
 *
 * A variable declared with one of these attributes is released when its scope ends, whichever way
 * it ends. Initialise it where it is declared; hand the value on with hfc_steal_ptr() or
 * hfc_steal_fd() when ownership leaves the scope.
 */
#ifndef HFC_CLEANUP_H
#define HFC_CLEANUP_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define hfc_autofree __attribute__((cleanup(hfc_cleanup_free)))
#define hfc_autoclose __attribute__((cleanup(hfc_cleanup_close)))
#define hfc_autoclosedir __attribute__((cleanup(hfc_cleanup_closedir)))

static inline void hfc_cleanup_free(void *p)
{
    free(*(void **)p);
}

static inline void hfc_cleanup_close(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
}

static inline void hfc_cleanup_closedir(DIR **d)
{
    if (*d != NULL)
        (void)closedir(*d);
}

/* The descriptor is the caller's from here on; the variable no longer closes it. */
static inline int hfc_steal_fd(int *fd)
{
    int taken = *fd;

    *fd = -1;
    return taken;
}

#define hfc_steal_ptr(p)                                                                           \
    ({                                                                                             \
        __typeof__(*(p)) taken_ = *(p);                                                            \
        *(p) = NULL;                                                                               \
        taken_;                                                                                    \
    })

#define HFC_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#endif
