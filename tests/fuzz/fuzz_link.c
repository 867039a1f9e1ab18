/* fuzz_link.c: receives arbitrary packets with arbitrary numbers of descriptors.
 *
 * Input: a byte whose low bits are the number of descriptors, and whose bit 7 asks for a right
 * head; then the packet. Checked: no crash, a frame that is accepted is whole, of a known kind and
 * has its texts ended, and no descriptor stays open but those that were handed out.
 */
#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "link.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FDS_SENT_MAX = 7, PACKET_MAX = 2 * sizeof(struct link_frame) };

static int ends[2];
static struct link_frame head; /* as link_send() fills it */
static int first_free;         /* the lowest descriptor number that is free between inputs */

static int lowest_free(void)
{
    int fd = dup(ends[0]);

    (void)close(fd);
    return fd;
}

static void start(void)
{
    struct hfc_error err;
    int fds[LINK_FDS_MAX];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0 ||
        link_send(ends[0], LINK_STATUS, &head, NULL, 0, &err) < 0 ||
        link_receive(ends[1], &head, fds, &err) != 1)
        abort();
    first_free = lowest_free();
}

static void send_packet(uint8_t *packet, size_t size, unsigned n_fds)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * FDS_SENT_MAX)];
    } control = {0};
    struct iovec iov = {packet, size};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

    if (n_fds > 0) {
        msg.msg_control = &control;
        msg.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
        control.align.cmsg_level = SOL_SOCKET;
        control.align.cmsg_type = SCM_RIGHTS;
        control.align.cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
        for (unsigned i = 0; i < n_fds; i++)
            memcpy(CMSG_DATA(&control.align) + i * sizeof(int), &ends[0], sizeof(int));
    }
    if (sendmsg(ends[0], &msg, 0) != (ssize_t)size)
        abort();
}

static void check_received(void)
{
    struct link_frame frame;
    struct hfc_error err = {0};
    int fds[LINK_FDS_MAX];
    int rc = link_receive(ends[1], &frame, fds, &err);

    assert(rc == 0 || rc == 1 || err.errnum == EPROTO);
    if (rc == 1) {
        assert(frame.kind > 0 && frame.kind < LINK_KINDS && frame.magic == head.magic);
        assert(memchr(frame.text, '\0', sizeof(frame.text)) != NULL);
        assert(memchr(frame.state.version, '\0', sizeof(frame.state.version)) != NULL);
        assert(memchr(frame.state.mountpoint, '\0', sizeof(frame.state.mountpoint)) != NULL);
    }
    for (unsigned i = 0; i < LINK_FDS_MAX; i++) {
        assert(rc == 1 || fds[i] == -1);
        if (fds[i] >= 0)
            (void)close(fds[i]);
    }
    assert(lowest_free() == first_free);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t packet[PACKET_MAX];

    if (first_free == 0)
        start();
    if (size < 1 || size - 1 > sizeof(packet))
        return 0;
    memcpy(packet, data + 1, size - 1);
    if ((data[0] & 0x80) != 0 && size - 1 >= offsetof(struct link_frame, kind))
        memcpy(packet, &head, offsetof(struct link_frame, kind));
    send_packet(packet, size - 1, data[0] & FDS_SENT_MAX);
    check_received();
    return 0;
}
