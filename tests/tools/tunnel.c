/* SPDX-License-Identifier: MIT */
/*
 * The program behind a tun or tap device:
 *
 *     tunnel DEVICE tun|tap SOURCE DESTINATION COUNT SIZE [TYPE]
 *
 * creates the device and continues in the background; prints the pid that stays. What is
 * sent out of the device it throws away. At SIGUSR1, COUNT IPv4 and COUNT IPv6 packets
 * arrive in it: UDP from port SOURCE to port DESTINATION, SIZE bytes from the IP header
 * on. At SIGUSR2 the device, which must be down, gets another ARPHRD type, though not
 * other packets. It goes when the process ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <net/ethernet.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/udp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "background.h"

/* From where the IP header is; nobody's addresses: it ends behind the hook. */
static void build(unsigned char *packet, size_t size, int family, unsigned source,
                  unsigned destination) {
    struct udphdr *udp;
    size_t header;

    if (family == 4) {
        struct iphdr *ip = (void *)packet;

        header = sizeof(*ip);
        ip->version = 4;
        ip->ihl = 5;
        ip->ttl = 1;
        ip->protocol = IPPROTO_UDP;
        ip->tot_len = htons(size);
        ip->saddr = htonl(0x0a630001);
        ip->daddr = htonl(0x0a630002);
    } else {
        struct ip6_hdr *ip = (void *)packet;

        header = sizeof(*ip);
        ip->ip6_flow = htonl(6u << 28);
        ip->ip6_nxt = IPPROTO_UDP;
        ip->ip6_hlim = 1;
        ip->ip6_plen = htons(size - header);
    }
    udp = (void *)(packet + header);
    udp->source = htons(source);
    udp->dest = htons(destination);
    udp->len = htons(size - header);
}

static void deliver(int device, int tap, char **argv) {
    size_t size = strtoul(argv[6], NULL, 10), l3 = tap ? ETH_HLEN : 0;
    unsigned long count = strtoul(argv[5], NULL, 10);

    for (int family = 4; family <= 6; family += 2) {
        unsigned char packet[2048] = {0};
        struct ether_header *ether = (void *)packet;

        if (tap) {
            memcpy(ether->ether_dhost, "\x02\0\0\0\0\x02", 6);
            memcpy(ether->ether_shost, "\x02\0\0\0\0\x01", 6);
            ether->ether_type = htons(family == 4 ? ETHERTYPE_IP : ETHERTYPE_IPV6);
        }
        build(packet + l3, size, family, atoi(argv[3]), atoi(argv[4]));
        for (unsigned long i = 0; i < count; i++)
            must(write(device, packet, l3 + size) == (ssize_t)(l3 + size), "write");
    }
}

int main(int argc, char **argv) {
    struct ifreq request = {0};
    int device, tap;
    sigset_t signals;

    if (argc < 7 || argc > 8 || strtoul(argv[6], NULL, 10) > 1500 ||
        strtoul(argv[6], NULL, 10) < 48)
        return 2;
    tap = !strcmp(argv[2], "tap");
    request.ifr_flags = (tap ? IFF_TAP : IFF_TUN) | IFF_NO_PI;
    strncpy(request.ifr_name, argv[1], IFNAMSIZ - 1);
    device = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    must(device >= 0 && ioctl(device, TUNSETIFF, &request) == 0, argv[1]);

    sigemptyset(&signals);
    sigaddset(&signals, SIGUSR1);
    sigaddset(&signals, SIGUSR2);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    to_background();

    struct pollfd fds[] = {{.fd = device, .events = POLLIN},
                           {.fd = signalfd(-1, &signals, 0), .events = POLLIN}};

    while (poll(fds, 2, -1) > 0) {
        struct signalfd_siginfo signal;
        char thrown[2048];

        if (fds[1].revents && read(fds[1].fd, &signal, sizeof(signal)) == sizeof(signal)) {
            if (signal.ssi_signo == SIGUSR1)
                deliver(device, tap, argv);
            else
                must(argc == 8 && ioctl(device, TUNSETLINK, atoi(argv[7])) == 0, "TUNSETLINK");
        }
        if (fds[0].revents && read(device, thrown, sizeof(thrown)) < 0 && errno != EAGAIN)
            break;
    }
    return 1;
}
