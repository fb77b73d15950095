/* SPDX-License-Identifier: MIT */
/*
 * Traffic by the kernel's own stacks, so with GSO, of known size:
 *
 *     stream serve tcp|sctp PORT
 *         listens, then continues in the background: serves one connection to its end.
 *     stream sink PORT...
 *         the same for UDP, any number of datagrams, with UDP_GRO. Both print the pid
 *         that stays.
 *     stream tcp|sctp SOURCE ADDRESS PORT BYTES [SIZE]
 *         sends BYTES to a server. SIZE: the MSS, or for SCTP the message's size.
 *         Prints how many bytes of payload were sent, retransmitted ones included
 *         (tcp), and waits until both sides have closed.
 *     stream udp SOURCE ADDRESS PORT COUNT SIZE [SEGMENT [forged]]
 *         sends COUNT times SIZE bytes; the kernel cuts each into datagrams of SEGMENT
 *         bytes (UDP_SEGMENT). Prints how many datagrams that makes. forged: SIZE bytes, 15,000
 *         or more, look like one packet of VXLAN, with IPv6 and TCP and as many headers as can be.
 *
 * SOURCE is the port to send from. ADDRESS is IPv4 or IPv6.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "background.h"

/* linux/udp.h and linux/sctp.h */
#define SEGMENT_OPTION 103
#define GRO_OPTION     104
#define SCTP_NODELAY   3

#define PATIENCE 60 /* seconds after which one that sends gives up */

static char data[256 * 1024];

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static socklen_t length_of(const union address *address) {
    return address->any.sa_family == AF_INET ? sizeof(address->v4) : sizeof(address->v6);
}

/* "::" takes both families. */
static union address address_of(const char *text, const char *port) {
    union address address = {0};
    __be16 number = htons(strtoul(port, NULL, 10));

    if (inet_pton(AF_INET, text, &address.v4.sin_addr) == 1) {
        address.v4.sin_family = AF_INET;
        address.v4.sin_port = number;
    } else {
        errno = EINVAL;
        must(inet_pton(AF_INET6, text, &address.v6.sin6_addr) == 1, text);
        address.v6.sin6_family = AF_INET6;
        address.v6.sin6_port = number;
    }
    return address;
}

/* A socket of the family of `like`, bound to a port; several may share one. */
static int bound(const char *transport, const union address *like, const char *port) {
    int tcp = !strcmp(transport, "tcp"), udp = !strcmp(transport, "udp"), yes = 1;
    union address here = address_of(like->any.sa_family == AF_INET ? "0.0.0.0" : "::", port);
    int fd = socket(here.any.sa_family, udp ? SOCK_DGRAM : SOCK_STREAM,
                    tcp   ? IPPROTO_TCP
                    : udp ? IPPROTO_UDP
                          : IPPROTO_SCTP);

    must(fd >= 0, "socket");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    must(bind(fd, &here.any, length_of(&here)) == 0, "bind");
    return fd;
}

static int serve(const char *transport, const char *port) {
    union address any = address_of("::", port);
    int fd = bound(transport, &any, port), peer;

    must(listen(fd, 1) == 0, "listen");
    to_background();
    peer = accept(fd, NULL, NULL);
    must(peer >= 0, "accept");
    while (read(peer, data, sizeof(data)) > 0)
        ;
    return 0;
}

static int sink(char **ports, int number) {
    union address any = address_of("::", "0");

    for (int i = 0; i < number; i++) {
        int fd = bound("udp", &any, ports[i]), yes = 1;

        must(setsockopt(fd, IPPROTO_UDP, GRO_OPTION, &yes, sizeof(yes)) == 0, "UDP_GRO");
    }
    to_background();
    return pause(); /* what they receive may be dropped */
}

static int send_stream(char **argv, int argc) {
    int tcp = !strcmp(argv[0], "tcp"), size = argc > 5 ? atoi(argv[5]) : 0, queued, yes = 1;
    union address to = address_of(argv[2], argv[3]);
    int fd = bound(argv[0], &to, argv[1]);
    size_t bytes = strtoul(argv[4], NULL, 10), most = sizeof(data);
    unsigned long long sent = bytes;

    if (tcp && size)
        must(setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &size, sizeof(size)) == 0, "MSS");
    if (!tcp && size)
        most = size;
    if (!tcp)
        setsockopt(fd, IPPROTO_SCTP, SCTP_NODELAY, &yes, sizeof(yes));
    must(connect(fd, &to.any, length_of(&to)) == 0, "connect");
    while (bytes) {
        ssize_t done = send(fd, data, bytes < most ? bytes : most, 0);

        must(done > 0, "send");
        bytes -= done;
    }
    if (tcp) {
        struct tcp_info info;
        socklen_t length = sizeof(info);

        do /* until all is acknowledged */
            must(usleep(1000) == 0 && ioctl(fd, SIOCOUTQ, &queued) == 0, "SIOCOUTQ");
        while (queued);
        must(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) == 0, "TCP_INFO");
        sent = info.tcpi_bytes_sent;
    }
    must(shutdown(fd, SHUT_WR) == 0, "shutdown");
    while (read(fd, data, sizeof(data)) > 0)
        ;
    printf("%llu\n", sent);
    return 0;
}

/* RFC 7348 section 5, RFC 8200 sections 3 and 4.2, RFC 9293 section 3.1. */
static void forge_vxlan(char *at, size_t size) {
    const char *end = at + size;

    *at = 8; /* there is a network identifier */
    at += 8;
    memcpy(at + 12, "\x86\xdd", 2); /* ETH_P_IPV6 */
    at += 14;
    at[0] = 0x60;
    *(__be16 *)(at + 4) = htons((unsigned short)(end - at - 40));
    at[6] = IPPROTO_DSTOPTS;
    at += 40;
    for (int headers = 7; headers; headers--, at += 256 * 8) {
        at[0] = headers > 1 ? IPPROTO_DSTOPTS : IPPROTO_TCP;
        at[1] = (char)255;
    }
    at[12] = (char)0xf0; /* 60 bytes */
}

static int send_datagrams(char **argv, int argc) {
    unsigned long count = strtoul(argv[4], NULL, 10);
    size_t size = strtoul(argv[5], NULL, 10);
    int segment = argc > 6 ? atoi(argv[6]) : 0;
    union address to = address_of(argv[2], argv[3]);
    int fd = bound("udp", &to, argv[1]);

    if (segment)
        must(setsockopt(fd, IPPROTO_UDP, SEGMENT_OPTION, &segment, sizeof(segment)) == 0,
             "UDP_SEGMENT");
    if (argc > 7)
        forge_vxlan(data, size);
    /* Not connected: an ICMP error would be an error of the next send. */
    for (unsigned long i = 0; i < count; i++) {
        must(sendto(fd, data, size, 0, &to.any, length_of(&to)) == (ssize_t)size, "sendto");
        if (segment)
            usleep(200); /* small queues behind it must get time to empty */
    }
    printf("%lu\n", count * (segment ? (size + segment - 1) / segment : 1));
    return 0;
}

int main(int argc, char **argv) {
    alarm(PATIENCE);
    if (argc == 4 && !strcmp(argv[1], "serve"))
        return serve(argv[2], argv[3]);
    if (argc > 2 && !strcmp(argv[1], "sink"))
        return sink(argv + 2, argc - 2);
    if (argc >= 7 && !strcmp(argv[1], "udp"))
        return send_datagrams(argv + 1, argc - 1);
    if (argc >= 6 && (!strcmp(argv[1], "tcp") || !strcmp(argv[1], "sctp")))
        return send_stream(argv + 1, argc - 1);
    fprintf(stderr, "usage: stream serve tcp|sctp PORT\n"
                    "       stream sink PORT...\n"
                    "       stream tcp|sctp SOURCE ADDRESS PORT BYTES [SIZE]\n"
                    "       stream udp SOURCE ADDRESS PORT COUNT SIZE [SEGMENT [forged]]\n");
    return 2;
}
