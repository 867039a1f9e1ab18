/* privileges.c: what the keeper keeps, and how a list of system calls comes into force; see
 * privileges.h. No state.
 */
#include "privileges.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include <cap-ng.h>

#include "cleanup.h"
#include "privileges_internal.h"
#include "shared.h"

/* SYS_ADMIN mounts, unmounts and registers backing files; SETGID gives the socket its group;
 * IPC_LOCK keeps the shared memory from being swapped; the others are for `run`, which starts
 * workers. */
static const unsigned kept[] = {CAP_SYS_ADMIN, CAP_SETUID, CAP_SETGID, CAP_KILL, CAP_IPC_LOCK};

int privileges_keeper(struct hfc_error *err)
{
    bool have[HFC_ARRAY_LEN(kept)];

    if (capng_get_caps_process() < 0 || !capng_have_capability(CAPNG_EFFECTIVE, CAP_SYS_ADMIN))
        return hfc_error_set(err, EPERM,
                             "mounting needs CAP_SYS_ADMIN: start this as root, or give the "
                             "container that capability");
    bool bounds = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP);
    for (unsigned i = 0; i < HFC_ARRAY_LEN(kept); i++)
        have[i] = capng_have_capability(CAPNG_PERMITTED, kept[i]);
    capng_clear(CAPNG_SELECT_BOTH);
    for (unsigned i = 0; i < HFC_ARRAY_LEN(kept); i++)
        if (have[i])
            (void)capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET,
                               kept[i]);
    if (capng_apply(bounds ? CAPNG_SELECT_BOTH : CAPNG_SELECT_CAPS) < 0 ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return hfc_error_set(err, errno, "giving up privileges");
    return 0;
}

#ifdef HFC_SANITIZED
int privileges_load(const int *calls, unsigned n, const struct allowed_if *ifs, unsigned n_ifs,
                    struct hfc_error *err)
{
    (void)calls;
    (void)n;
    (void)ifs;
    (void)n_ifs;
    (void)err;
    return 0;
}
#else
static void release(scmp_filter_ctx *ctx)
{
    if (*ctx != NULL)
        seccomp_release(*ctx);
}

int privileges_load(const int *calls, unsigned n, const struct allowed_if *ifs, unsigned n_ifs,
                    struct hfc_error *err)
{
    __attribute__((cleanup(release))) scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
    int rc = ctx == NULL ? -ENOMEM : seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);

    /* A call that this architecture hasn't is left out without an error. */
    for (unsigned i = 0; i < n && rc == 0; i++)
        rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, calls[i], 0);
    for (unsigned i = 0; i < n_ifs && rc == 0; i++)
        rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, ifs[i].call, 1,
                              SCMP_CMP(ifs[i].arg, SCMP_CMP_MASKED_EQ, ifs[i].mask, ifs[i].value));
    if (rc == 0)
        rc = seccomp_load(ctx);
    assert(rc <= 0);
    return rc == 0 ? 0 : hfc_error_set(err, -rc, "giving up system calls (seccomp)");
}
#endif

/* Whoever reads this wants to know what a keeper that is taken over could still do. */
static const int keeper_calls[] = {
    /* the loop, and frames on links that were accepted: no new socket, no connect */
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(accept4),
    SCMP_SYS(recvmsg),
    SCMP_SYS(sendmsg),
    SCMP_SYS(getsockopt),
    SCMP_SYS(read),
    SCMP_SYS(write),
    SCMP_SYS(writev),
    SCMP_SYS(close),
    /* the shared memory: a new arena */
    SCMP_SYS(memfd_create),
    SCMP_SYS(ftruncate),
    SCMP_SYS(fcntl),
    SCMP_SYS(mlock),
    /* workers: their end, and `pid` of a pidfd in /proc */
    SCMP_SYS(wait4),
    SCMP_SYS(waitid),
    SCMP_SYS(pidfd_send_signal),
    /* unmounting: mountinfo, the folder of the mount point, the socket's name */
    SCMP_SYS(umount2),
    SCMP_SYS(unlink),
    SCMP_SYS(unlinkat),
    SCMP_SYS(stat),
    SCMP_SYS(lstat),
    SCMP_SYS(fstat),
    SCMP_SYS(newfstatat),
    SCMP_SYS(statx),
    SCMP_SYS(readlink),
    SCMP_SYS(readlinkat),
    SCMP_SYS(lseek),
    SCMP_SYS(getcwd),
    /* memory of the C library */
    SCMP_SYS(brk),
    SCMP_SYS(mmap),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(madvise),
    SCMP_SYS(futex),
    SCMP_SYS(getrandom),
    /* signals and the end */
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(tgkill),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    /* the clock, where it is no function of the vDSO; who am I */
    SCMP_SYS(clock_gettime),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(time),
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    SCMP_SYS(geteuid),
};

static const struct allowed_if keeper_ifs[] = {
    /* backing files of passthrough; the C library asks whether stderr is a terminal */
    {SCMP_SYS(ioctl), 1, UINT32_MAX, FUSE_DEV_IOC_BACKING_OPEN},
    {SCMP_SYS(ioctl), 1, UINT32_MAX, FUSE_DEV_IOC_BACKING_CLOSE},
    {SCMP_SYS(ioctl), 1, UINT32_MAX, TCGETS},
    /* `status` and the like are connected with the worker */
    {SCMP_SYS(socketpair), 0, UINT32_MAX, AF_UNIX},
    /* files are read only */
    {SCMP_SYS(open), 1, O_ACCMODE | O_CREAT | O_TRUNC, O_RDONLY},
    {SCMP_SYS(openat), 2, O_ACCMODE | O_CREAT | O_TRUNC, O_RDONLY},
};

/* Builds that count coverage write files when they end. */
extern void __gcov_exit(void) __attribute__((weak));
static const struct allowed_if coverage_ifs[] = {
    {SCMP_SYS(openat), 2, O_CREAT, O_CREAT},
    {SCMP_SYS(openat), 2, O_RDWR, O_RDWR},
};

int privileges_keeper_filter(struct hfc_error *err)
{
    struct allowed_if ifs[HFC_ARRAY_LEN(keeper_ifs) + HFC_ARRAY_LEN(coverage_ifs)];
    unsigned n = 0;

    for (unsigned i = 0; i < HFC_ARRAY_LEN(keeper_ifs); i++)
        ifs[n++] = keeper_ifs[i];
    for (unsigned i = 0; i < HFC_ARRAY_LEN(coverage_ifs) && __gcov_exit != NULL; i++)
        ifs[n++] = coverage_ifs[i];
    return privileges_load(keeper_calls, HFC_ARRAY_LEN(keeper_calls), ifs, n, err);
}
