/* SPDX-License-Identifier: MIT */
/*
 * One end of a PPPoE session, without discovery and negotiation, which pppd would do:
 *
 *     pppoe DEVICE SESSION PEER UNIT
 *
 * makes pppUNIT over the Ethernet DEVICE; PEER is the MAC address of the other end, where
 * another of these has the same SESSION. Continues in the background and prints the pid that
 * stays. The device goes when the process ends.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_pppox.h>
#include <linux/ppp-ioctl.h>
#include <linux/ppp_defs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "background.h"

int main(int argc, char **argv) {
    static const int protocols[] = {PPP_IP, PPP_IPV6};
    union {
        struct sockaddr_pppox pppox;
        struct sockaddr any;
    } session = {{.sa_family = AF_PPPOX, .sa_protocol = PX_PROTO_OE}};
    struct pppoe_addr end = {0};
    unsigned char *mac = end.remote;
    int channel, number, attached, unit, flags = 0;

    if (argc != 5 || sscanf(argv[3], "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", mac, mac + 1, mac + 2,
                            mac + 3, mac + 4, mac + 5) != 6)
        return 2;
    end.sid = htons(atoi(argv[2]));
    strncpy(end.dev, argv[1], IFNAMSIZ - 1);
    session.pppox.sa_addr.pppoe = end;
    channel = socket(AF_PPPOX, SOCK_STREAM, PX_PROTO_OE);
    must(channel >= 0, "socket");
    must(connect(channel, &session.any, sizeof(session.pppox)) == 0, "connect");
    must(ioctl(channel, PPPIOCGCHAN, &number) == 0, "PPPIOCGCHAN");

    attached = open("/dev/ppp", O_RDWR | O_CLOEXEC);
    must(attached >= 0 && ioctl(attached, PPPIOCATTCHAN, &number) == 0, "PPPIOCATTCHAN");
    unit = open("/dev/ppp", O_RDWR | O_CLOEXEC);
    number = atoi(argv[4]);
    must(unit >= 0 && ioctl(unit, PPPIOCNEWUNIT, &number) == 0, "PPPIOCNEWUNIT");
    must(ioctl(attached, PPPIOCCONNECT, &number) == 0, "PPPIOCCONNECT");
    for (int i = 0; i < 2; i++) {
        struct npioctl passed = {.protocol = protocols[i], .mode = NPMODE_PASS};

        must(ioctl(unit, PPPIOCSNPMODE, &passed) == 0, "PPPIOCSNPMODE");
    }
    must(ioctl(unit, PPPIOCSFLAGS, &flags) == 0, "PPPIOCSFLAGS"); /* no compression */

    to_background();
    return pause();
}
