/* SPDX-License-Identifier: MIT */
/*
 * Where the default route leads, as the plugin sees it:
 *
 *     route 4|6
 *
 * Prints the names of the interfaces; nothing: there is no such route.
 */
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "netlink.h"

#define MOST 4

int main(int argc, char **argv) {
    int interfaces[MOST], number;
    char name[IFNAMSIZ];

    if (argc != 2)
        return 2;
    number = netlink_default_route(strcmp(argv[1], "6") ? AF_INET : AF_INET6, interfaces, MOST);
    for (int n = 0; n < number; n++)
        printf("%s%s", n ? " " : "", if_indextoname(interfaces[n], name) ? name : "?");
    printf("\n");
    return 0;
}
