/* address.c: listening sockets; see address.h. */
#include "address.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "cleanup.h"

enum { BACKLOG = 8, HOST_MAX = 256, PORT_MAX = 65535 };

/* Takes "HOST:PORT", "[V6]:PORT" or ":PORT" apart. */
static int split(const char *address, char host[HOST_MAX], const char **port, struct hfc_error *err)
{
    const char *colon = strrchr(address, ':');
    size_t n = colon != NULL ? (size_t)(colon - address) : 0;

    if (colon == NULL || n >= HOST_MAX || colon[1] == '\0' || strlen(colon + 1) > 5 ||
        strspn(colon + 1, "0123456789") != strlen(colon + 1) ||
        strtoul(colon + 1, NULL, 10) > PORT_MAX)
        return hfc_error_set(err, 0, "expected ADDRESS:PORT, such as 127.0.0.1:9464");
    if (n >= 2 && address[0] == '[' && address[n - 1] == ']') {
        address++;
        n -= 2;
    } else if (memchr(address, ':', n) != NULL) {
        return hfc_error_set(err, 0, "an IPv6 address has to stand in brackets");
    }
    memcpy(host, address, n);
    host[n] = '\0';
    *port = colon + 1;
    return 0;
}

/* A listening socket, or -1 with errno. Both families where the address is that of all. */
static int listen_at(const struct addrinfo *a)
{
    hfc_autoclose int fd =
        socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);
    const int on = 1, off = 0;

    if (fd < 0)
        return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (a->ai_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    if (bind(fd, a->ai_addr, a->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0)
        return -1;
    return hfc_steal_fd(&fd);
}

static int listen_on(const char *host, const char *port, struct hfc_error *err)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC,
                                   .ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    int fd = -1;

    int rc = getaddrinfo(host, port, &hints, &list);
    if (rc != 0)
        return hfc_error_set(err, 0, "%s", gai_strerror(rc));
    for (const struct addrinfo *a = list; a != NULL && fd < 0; a = a->ai_next)
        fd = listen_at(a);
    rc = errno;
    freeaddrinfo(list);
    return fd >= 0 ? fd : hfc_error_set(err, rc, "can't listen");
}

/* Port 0 was the kernel's choice. */
static unsigned port_of(int fd)
{
    struct sockaddr_storage address = {0};
    socklen_t n = sizeof(address);

    if (getsockname(fd, (struct sockaddr *)&address, &n) < 0)
        return 0;
    if (address.ss_family == AF_INET6)
        return ntohs(((const struct sockaddr_in6 *)(const void *)&address)->sin6_port);
    return ntohs(((const struct sockaddr_in *)(const void *)&address)->sin_port);
}

int hfc_listen(const char *address, unsigned *port, struct hfc_error *err)
{
    char host[HOST_MAX];
    const char *number = NULL;
    int fd;

    if (split(address, host, &number, err) < 0)
        return -1;
    if (host[0] != '\0') {
        fd = listen_on(host, number, err);
    } else {
        /* All of both families, or all of IPv4's where there is no IPv6. */
        fd = listen_on("::", number, err);
        if (fd < 0)
            fd = listen_on("0.0.0.0", number, err);
    }
    if (fd >= 0)
        *port = port_of(fd);
    return fd;
}
