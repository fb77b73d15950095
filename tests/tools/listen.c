/* SPDX-License-Identifier: MIT */
/*
 * Sockets that a test needs:
 *
 *     listen FILE SOCKET...
 *
 * SOCKET is TRANSPORT,ADDRESS,PORT[,PEER,PORT]: "tcp,0.0.0.0,80", "udp,::,53". TRANSPORT is
 *   tcp      listens; connections are accepted by the kernel and never read
 *   tcpidle  bound only
 *   udp      bound, or with a peer: connected
 * with "-" before it if SIGUSR1 is to close it. PORT 0 lets the kernel choose, and
 * "FIRST-LAST" is a socket for each. ADDRESS need not be one of this host. An IPv6 address
 * is for IPv6 only unless it is mapped IPv4.
 *
 * All are open when FILE says "open", those of SIGUSR1 closed when it says "closed";
 * SIGTERM ends it.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define CLOSING_MOST 4096
#define FILES_LEAST  4096

static int closing[CLOSING_MOST];
static unsigned closing_number;

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* Returns the length, 0: not an address. */
static socklen_t address_of(union address *out, const char *text, unsigned port) {
    memset(out, 0, sizeof(*out));
    if (inet_pton(AF_INET, text, &out->v4.sin_addr) == 1) {
        out->v4.sin_family = AF_INET;
        out->v4.sin_port = htons(port);
        return sizeof(out->v4);
    }
    if (inet_pton(AF_INET6, text, &out->v6.sin6_addr) == 1) {
        out->v6.sin6_family = AF_INET6;
        out->v6.sin6_port = htons(port);
        return sizeof(out->v6);
    }
    return 0;
}

/* Returns the socket, or -1 with errno. */
static int open_socket(const char *transport, const union address *here, socklen_t here_length,
                       const union address *peer, socklen_t peer_length) {
    int family = here->any.sa_family, one = 1, zero = 0;
    int fd = socket(family, *transport == 'u' ? SOCK_DGRAM : SOCK_STREAM, 0);

    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &one, sizeof(one));
    if (family == AF_INET6) {
        int *only = IN6_IS_ADDR_V4MAPPED(&here->v6.sin6_addr) ? &zero : &one;

        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, only, sizeof(*only));
        setsockopt(fd, IPPROTO_IPV6, IPV6_FREEBIND, &one, sizeof(one));
    }
    if (bind(fd, &here->any, here_length) ||
        (peer_length && connect(fd, &peer->any, peer_length)) ||
        (!strcmp(transport, "tcp") && listen(fd, 128))) {
        close(fd);
        return -1;
    }
    return fd;
}

/* Opens what one argument asks for. Returns 0, or 2 after saying what is wrong. */
static int open_all(const char *text) {
    char transport[8], address[64], peer_address[64];
    unsigned first, last, peer_port;
    union address here, peer;
    socklen_t peer_length = 0;
    int closes = *text == '-', got;

    got = sscanf(text + closes, "%7[a-z],%63[^,],%u-%u", transport, address, &first, &last);
    if (got == 3) {
        last = first;
        if (sscanf(text + closes, "%*[a-z],%*[^,],%*u,%63[^,],%u", peer_address, &peer_port) == 2)
            peer_length = address_of(&peer, peer_address, peer_port);
    }
    if (got < 3) {
        fprintf(stderr, "listen: what is %s?\n", text);
        return 2;
    }
    for (unsigned port = first; port <= last; port++) {
        socklen_t length = address_of(&here, address, port);
        int fd = length ? open_socket(transport, &here, length, &peer, peer_length) : -1;

        if (fd < 0) {
            fprintf(stderr, "listen: %s, port %u: ", text, port);
            perror(NULL);
            return 2;
        }
        if (closes && closing_number < CLOSING_MOST)
            closing[closing_number++] = fd;
    }
    return 0;
}

static void tell(const char *path, const char *what) {
    FILE *file = fopen(path, "w");

    if (!file)
        return;
    fprintf(file, "%s\n", what);
    fclose(file);
}

int main(int argc, char **argv) {
    struct rlimit files = {0};
    int signal_number = 0;
    sigset_t signals;

    if (argc < 3) {
        fprintf(stderr, "usage: listen FILE SOCKET...\n");
        return 2;
    }
    getrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_max < FILES_LEAST) /* root may raise it */
        files.rlim_max = FILES_LEAST;
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGUSR1);
    sigprocmask(SIG_BLOCK, &signals, NULL);

    for (int i = 2; i < argc; i++) {
        int status = open_all(argv[i]);

        if (status)
            return status;
    }
    tell(argv[1], "open");
    while (sigwait(&signals, &signal_number) == 0 && signal_number == SIGUSR1) {
        for (unsigned i = 0; i < closing_number; i++)
            close(closing[i]);
        closing_number = 0;
        tell(argv[1], "closed");
    }
    return 0;
}
