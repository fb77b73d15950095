/* SPDX-License-Identifier: MIT */
/*
 * Sends UDP frames of 100 bytes out of every interface whose name begins with PREFIX,
 * whatever comes, goes and changes its name, until SIGTERM:
 *
 *     pump PREFIX SOURCE DESTINATION NUMBER
 *
 * NUMBER frames a millisecond per interface; SOURCE and DESTINATION are ports.
 * Prints how many frames the kernel took.
 */
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define SIZE          100
#define ROUNDS_A_LOOK 5 /* at the interfaces there are */

static void build(unsigned char frame[SIZE], unsigned source, unsigned destination) {
    struct ether_header *ether = (void *)frame;
    struct iphdr *ip = (void *)(ether + 1);
    struct udphdr *udp = (void *)(ip + 1);

    memset(frame, 0, SIZE);
    memcpy(ether->ether_dhost, "\x02\0\0\0\0\x02", 6); /* nobody's: it ends behind the hook */
    memcpy(ether->ether_shost, "\x02\0\0\0\0\x01", 6);
    ether->ether_type = htons(ETHERTYPE_IP);
    ip->version = 4;
    ip->ihl = 5;
    ip->ttl = 1;
    ip->protocol = IPPROTO_UDP;
    ip->tot_len = htons(SIZE - sizeof(*ether));
    ip->saddr = htonl(0x0a630001);
    ip->daddr = htonl(0x0a630002);
    udp->source = htons(source);
    udp->dest = htons(destination);
    udp->len = htons(SIZE - sizeof(*ether) - sizeof(*ip));
}

int main(int argc, char **argv) {
    const struct timespec millisecond = {.tv_nsec = 1000000};
    _Alignas(4) unsigned char frame[SIZE];
    unsigned long sent = 0;
    sigset_t signals;
    int fd, number;

    if (argc < 5)
        return 2;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    build(frame, strtoul(argv[2], NULL, 10), strtoul(argv[3], NULL, 10));
    number = strtol(argv[4], NULL, 10);
    fd = socket(AF_PACKET, SOCK_RAW, 0);
    if (fd < 0) {
        perror("pump");
        return 1;
    }
    for (;;) {
        struct if_nameindex *interfaces = if_nameindex();

        for (int round = 0; round < ROUNDS_A_LOOK; round++) {
            for (struct if_nameindex *i = interfaces; i && i->if_index; i++) {
                struct sockaddr_ll to = {
                    .sll_family = AF_PACKET, .sll_halen = 6, .sll_ifindex = i->if_index};

                if (strncmp(i->if_name, argv[1], strlen(argv[1])))
                    continue;
                for (int n = 0; n < number; n++)
                    sent += sendto(fd, frame, SIZE, MSG_DONTWAIT, (void *)&to, sizeof(to)) == SIZE;
            }
            if (sigtimedwait(&signals, NULL, &millisecond) == SIGTERM) {
                printf("%lu\n", sent);
                return 0;
            }
        }
        if (interfaces)
            if_freenameindex(interfaces);
    }
}
