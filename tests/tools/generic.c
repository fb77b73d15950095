/* SPDX-License-Identifier: MIT */
/*
 * Sets up the kinds of devices for which ip(8) is not enough, by generic netlink:
 *
 *     generic wireguard DEVICE 1|2 PORT PEER-ADDRESS
 *         one end of a tunnel: listens on the port, and the other end is at the
 *         address, same port. All addresses are allowed. The keys are RFC 7748's.
 *     generic team DEVICE MODE
 *         before it has ports: "roundrobin", "broadcast"...
 *     generic openvswitch DATAPATH PORT...
 *         a datapath, which is a device of that name, with devices that exist as its ports.
 *         It has no flows and nobody who makes them: it drops all that its ports receive.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/genetlink.h>
#include <linux/if_team.h>
#include <linux/openvswitch.h>
#include <linux/wireguard.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* RFC 7748 section 6.1 */
static const unsigned char private_keys[2][32] = {
    {0x77, 0x07, 0x6d, 0x0a, 0x73, 0x18, 0xa5, 0x7d, 0x3c, 0x16, 0xc1,
     0x72, 0x51, 0xb2, 0x66, 0x45, 0xdf, 0x4c, 0x2f, 0x87, 0xeb, 0xc0,
     0x99, 0x2a, 0xb1, 0x77, 0xfb, 0xa5, 0x1d, 0xb9, 0x2c, 0x2a},
    {0x5d, 0xab, 0x08, 0x7e, 0x62, 0x4a, 0x8a, 0x4b, 0x79, 0xe1, 0x7f,
     0x8b, 0x83, 0x80, 0x0e, 0xe6, 0x6f, 0x3b, 0xb1, 0x29, 0x26, 0x18,
     0xb6, 0xfd, 0x1c, 0x2f, 0x8b, 0x27, 0xff, 0x88, 0xe0, 0xeb}};
static const unsigned char public_keys[2][32] = {
    {0x85, 0x20, 0xf0, 0x09, 0x89, 0x30, 0xa7, 0x54, 0x74, 0x8b, 0x7d,
     0xdc, 0xb4, 0x3e, 0xf7, 0x5a, 0x0d, 0xbf, 0x3a, 0x0d, 0x26, 0x38,
     0x1a, 0xf4, 0xeb, 0xa4, 0xa9, 0x8e, 0xaa, 0x9b, 0x4e, 0x6a},
    {0xde, 0x9e, 0xdb, 0x7d, 0x7b, 0x7d, 0xc1, 0xb4, 0xd3, 0x5b, 0x61,
     0xc2, 0xec, 0xe4, 0x35, 0x37, 0x3f, 0x83, 0x43, 0xc8, 0x5b, 0x78,
     0x67, 0x4d, 0xad, 0xfc, 0x7e, 0x14, 0x6f, 0x88, 0x2b, 0x4f}};

static char buffer[8192];

static struct nlmsghdr *request(int family, int command, int version) {
    struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
    struct genlmsghdr *header;

    message->nlmsg_type = family;
    message->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
    header = mnl_nlmsg_put_extra_header(message, sizeof(*header));
    header->cmd = command;
    header->version = version;
    return message;
}

static int on_attribute(const struct nlattr *attribute, void *family) {
    if (mnl_attr_get_type(attribute) == CTRL_ATTR_FAMILY_ID)
        *(int *)family = mnl_attr_get_u16(attribute);
    return MNL_CB_OK;
}

static int on_family(const struct nlmsghdr *message, void *family) {
    return mnl_attr_parse(message, sizeof(struct genlmsghdr), on_attribute, family);
}

static void ask(struct mnl_socket *socket, const struct nlmsghdr *message, mnl_cb_t answer,
                void *context) {
    ssize_t length;
    int result = 1;

    if (mnl_socket_sendto(socket, message, message->nlmsg_len) < 0)
        result = -1;
    while (result > 0) {
        length = mnl_socket_recvfrom(socket, buffer, sizeof(buffer));
        result = length < 0 ? -1 : mnl_cb_run(buffer, length, 0, 0, answer, context);
    }
    /* Without anybody who listens to its events, that is how team says that all is well. */
    if (result < 0 && errno != ESRCH) {
        perror("generic");
        exit(1);
    }
}

static int family_of(struct mnl_socket *socket, const char *name) {
    struct nlmsghdr *message = request(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 1);
    int family = 0;

    mnl_attr_put_strz(message, CTRL_ATTR_FAMILY_NAME, name);
    ask(socket, message, on_family, &family);
    return family;
}

static void wireguard(struct mnl_socket *socket, char **argv) {
    struct sockaddr_in endpoint = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[2]))};
    int family = family_of(socket, WG_GENL_NAME), end = atoi(argv[1]) == 2;
    struct nlmsghdr *message = request(family, WG_CMD_SET_DEVICE, WG_GENL_VERSION);
    struct nlattr *peers, *peer, *all, *one;
    struct in6_addr any = {0};

    inet_pton(AF_INET, argv[3], &endpoint.sin_addr);
    mnl_attr_put_strz(message, WGDEVICE_A_IFNAME, argv[0]);
    mnl_attr_put(message, WGDEVICE_A_PRIVATE_KEY, 32, private_keys[end]);
    mnl_attr_put_u16(message, WGDEVICE_A_LISTEN_PORT, atoi(argv[2]));
    peers = mnl_attr_nest_start(message, WGDEVICE_A_PEERS);
    peer = mnl_attr_nest_start(message, 0);
    mnl_attr_put(message, WGPEER_A_PUBLIC_KEY, 32, public_keys[!end]);
    mnl_attr_put(message, WGPEER_A_ENDPOINT, sizeof(endpoint), &endpoint);
    all = mnl_attr_nest_start(message, WGPEER_A_ALLOWEDIPS);
    for (int v6 = 0; v6 <= 1; v6++) {
        one = mnl_attr_nest_start(message, 0);
        mnl_attr_put_u16(message, WGALLOWEDIP_A_FAMILY, v6 ? AF_INET6 : AF_INET);
        mnl_attr_put(message, WGALLOWEDIP_A_IPADDR, v6 ? 16 : 4, &any);
        mnl_attr_put_u8(message, WGALLOWEDIP_A_CIDR_MASK, 0);
        mnl_attr_nest_end(message, one);
    }
    mnl_attr_nest_end(message, all);
    mnl_attr_nest_end(message, peer);
    mnl_attr_nest_end(message, peers);
    ask(socket, message, NULL, NULL);
}

static void team(struct mnl_socket *socket, char **argv) {
    int family = family_of(socket, TEAM_GENL_NAME);
    struct nlmsghdr *message = request(family, TEAM_CMD_OPTIONS_SET, TEAM_GENL_VERSION);
    struct nlattr *options, *option;

    mnl_attr_put_u32(message, TEAM_ATTR_TEAM_IFINDEX, if_nametoindex(argv[0]));
    options = mnl_attr_nest_start(message, TEAM_ATTR_LIST_OPTION);
    option = mnl_attr_nest_start(message, TEAM_ATTR_ITEM_OPTION);
    mnl_attr_put_strz(message, TEAM_ATTR_OPTION_NAME, "mode");
    mnl_attr_put_u8(message, TEAM_ATTR_OPTION_TYPE, 5); /* the kernel's NLA_STRING */
    mnl_attr_put_strz(message, TEAM_ATTR_OPTION_DATA, argv[1]);
    mnl_attr_nest_end(message, option);
    mnl_attr_nest_end(message, options);
    ask(socket, message, NULL, NULL);
}

/* A message about the datapath, 0 for a new one; what of the ports has no flow goes to nobody. */
static struct nlmsghdr *about(int datapath, int family, int command, int version, int upcall) {
    struct nlmsghdr *message = request(family, command, version);
    struct ovs_header *header = mnl_nlmsg_put_extra_header(message, sizeof(*header));

    header->dp_ifindex = datapath;
    mnl_attr_put_u32(message, upcall, 0);
    return message;
}

static void openvswitch(struct mnl_socket *socket, char **argv) {
    int family = family_of(socket, OVS_DATAPATH_FAMILY);
    struct nlmsghdr *message =
        about(0, family, OVS_DP_CMD_NEW, OVS_DATAPATH_VERSION, OVS_DP_ATTR_UPCALL_PID);

    mnl_attr_put_strz(message, OVS_DP_ATTR_NAME, argv[0]);
    ask(socket, message, NULL, NULL);
    family = family_of(socket, OVS_VPORT_FAMILY);
    for (char **port = argv + 1; *port; port++) {
        message = about(if_nametoindex(argv[0]), family, OVS_VPORT_CMD_NEW, OVS_VPORT_VERSION,
                        OVS_VPORT_ATTR_UPCALL_PID);
        mnl_attr_put_u32(message, OVS_VPORT_ATTR_TYPE, OVS_VPORT_TYPE_NETDEV);
        mnl_attr_put_strz(message, OVS_VPORT_ATTR_NAME, *port);
        ask(socket, message, NULL, NULL);
    }
}

int main(int argc, char **argv) {
    struct mnl_socket *socket = mnl_socket_open(NETLINK_GENERIC);

    if (!socket || mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0) {
        perror("generic");
        return 1;
    }
    if (argc == 6 && !strcmp(argv[1], "wireguard"))
        wireguard(socket, argv + 2);
    else if (argc == 4 && !strcmp(argv[1], "team"))
        team(socket, argv + 2);
    else if (argc > 3 && !strcmp(argv[1], "openvswitch"))
        openvswitch(socket, argv + 2);
    else
        return 2;
    mnl_socket_close(socket);
    return 0;
}
