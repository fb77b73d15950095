/* SPDX-License-Identifier: MIT */
/*
 * Switches offloads of a device, as ethtool -K does, which is not everywhere:
 *
 *     feature INTERFACE on|off PATTERN...
 *
 * PATTERN is one of the kernel's names (net/ethtool/common.c) or a shell pattern of
 * them: "rx-gro", "tx-*-segmentation". Fails if one names nothing, or if a feature
 * it names is not as wanted afterwards.
 */
#include <fnmatch.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define MOST_BLOCKS 8 /* of 32 features */

static struct ifreq request;

static int ask(int fd, void *command) {
    request.ifr_data = command;
    return ioctl(fd, SIOCETHTOOL, &request);
}

int main(int argc, char **argv) {
    union {
        struct ethtool_sset_info info;
        __u32 room[sizeof(struct ethtool_sset_info) / 4 + 1];
    } set = {{.cmd = ETHTOOL_GSSET_INFO, .sset_mask = 1ull << ETH_SS_FEATURES}};
    union {
        struct ethtool_sfeatures head;
        __u32 room[2 + 2 * MOST_BLOCKS];
    } change = {{.cmd = ETHTOOL_SFEATURES}};
    union {
        struct ethtool_gfeatures head;
        __u32 room[2 + 4 * MOST_BLOCKS];
    } now = {{.cmd = ETHTOOL_GFEATURES}};
    struct ethtool_gstrings *names;
    int fd = socket(AF_INET, SOCK_DGRAM, 0), on, wrong = 0;
    __u32 number;

    if (argc < 4)
        return 2;
    on = !strcmp(argv[2], "on");
    strncpy(request.ifr_name, argv[1], IFNAMSIZ - 1);
    if (fd < 0 || ask(fd, &set)) {
        perror(argv[1]);
        return 1;
    }
    number = set.info.data[0];
    if (number > MOST_BLOCKS * 32)
        return 1;
    names = calloc(1, sizeof(*names) + (size_t)number * ETH_GSTRING_LEN);
    if (!names)
        return 1;
    names->cmd = ETHTOOL_GSTRINGS;
    names->string_set = ETH_SS_FEATURES;
    names->len = number;
    change.head.size = now.head.size = (number + 31) / 32;
    if (ask(fd, names)) {
        perror(argv[1]);
        return 1;
    }
    for (int i = 3; i < argc; i++) {
        int found = 0;

        for (__u32 n = 0; n < number; n++) {
            if (fnmatch(argv[i], (char *)names->data + n * ETH_GSTRING_LEN, 0))
                continue;
            found = 1;
            change.head.features[n / 32].valid |= 1u << n % 32;
            if (on)
                change.head.features[n / 32].requested |= 1u << n % 32;
        }
        if (!found) {
            fprintf(stderr, "feature: there is no %s here\n", argv[i]);
            return 1;
        }
    }
    /* Its refusals are seen in what is there afterwards. */
    ask(fd, &change);
    if (ask(fd, &now)) {
        perror(argv[1]);
        return 1;
    }
    for (__u32 n = 0; n < number; n++) {
        __u32 bit = 1u << n % 32;

        if (!(change.head.features[n / 32].valid & bit) ||
            !(now.head.features[n / 32].active & bit) == !on)
            continue;
        fprintf(stderr, "feature: %s: %s can't be switched %s\n", argv[1],
                (char *)names->data + n * ETH_GSTRING_LEN, argv[2]);
        wrong = 1;
    }
    free(names);
    return wrong;
}
