/* bytes.c: amounts as people write them; see command_bytes() in command.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "command.h"

/* What a unit stands for; 0: it is none. */
static uint64_t unit_bytes(const char *unit)
{
    static const struct {
        const char *name;
        uint64_t bytes;
    } units[] = {{"", 1},
                 {"k", 1000},
                 {"K", 1000},
                 {"M", 1000000},
                 {"G", 1000000000},
                 {"T", 1000000000000},
                 {"Ki", 1ULL << 10},
                 {"Mi", 1ULL << 20},
                 {"Gi", 1ULL << 30},
                 {"Ti", 1ULL << 40}};

    for (size_t i = 0; i < HFC_ARRAY_LEN(units); i++)
        if (strcmp(unit, units[i].name) == 0)
            return units[i].bytes;
    return 0;
}

bool command_bytes(const char *text, uint64_t *bytes)
{
    char *unit;

    errno = 0;
    unsigned long long n = strtoull(text, &unit, 10);
    uint64_t factor = unit_bytes(unit);
    if (*text < '0' || *text > '9' || factor == 0 || errno != 0 || n > UINT64_MAX / factor)
        return false;
    *bytes = (uint64_t)n * factor;
    return true;
}
