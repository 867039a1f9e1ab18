/* generated.c: what `generate` and `check` have in common; see generated.h. */
#include "generated.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"

int generated_parse(const struct command *self, int argc, char **argv, struct generated_flags *f)
{
    enum { O_OUT = 1, O_IMAGE, O_ROOT, O_CLUSTERS, O_QUIET };
    static const struct option options[] = {{"out", required_argument, NULL, O_OUT},
                                            {"image", required_argument, NULL, O_IMAGE},
                                            {"root", required_argument, NULL, O_ROOT},
                                            {"clusters", required_argument, NULL, O_CLUSTERS},
                                            {"quiet", no_argument, NULL, O_QUIET},
                                            OPT_HELP,
                                            {0}};
    int n = 0;

    *f = (struct generated_flags){.image = getenv("RUNNER_IMAGE"), .argv = argv};
    const char **targets[] = {NULL, &f->out, &f->image, &f->paths.root, &f->paths.clusters_yaml};
    for (;;) {
        int opt;
        while ((opt = cli_next(self, argc, argv, options)) != -1) {
            if (opt == '?' || opt == 'h')
                return opt == '?' ? EXIT_USAGE : -1;
            if (opt == O_QUIET)
                f->quiet = true;
            else
                *targets[opt] = optarg;
        }
        if (optind >= argc)
            break;
        assert(n < optind);
        argv[n++] = argv[optind++];
    }
    f->argc = n;
    cli_env_paths(&f->paths);
    return EXIT_OK;
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
