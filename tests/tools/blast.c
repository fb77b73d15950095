/* SPDX-License-Identifier: MIT */
/*
 * Sends a known number of known frames out of an interface, by AF_PACKET:
 *
 *     blast INTERFACE 4|6 tcp|udp|fragment SOURCE DESTINATION COUNT SIZE [CPU]
 *
 * SOURCE and DESTINATION are ports, or FIRST-LAST: each frame takes the next one,
 * so COUNT a multiple of the range gives every port the same share. SIZE is the
 * frame's, link header included (60 to 65535; the interface's MTU is the limit). "fragment", IPv4
 * only: the first fragments of UDP datagrams, none of which ever becomes complete.
 * Prints how many frames were sent; they pass the egress hook of the interface and
 * the ingress hook of its peer.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BATCH 64

struct range {
    unsigned first, last, next;
};

static struct range range_of(const char *text) {
    struct range range;

    if (sscanf(text, "%u-%u", &range.first, &range.last) != 2)
        range.last = range.first = strtoul(text, NULL, 10);
    range.next = range.first;
    return range;
}

static uint16_t next_of(struct range *range) {
    uint16_t port = range->next;

    range->next = range->next == range->last ? range->first : range->next + 1;
    return htons(port);
}

/* Everything but the ports; returns where those are. */
static size_t build(unsigned char *frame, size_t size, int family, int transport) {
    struct ether_header *ether = (void *)frame;
    size_t l3 = sizeof(*ether), l4;

    memset(frame, 0, size);
    memcpy(ether->ether_dhost, "\x02\0\0\0\0\x02", 6); /* nobody's: it ends behind the hook */
    memcpy(ether->ether_shost, "\x02\0\0\0\0\x01", 6);
    if (family == 4) {
        struct iphdr *ip = (void *)(frame + l3);

        ether->ether_type = htons(ETHERTYPE_IP);
        ip->version = 4;
        ip->ihl = 5;
        ip->ttl = 1;
        ip->protocol = transport;
        ip->tot_len = htons(size - l3);
        ip->saddr = htonl(0x0a630001);
        ip->daddr = htonl(0x0a630002);
        l4 = l3 + sizeof(*ip);
    } else {
        struct ip6_hdr *ip = (void *)(frame + l3);

        ether->ether_type = htons(ETHERTYPE_IPV6);
        ip->ip6_flow = htonl(6u << 28);
        ip->ip6_nxt = transport;
        ip->ip6_hlim = 1;
        ip->ip6_plen = htons(size - l3 - sizeof(*ip));
        l4 = l3 + sizeof(*ip);
    }
    if (transport == IPPROTO_TCP)
        frame[l4 + 12] = 5 << 4;
    else
        *(uint16_t *)(frame + l4 + 4) = htons(size - l4);
    return l4;
}

/* The first fragment of the datagram of this number: RFC 791, section 3.1. */
static void fragment(unsigned char *frame, unsigned long number) {
    struct iphdr *ip = (void *)(frame + sizeof(struct ether_header));

    ip->frag_off = htons(IP_MF);
    ip->id = htons(number);
    ip->saddr = htonl(0x0a630000 | (number >> 16 & 0xffff));
}

int main(int argc, char **argv) {
    static unsigned char frames[BATCH][65536];
    struct mmsghdr messages[BATCH] = {0};
    struct iovec vectors[BATCH];
    struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_halen = 6};
    struct range source, destination;
    unsigned long count, sent = 0;
    size_t size, ports = 0;
    int fd, fragments;

    if (argc < 8) {
        fprintf(stderr, "usage: blast INTERFACE 4|6 tcp|udp|fragment SOURCE DESTINATION COUNT SIZE "
                        "[CPU]\n");
        return 2;
    }
    source = range_of(argv[4]);
    destination = range_of(argv[5]);
    count = strtoul(argv[6], NULL, 10);
    size = strtoul(argv[7], NULL, 10);
    fragments = !strcmp(argv[3], "fragment");
    if (size < 60 || size > sizeof(frames[0]))
        return 2;
    if (argc > 8) {
        cpu_set_t cpus;

        CPU_ZERO(&cpus);
        CPU_SET(strtoul(argv[8], NULL, 10) % sysconf(_SC_NPROCESSORS_ONLN), &cpus);
        sched_setaffinity(0, sizeof(cpus), &cpus);
    }
    to.sll_ifindex = if_nametoindex(argv[1]);
    fd = socket(AF_PACKET, SOCK_RAW, 0);
    if (fd < 0 || !to.sll_ifindex) {
        perror(argv[1]);
        return 1;
    }
    for (int i = 0; i < BATCH; i++) {
        ports = build(frames[i], size, atoi(argv[2]),
                      strcmp(argv[3], "tcp") ? IPPROTO_UDP : IPPROTO_TCP);
        vectors[i] = (struct iovec){.iov_base = frames[i], .iov_len = size};
        messages[i].msg_hdr = (struct msghdr){
            .msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = &vectors[i], .msg_iovlen = 1};
    }
    while (sent < count) {
        unsigned number = count - sent < BATCH ? count - sent : BATCH, done = 0;

        for (unsigned i = 0; i < number; i++) {
            uint16_t *port = (void *)(frames[i] + ports);

            port[0] = next_of(&source);
            port[1] = next_of(&destination);
            if (fragments)
                fragment(frames[i], sent + i);
        }
        while (done < number) {
            int result = sendmmsg(fd, messages + done, number - done, 0);

            if (result < 0 && errno != ENOBUFS && errno != EINTR && errno != EAGAIN) {
                perror("sendmmsg");
                return 1;
            }
            done += result > 0 ? result : 0;
        }
        sent += number;
    }
    printf("%lu\n", sent);
    return 0;
}
