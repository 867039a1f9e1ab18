/* generated.c: what `generate` and `check` have in common; see generated.h. */
#include "generated.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"

int generated_parse(const struct command *self, int argc, char **argv, struct generated_flags *f)
{
    const struct cli_option options[] = {{"out", &f->out, NULL},
                                         {"image", &f->image, NULL},
                                         {"quiet", NULL, &f->quiet},
                                         CLI_TREE_OPTIONS(&f->paths),
                                         {0}};

    *f = (struct generated_flags){.image = getenv("RUNNER_IMAGE"), .argv = argv};
    int rc = cli_parse(self, argc, argv, options, false, &f->argc);
    cli_env_paths(&f->paths);
    return rc;
}

int generated_guard(const char *dir, struct hfc_error *err)
{
    hfc_autoclosedir DIR *d = opendir(dir);
    const struct dirent *e;
    bool empty = true;

    if (d == NULL)
        return errno == ENOENT ? 0 : hfc_error_set(err, errno, "%s", dir);
    while ((e = readdir(d)) != NULL) {
        if (strcmp(e->d_name, GENERATED_MARK) == 0)
            return 0;
        empty &= strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
    }
    if (empty)
        return 0;
    return hfc_error_set(err, 0,
                         "%s holds files but not the mark %s: it was not written by hfcache-gen "
                         "and will not be replaced; choose another --out",
                         dir, GENERATED_MARK);
}
