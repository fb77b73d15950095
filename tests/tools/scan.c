/* SPDX-License-Identifier: MIT */
/*
 * Scans a host, and talks to some of its ports meanwhile, by AF_PACKET:
 *
 *     scan INTERFACE PORTS ROUNDS FRAMESxSIZE RATE [TRANSPORT PORT EVERY SIZE]...
 *
 * FRAMES frames of SIZE bytes (TCP SYN, UDP datagrams; the link header is part of it) to
 * every port of PORTS (FIRST-LAST), TCP and UDP in turn, and all that ROUNDS times over.
 * After every EVERY-th frame of the scan comes one of its own SIZE to PORT; EVERY+FROM: not
 * before the scan's FROM-th. RATE is how
 * many frames of the scan go out per second, evenly; 0: as many as possible. Prints how
 * many frames the scan had for each transport, then how many each of the ports got;
 * on a line of its own when (seconds since 1970) each of them got the first.
 *
 * They come from 10.99.0.2 and go to 10.99.0.1, 02:00:00:00:00:02, which need not exist.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define BATCH      64
#define FRAME_MOST 1514
#define TALKS_MOST 16

struct talk {
    int protocol;
    unsigned port;
    unsigned long every, from, sent;
    struct timespec first;
    size_t size;
};

struct sender {
    int fd;
    struct sockaddr_ll to;
    unsigned number;
    unsigned char frames[BATCH][FRAME_MOST];
    struct iovec vectors[BATCH];
    struct mmsghdr messages[BATCH];
};

static struct sender sender;

static void flush(void) {
    unsigned done = 0;

    while (done < sender.number) {
        int result = sendmmsg(sender.fd, sender.messages + done, sender.number - done, 0);

        if (result < 0 && errno != ENOBUFS && errno != EINTR && errno != EAGAIN) {
            perror("sendmmsg");
            exit(1);
        }
        done += result > 0 ? result : 0;
    }
    sender.number = 0;
}

/* The Internet checksum (RFC 1071) of `number` 16-bit words, begun with `sum`. */
static uint16_t checksum(const void *words, size_t number, uint32_t sum) {
    const uint16_t *word = words;

    while (number--)
        sum += *word++;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return ~sum;
}

static void put(int protocol, unsigned port, size_t size) {
    unsigned char *frame = sender.frames[sender.number];
    struct ether_header *ether = (void *)frame;
    struct iphdr *ip = (void *)(ether + 1);
    uint16_t *ports = (void *)(ip + 1);

    memset(frame, 0, size);
    memcpy(ether->ether_dhost, "\x02\0\0\0\0\x02", 6); /* nobody's, unless a test says so */
    memcpy(ether->ether_shost, "\x02\0\0\0\0\x01", 6);
    ether->ether_type = htons(ETHERTYPE_IP);
    ip->version = 4;
    ip->ihl = 5;
    ip->ttl = 1;
    ip->protocol = protocol;
    ip->tot_len = htons(size - sizeof(*ether));
    ip->saddr = htonl(0x0a630002);
    ip->daddr = htonl(0x0a630001);
    ip->check = checksum(ip, sizeof(*ip) / 2, 0);
    ports[0] = htons(54321);
    ports[1] = htons(port);
    if (protocol == IPPROTO_TCP) {
        struct tcphdr *tcp = (void *)ports;

        tcp->syn = 1;
        tcp->doff = 5;
        /* The pseudo-header is part of it; data is all 0. UDP needs none. */
        tcp->check = checksum(tcp, sizeof(*tcp) / 2,
                              htons(protocol) + htons(size - sizeof(*ether) - sizeof(*ip)) +
                                  (uint16_t)~checksum(&ip->saddr, 4, 0));
    } else {
        ((struct udphdr *)ports)->len = htons(size - sizeof(*ether) - sizeof(*ip));
    }
    sender.vectors[sender.number] = (struct iovec){.iov_base = frame, .iov_len = size};
    sender.messages[sender.number].msg_hdr =
        (struct msghdr){.msg_name = &sender.to,
                        .msg_namelen = sizeof(sender.to),
                        .msg_iov = &sender.vectors[sender.number],
                        .msg_iovlen = 1};
    if (++sender.number == BATCH)
        flush();
}

/* Waits until the scan may have sent this many frames. */
static void pace(const struct timespec *begin, unsigned long frames, unsigned long rate) {
    struct timespec due = *begin;

    due.tv_sec += frames / rate;
    due.tv_nsec += frames % rate * 1000000000ull / rate;
    if (due.tv_nsec >= 1000000000) {
        due.tv_nsec -= 1000000000;
        due.tv_sec++;
    }
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
}

static int is_size(size_t size) {
    return size >= 60 && size <= FRAME_MOST;
}

int main(int argc, char **argv) {
    unsigned first, last, frames, talks_number = 0;
    struct talk talks[TALKS_MOST];
    unsigned long rounds, rate, sent = 0, step;
    struct timespec begin;
    size_t size;

    if (argc < 6 || (argc - 6) % 4 || sscanf(argv[2], "%u-%u", &first, &last) != 2 ||
        sscanf(argv[4], "%ux%zu", &frames, &size) != 2) {
        fprintf(stderr, "usage: scan INTERFACE FIRST-LAST ROUNDS FRAMESxSIZE RATE "
                        "[TRANSPORT PORT EVERY SIZE]...\n");
        return 2;
    }
    rounds = strtoul(argv[3], NULL, 10);
    rate = strtoul(argv[5], NULL, 10);
    for (int i = 6; i < argc && talks_number < TALKS_MOST; i += 4) {
        struct talk talk = {.protocol = strcmp(argv[i], "tcp") ? IPPROTO_UDP : IPPROTO_TCP,
                            .port = strtoul(argv[i + 1], NULL, 10),
                            .size = strtoul(argv[i + 3], NULL, 10)};

        if (sscanf(argv[i + 2], "%lu+%lu", &talk.every, &talk.from) < 1 || !talk.every ||
            !is_size(talk.size))
            return 2;
        talks[talks_number++] = talk;
    }
    sender.to = (struct sockaddr_ll){
        .sll_family = AF_PACKET, .sll_halen = 6, .sll_ifindex = if_nametoindex(argv[1])};
    sender.fd = socket(AF_PACKET, SOCK_RAW, 0);
    if (sender.fd < 0 || !sender.to.sll_ifindex || !is_size(size)) {
        perror(argv[1]);
        return 1;
    }
    step = rate / 200 + 1; /* a sleep each 5 ms */
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (unsigned long round = 0; round < rounds; round++) {
        for (unsigned port = first; port <= last; port++) {
            for (unsigned frame = 0; frame < 2 * frames; frame++) {
                put(frame >= frames ? IPPROTO_UDP : IPPROTO_TCP, port, size);
                sent++;
                for (unsigned i = 0; i < talks_number; i++) {
                    if (sent >= talks[i].from && sent % talks[i].every == 0) {
                        if (!talks[i].sent)
                            clock_gettime(CLOCK_REALTIME, &talks[i].first);
                        put(talks[i].protocol, talks[i].port, talks[i].size);
                        talks[i].sent++;
                    }
                }
                if (rate && sent % step == 0) {
                    flush();
                    pace(&begin, sent, rate);
                }
            }
        }
    }
    flush();
    printf("%lu", sent / 2);
    for (unsigned i = 0; i < talks_number; i++)
        printf(" %lu", talks[i].sent);
    printf("\n");
    for (unsigned i = 0; i < talks_number; i++)
        printf("%s%lld.%09ld", i ? " " : "", (long long)talks[i].first.tv_sec,
               talks[i].first.tv_nsec);
    printf("\n");
    return 0;
}
