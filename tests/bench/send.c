/* SPDX-License-Identifier: MIT */
/*
 * Sends UDP packets as fast as one CPU can, by AF_PACKET and sendmmsg:
 *
 *     send INTERFACE COUNT FIRST PORTS MAC DESTINATION [CPU]
 *
 * to PORTS destination ports from FIRST on, in an order without pattern, each as often
 * as the others within one. 60 bytes each, IPv4 with a right checksum and a TTL of 64, to
 * the link address MAC and the IPv4 address DESTINATION: they can be routed. Past the
 * queueing discipline of INTERFACE. Prints COUNT, the seconds it took, and the seconds of
 * CPU, which includes what the packets cause behind the veth until they are queued.
 *
 * The order is another one in each pass and each process. Who gives memory to ports in the
 * order they come in would else have it in the order it is visited for ever, and the
 * processor would fetch it ahead: a hash then costs half as much as with real traffic.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64
#define SIZE  60
#define PORTS (sizeof(struct ether_header) + sizeof(struct iphdr))

static __be16 checksum(const void *header, size_t length) {
    const __be16 *words = header;
    unsigned sum = 0;

    for (size_t i = 0; i < length / 2; i++)
        sum += words[i];
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return ~sum;
}

static int build(unsigned char frame[SIZE], const char *mac, const char *destination) {
    struct ether_header *ether = (void *)frame;
    struct iphdr *ip = (void *)(ether + 1);
    unsigned char *to = ether->ether_dhost;

    memset(frame, 0, SIZE);
    if (sscanf(mac, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &to[0], &to[1], &to[2], &to[3], &to[4],
               &to[5]) != 6)
        return -1;
    memcpy(ether->ether_shost, "\x02\0\0\0\0\x01", 6);
    ether->ether_type = htons(ETHERTYPE_IP);
    ip->version = 4;
    ip->ihl = 5;
    ip->ttl = 64;
    ip->protocol = IPPROTO_UDP;
    ip->tot_len = htons(SIZE - sizeof(*ether));
    ip->saddr = htonl(0x0a630001);
    if (inet_pton(AF_INET, destination, &ip->daddr) != 1)
        return -1;
    ip->check = checksum(ip, sizeof(*ip));
    *(uint16_t *)(frame + PORTS) = htons(40000);
    *(uint16_t *)(frame + PORTS + 4) = htons(SIZE - PORTS);
    return 0;
}

static double seconds(clockid_t clock) {
    struct timespec now;

    clock_gettime(clock, &now);
    return now.tv_sec + now.tv_nsec / 1e9;
}

static uint64_t state;

static void shuffle(uint16_t *ports, unsigned number) {
    for (unsigned i = 1; i < number; i++) {
        uint16_t port = ports[i];
        unsigned other;

        state = state * 6364136223846793005ull + 1442695040888963407ull;
        other = (state >> 33) % (i + 1);
        ports[i] = ports[other];
        ports[other] = port;
    }
}

int main(int argc, char **argv) {
    static unsigned char frames[BATCH][SIZE];
    struct mmsghdr messages[BATCH] = {0};
    struct iovec vectors[BATCH];
    struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_halen = 6};
    unsigned long count, sent = 0;
    unsigned number, next = 0;
    int fd, yes = 1;
    uint16_t *ports;
    double begin, busy;

    if (argc < 7) {
        fprintf(stderr, "usage: send INTERFACE COUNT FIRST PORTS MAC DESTINATION [CPU]\n");
        return 2;
    }
    count = strtoul(argv[2], NULL, 10);
    number = strtoul(argv[4], NULL, 10);
    if (number < 1 || number > 65536)
        return 2;
    if (argc > 7) {
        cpu_set_t cpus;

        CPU_ZERO(&cpus);
        CPU_SET(strtoul(argv[7], NULL, 10) % sysconf(_SC_NPROCESSORS_ONLN), &cpus);
        sched_setaffinity(0, sizeof(cpus), &cpus);
    }
    ports = calloc(number, sizeof(*ports));
    for (unsigned i = 0; ports && i < number; i++)
        ports[i] = htons(strtoul(argv[3], NULL, 10) + i);
    state = seconds(CLOCK_REALTIME) * 1e6;
    to.sll_ifindex = if_nametoindex(argv[1]);
    fd = socket(AF_PACKET, SOCK_RAW, 0);
    if (fd < 0 || !to.sll_ifindex || !ports) {
        perror(argv[1]);
        return 1;
    }
    setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &yes, sizeof(yes));
    for (int i = 0; i < BATCH; i++) {
        if (build(frames[i], argv[5], argv[6]))
            return 2;
        vectors[i] = (struct iovec){.iov_base = frames[i], .iov_len = SIZE};
        messages[i].msg_hdr = (struct msghdr){
            .msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = &vectors[i], .msg_iovlen = 1};
    }
    begin = seconds(CLOCK_MONOTONIC);
    busy = seconds(CLOCK_PROCESS_CPUTIME_ID);
    while (sent < count) {
        unsigned batch = count - sent < BATCH ? count - sent : BATCH, done = 0;

        for (unsigned i = 0; i < batch; i++) {
            if (next == 0)
                shuffle(ports, number);
            memcpy(frames[i] + PORTS + 2, &ports[next], sizeof(ports[next]));
            next = next + 1 == number ? 0 : next + 1;
        }
        while (done < batch) {
            int result = sendmmsg(fd, messages + done, batch - done, 0);

            if (result < 0 && errno != ENOBUFS && errno != EINTR && errno != EAGAIN) {
                perror("sendmmsg");
                return 1;
            }
            done += result > 0 ? result : 0;
        }
        sent += batch;
    }
    printf("%lu %.6f %.6f\n", sent, seconds(CLOCK_MONOTONIC) - begin,
           seconds(CLOCK_PROCESS_CPUTIME_ID) - busy);
    free(ports);
    return 0;
}
