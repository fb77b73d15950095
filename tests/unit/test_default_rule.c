/* SPDX-License-Identifier: MIT */
/*
 * Which interfaces of a host are counted if none is named, for hosts of many kinds, from dumps as
 * the kernel would send them; and what the log says of the others.
 *
 * Links: plugin/default_rule.c, plugin/netlink_links.c and what they use, but for libmnl's sockets.
 */
#include <errno.h>

#include "default_rule.h"
#include "links_fixture.h"
#include "tap.h"

#define CARD(address) .parent = (address), .bus = "pci"

struct host {
    const char *promise;
    const char *default_route; /* the interface that has it; NULL: not looked up */
    const char *counted;       /* in order of their indices */
    struct spec links[64];
};

static const struct host hosts[] = {
    /* ---- the six of everyday ---- */
    {"a web server",
     NULL,
     "eno1 docker0",
     {
         {.name = "lo", .type = ARPHRD_LOOPBACK, .flags = IFF_LOOPBACK},
         {.name = "eno1", CARD("0000:01:00.0"), .altnames = {"enp1s0"}},
         {.name = "docker0", .kind = "bridge"},
     }},
    {"a hypervisor: a bond of two cards in a bridge, with four guests",
     NULL,
     "bond0 br0",
     {
         {.name = "lo", .type = ARPHRD_LOOPBACK, .flags = IFF_LOOPBACK},
         {.name = "eno1",
          CARD("0000:01:00.0"),
          .flags = IFF_SLAVE,
          .master = "bond0",
          .master_kind = "bond"},
         {.name = "eno2",
          CARD("0000:01:00.1"),
          .flags = IFF_SLAVE,
          .master = "bond0",
          .master_kind = "bond"},
         {.name = "bond0", .kind = "bond", .master = "br0", .master_kind = "bridge"},
         {.name = "br0", .kind = "bridge"},
         {.name = "vnet0", .kind = "tun", .tun = IFF_TAP, .master = "br0", .master_kind = "bridge"},
         {.name = "vnet1", .kind = "tun", .tun = IFF_TAP, .master = "br0", .master_kind = "bridge"},
         {.name = "vnet2", .kind = "tun", .tun = IFF_TAP, .master = "br0", .master_kind = "bridge"},
         {.name = "vnet3", .kind = "tun", .tun = IFF_TAP, .master = "br0", .master_kind = "bridge"},
     }},
    {"a router: PPPoE on one card, VLANs on another",
     NULL,
     "wan lan ppp0 lan.10 lan.20",
     {
         {.name = "lo", .type = ARPHRD_LOOPBACK, .flags = IFF_LOOPBACK},
         {.name = "wan", CARD("0000:01:00.0")},
         {.name = "lan", CARD("0000:02:00.0")},
         {.name = "ppp0", .kind = "ppp", .type = ARPHRD_PPP, .flags = IFF_POINTOPOINT},
         {.name = "lan.10", .kind = "vlan", .below = "lan"},
         {.name = "lan.20", .kind = "vlan", .below = "lan"},
     }},
    {"a VPN gateway: WireGuard, xfrm, vti, OpenVPN",
     NULL,
     "ens3 wg0 ipsec0 vti0 tun0",
     {
         {.name = "lo", .type = ARPHRD_LOOPBACK, .flags = IFF_LOOPBACK},
         {.name = "ens3", .parent = "virtio0", .bus = "virtio"},
         {.name = "wg0", .kind = "wireguard", .type = ARPHRD_NONE},
         {.name = "ipsec0", .kind = "xfrm", .type = ARPHRD_NONE, .below = "ens3"},
         {.name = "vti0", .kind = "vti", .type = ARPHRD_TUNNEL},
         {.name = "tun0", .kind = "tun", .tun = IFF_TUN, .type = ARPHRD_NONE},
     }},
    {"a container, seen from inside",
     NULL,
     "eth0",
     {
         {.name = "lo", .type = ARPHRD_LOOPBACK, .flags = IFF_LOOPBACK},
         {.name = "eth0", .kind = "veth", .below = "eth0", .foreign = true, .index = 12},
     }},
    {"a container that was given a card, the default route by its veth",
     "eth0",
     "eth0 net1",
     {
         {.name = "lo", .type = ARPHRD_LOOPBACK, .flags = IFF_LOOPBACK},
         {.name = "eth0", .kind = "veth", .below = "eth0", .foreign = true, .index = 12},
         {.name = "net1", CARD("0000:01:00.2")},
     }},
    {"a container with a netkit end that was given a card, which has the default route",
     "net1",
     "net1",
     {
         {.name = "lo", .type = ARPHRD_LOOPBACK, .flags = IFF_LOOPBACK},
         {.name = "eth0", .kind = "netkit", .index = 12},
         {.name = "net1", CARD("0000:01:00.2")},
     }},
    /* ---- pairs that act as one card ---- */
    {/* The master's netdev has no rtnl_link_ops: netvsc_drv.c. IFF_SLAVE by
        netvsc_prepare_bonding(), IFLA_MASTER by netvsc_vf_join(). */
     "Azure with accelerated networking: a VF below netvsc",
     NULL,
     "eth0",
     {
         {.name = "eth0", .parent = "000d3a5b-0000", .bus = "vmbus"},
         {.name = "enP1s1",
          .parent = "0001:00:02.0",
          .bus = "pci",
          .flags = IFF_SLAVE,
          .master = "eth0"},
     }},
    {/* net_failover_create() gives the master its standby's parent; net/core/failover.c links both
        to it without IFF_SLAVE. */
     "virtio failover: master, standby and a VF",
     NULL,
     "ens3",
     {
         {.name = "ens3", .parent = "virtio0", .bus = "virtio"},
         {.name = "ens3nsby", .parent = "virtio0", .bus = "virtio", .master = "ens3"},
         {.name = "enp4s0", CARD("0000:04:00.0"), .master = "ens3"},
     }},
    {"the same in a bridge",
     NULL,
     "ens3 br0",
     {
         {.name = "ens3",
          .parent = "virtio0",
          .bus = "virtio",
          .master = "br0",
          .master_kind = "bridge"},
         {.name = "enp4s0", CARD("0000:04:00.0"), .master = "ens3"},
         {.name = "br0", .kind = "bridge"},
     }},
    {"a team in a bridge",
     NULL,
     "team0 br0",
     {
         {.name = "eno1", CARD("0000:01:00.0"), .master = "team0", .master_kind = "team"},
         {.name = "team0", .kind = "team", .master = "br0", .master_kind = "bridge"},
         {.name = "br0", .kind = "bridge"},
     }},
    {"a bond, told by its kind alone",
     NULL,
     "bond0",
     {
         {.name = "eno1", CARD("0000:01:00.0"), .master = "bond0", .master_kind = "bond"},
         {.name = "bond0", .kind = "bond"},
     }},
    {"a slave, told by its flag alone",
     NULL,
     "eql",
     {
         {.name = "ppp0", .kind = "ppp", .type = ARPHRD_PPP, .flags = IFF_SLAVE},
         {.name = "eql", .type = ARPHRD_SLIP},
     }},
    /* ---- switches ---- */
    {/* ovs_netdev_link() makes ports of the datapath's own device, of kind "openvswitch". */
     "Open vSwitch with a card, taps and a tunnel",
     NULL,
     "eno1 ovs-system br-int",
     {
         {.name = "eno1",
          CARD("0000:01:00.0"),
          .master = "ovs-system",
          .master_kind = "openvswitch"},
         {.name = "ovs-system", .kind = "openvswitch"},
         {.name = "br-int", .kind = "openvswitch"},
         {.name = "tap1",
          .kind = "tun",
          .tun = IFF_TAP,
          .master = "ovs-system",
          .master_kind = "openvswitch"},
         {.name = "vxlan_sys_4789",
          .kind = "vxlan",
          .master = "ovs-system",
          .master_kind = "openvswitch"},
     }},
    {"a bridge with a card, a VLAN, a tunnel and a veth",
     NULL,
     "eno1 br0",
     {
         {.name = "eno1", CARD("0000:01:00.0"), .master = "br0", .master_kind = "bridge"},
         {.name = "br0", .kind = "bridge"},
         {.name = "eno1.5",
          .kind = "vlan",
          .below = "eno1",
          .master = "br0",
          .master_kind = "bridge"},
         {.name = "gretap1", .kind = "gretap", .master = "br0", .master_kind = "bridge"},
         {.name = "veth1", .kind = "veth", .master = "br0", .master_kind = "bridge"},
     }},
    {/* dsa_user_create() sets the parent, dsa_user_get_iflink() the conduit. */
     "a DSA switch",
     NULL,
     "lan1 lan2 br0",
     {
         {.name = "eth0", .parent = "f1070000.ethernet", .bus = "platform"},
         {.name = "lan1",
          .kind = "dsa",
          .parent = "mdio-bus:00",
          .bus = "mdio_bus",
          .below = "eth0",
          .port = "p1",
          .master = "br0",
          .master_kind = "bridge"},
         {.name = "lan2",
          .kind = "dsa",
          .parent = "mdio-bus:00",
          .bus = "mdio_bus",
          .below = "eth0",
          .port = "p2"},
         {.name = "br0", .kind = "bridge"},
     }},
    {"a DSA switch before Linux 6.1, whose ports have no kind",
     NULL,
     "lan1 lan1.5",
     {
         {.name = "eth0", .parent = "f1070000.ethernet", .bus = "platform"},
         {.name = "lan1", .parent = "mdio-bus:00", .bus = "mdio_bus", .below = "eth0"},
         {.name = "lan1.5", .kind = "vlan", .below = "lan1"},
     }},
    {"a device of no kind above a card, but no card itself: no port of a switch",
     NULL,
     "eth0 above0",
     {
         {.name = "eth0", CARD("0000:01:00.0")},
         {.name = "above0", .below = "eth0"},
     }},
    {/* ipoib_get_iflink(): of a child the parent; its kind is "ipoib". */
     "InfiniBand: a child makes no conduit of its parent",
     NULL,
     "ib0 ib0.8001",
     {
         {.name = "ib0", .kind = "ipoib", CARD("0000:01:00.0"), .type = ARPHRD_INFINIBAND},
         {.name = "ib0.8001",
          .kind = "ipoib",
          CARD("0000:01:00.0"),
          .type = ARPHRD_INFINIBAND,
          .below = "ib0"},
     }},
    /* ---- what leads to guests ---- */
    {/* xenvif_alloc() sets the parent, a device of the bus xen-backend. */
     "Xen's dom0",
     NULL,
     "eno1 xenbr0",
     {
         {.name = "eno1", CARD("0000:01:00.0"), .master = "xenbr0", .master_kind = "bridge"},
         {.name = "xenbr0", .kind = "bridge"},
         {.name = "vif1.0",
          .parent = "vif-1-0",
          .bus = "xen-backend",
          .master = "xenbr0",
          .master_kind = "bridge"},
         {.name = "vif2.0", .parent = "vif-2-0", .bus = "xen-backend"},
     }},
    {"an SR-IOV card in switchdev mode",
     NULL,
     "enp1s0np0 enp1s0v1 br0",
     {
         {.name = "enp1s0np0", CARD("0000:01:00.0"), .port = "p0"},
         {.name = "enp1s0pf0vf0", CARD("0000:01:00.0"), .port = "pf0vf0"},
         {.name = "enp1s0pf0vf1",
          CARD("0000:01:00.0"),
          .port = "pf0vf1",
          .master = "br0",
          .master_kind = "bridge"},
         {.name = "enp1s0v1", CARD("0000:01:00.3")},
         {.name = "br0", .kind = "bridge"},
     }},
    /* ---- what is no traffic of this host ---- */
    {"devices that redirect, and monitors",
     NULL,
     "eno1 wlan0 eno2",
     {
         {.name = "eno1", CARD("0000:01:00.0")},
         {.name = "ifb0", .kind = "ifb"},
         {.name = "red", .kind = "vrf"},
         {.name = "nlmon0", .kind = "nlmon", .type = ARPHRD_NETLINK},
         {.name = "vsockmon0", .kind = "vsockmon", .type = ARPHRD_VSOCKMON},
         {.name = "wlan0", CARD("0000:02:00.0")},
         {.name = "mon0", CARD("0000:02:00.0"), .type = ARPHRD_IEEE80211_RADIOTAP},
         {.name = "mon1", CARD("0000:02:00.0"), .type = ARPHRD_IEEE80211_PRISM},
         {.name = "mon2", CARD("0000:02:00.0"), .type = ARPHRD_IEEE80211},
         {.name = "wpan0", CARD("0000:03:00.0"), .type = ARPHRD_IEEE802154_MONITOR},
         {.name = "can0", .parent = "spi0.0", .bus = "spi", .type = ARPHRD_CAN},
         {.name = "vcan0", .kind = "vcan", .type = ARPHRD_CAN},
         {.name = "eno2", CARD("0000:01:00.1"), .master = "red", .master_kind = "vrf"}, /* counted
                                                                                         */
     }},
    /* ---- pairs where there is no card ---- */
    {"no card: veth ends are counted, but not in a bridge",
     NULL,
     "eth0 br0 nk0",
     {
         {.name = "eth0", .kind = "veth"},
         {.name = "br0", .kind = "bridge"},
         {.name = "veth1", .kind = "veth", .master = "br0", .master_kind = "bridge"},
         {.name = "nk0", .kind = "netkit"},
     }},
    {"a host whose default route goes by a veth, in no bridge",
     "uplink",
     "uplink eno1",
     {
         {.name = "uplink", .kind = "veth"},
         {.name = "veth1", .kind = "veth"},
         {.name = "nk1", .kind = "netkit"},
         {.name = "eno1", CARD("0000:01:00.0")},
     }},
    {"the default route by a veth in a bridge is the bridge's affair",
     "veth1",
     "eno1 br0",
     {
         {.name = "eno1", CARD("0000:01:00.0")},
         {.name = "br0", .kind = "bridge"},
         {.name = "veth1", .kind = "veth", .master = "br0", .master_kind = "bridge"},
     }},
};

static unsigned count_specs(const struct spec *specs) {
    unsigned number = 0;

    while (specs[number].name)
        number++;
    return number;
}

static const char *list(const struct links *links, bool wanted) {
    static char text[2048];
    size_t length = 0;

    text[0] = 0;
    for (unsigned n = 0; n < links->number; n++)
        if (links->link[n].wanted == wanted)
            length += snprintf(text + length, sizeof(text) - length, "%s%s", length ? " " : "",
                               links->link[n].name);
    return text;
}

static int find_index(const struct links *links, const char *name) {
    for (unsigned n = 0; n < links->number; n++)
        if (!strcmp(links->link[n].name, name))
            return links->link[n].index;
    abort();
}

static bool in_bridge(const struct links *links, const char *name) {
    return links_find(links, find_index(links, name))->master;
}

static void is_counted(const char *promise, const struct spec *specs, unsigned number,
                       const char *default_route, const char *counted) {
    struct links links = read_links(specs, number);
    struct default_rule rule = {0};
    bool by_route = default_rule_mark(&rule, &links);

    if (default_route && !in_bridge(&links, default_route))
        ok(by_route, "%s: the default route matters", promise);
    else
        ok(!by_route, "%s: the default route is not asked for", promise);
    if (default_route) {
        rule.default_route[1][2] = find_index(&links, default_route);
        ok(default_rule_mark(&rule, &links) == by_route, "%s: so it does, once it is known",
           promise);
    }
    if (!is_text(list(&links, true), counted, "%s: what is counted", promise))
        diag("not counted: %s", list(&links, false));
    links_free(&links);
}

/* The container host: too many for a table. */
static void test_containers(void) {
    struct spec specs[64] = {
        {.name = "lo", .type = ARPHRD_LOOPBACK, .flags = IFF_LOOPBACK},
        {.name = "eno1", CARD("0000:01:00.0")},
        {.name = "docker0", .kind = "bridge"},
        {.name = "cilium_host", .kind = "vxlan"},
    };
    char names[60][IFNAMSIZ], text[400];
    struct default_rule rule = {0};
    struct links links;
    bool by_route;

    for (unsigned n = 0; n < 60; n++) {
        snprintf(names[n], sizeof(names[n]), "veth%u", n + 1);
        specs[4 + n] = (struct spec){.name = names[n], .kind = n % 2 ? "veth" : "netkit"};
        if (n < 50)
            specs[4 + n] = (struct spec){
                .name = names[n], .kind = "veth", .master = "docker0", .master_kind = "bridge"};
    }
    links = read_links(specs, 64);
    by_route = default_rule_mark(&rule, &links);
    ok(by_route, "a container host: whether a routed end has the default route matters");
    is_text(list(&links, true), "eno1 docker0 cilium_host",
            "50 containers in a bridge and ten routed: what is counted");
    default_rule_describe(&links, text, sizeof(text));
    is_text(text,
            "lo (loopback); veth1, veth2, veth3 and 47 more (in a bridge); "
            "veth51, veth52, veth53 and 7 more (to a container)",
            "what is said of the others");
    links_free(&links);
}

/* What is remembered from one look to the next. */
static void test_memory(void) {
    static const struct spec before[] = {{.name = "veth1", .kind = "veth", .index = 5},
                                         {.name = "eno1", CARD("0000:01:00.0")}};
    struct default_rule rule = {0};
    struct links links = read_links(before, 1);

    default_rule_mark(&rule, &links);
    is_text(list(&links, true), "veth1", "a veth where there is no card");
    links_free(&links);
    links = read_links(before, 2);
    default_rule_mark(&rule, &links);
    is_text(list(&links, true), "eno1", "a card comes: the veth leads to a container");
    links_free(&links);
    links = read_links(before, 1);
    default_rule_mark(&rule, &links);
    is_text(list(&links, true), "", "the card goes: it does still");
    links_free(&links);
}

/* A veth that is down makes nobody look for the default route. */
static void test_down(void) {
    static const struct spec specs[] = {{.name = "veth1", .kind = "veth"},
                                        {.name = "eno1", CARD("0000:01:00.0")}};
    struct default_rule rule = {0};
    struct links links = read_links(specs, 2);
    char text[100];

    links.link[0].flags &= ~IFF_UP;
    ok(!default_rule_mark(&rule, &links),
       "a veth that is down: the default route is not asked for");
    default_rule_describe(&links, text, sizeof(text));
    is_text(text, "", "and nothing is said of it");
    links_free(&links);
}

static void test_describe(void) {
    static const struct spec specs[] = {
        {.name = "lo", .type = ARPHRD_LOOPBACK, .flags = IFF_LOOPBACK},
        {.name = "eno1",
         CARD("0000:01:00.0"),
         .flags = IFF_SLAVE,
         .master = "bond0",
         .master_kind = "bond"},
        {.name = "eno2",
         CARD("0000:01:00.1"),
         .flags = IFF_SLAVE,
         .master = "bond0",
         .master_kind = "bond"},
        {.name = "bond0", .kind = "bond"},
        {.name = "eth0", .parent = "f1070000.ethernet", .bus = "platform"},
        {.name = "lan1", .kind = "dsa", .parent = "mdio-bus:00", .below = "eth0"},
        {.name = "vif1.0", .parent = "vif-1-0", .bus = "xen-backend"},
        {.name = "eno1r0", CARD("0000:01:00.0"), .port = "pf0vf0"},
        {.name = "ifb0", .kind = "ifb"},
        {.name = "red", .kind = "vrf"},
        {.name = "nlmon0", .kind = "nlmon", .type = ARPHRD_NETLINK},
        {.name = "can0", .type = ARPHRD_CAN},
        {.name = "br0", .kind = "bridge"},
        {.name = "tap0", .kind = "tun", .tun = IFF_TAP, .master = "br0", .master_kind = "bridge"},
        {.name = "veth1", .kind = "veth"},
    };
    struct default_rule rule = {0};
    struct links links = read_links(specs, sizeof(specs) / sizeof(specs[0]));
    char text[800];

    default_rule_mark(&rule, &links);
    default_rule_describe(&links, text, sizeof(text));
    is_text(text,
            "lo (loopback); eno1, eno2 (in a bond, team or failover device); "
            "eth0 (below the ports of a DSA switch); vif1.0 (to a Xen guest); "
            "eno1r0 (SR-IOV representor); ifb0 (ifb: redirected packets); "
            "red (VRF: its ports are counted); nlmon0 (monitor); can0 (CAN); "
            "tap0 (in a bridge); veth1 (to a container)",
            "each reason in its words");
    default_rule_describe(&links, text, 60);
    is_text(text, "lo (loopback); eth0 (below the ports of a DSA switch)",
            "what there is no room for is left out as a whole");
    default_rule_describe(&links, text, 14);
    is_text(text, "lo (loopback)", "room for one and its end");
    default_rule_describe(&links, text, 26);
    is_text(text, "lo (loopback); can0 (CAN)", "room for two, what is between them, and its end");
    default_rule_describe(&links, text, 25);
    is_text(text, "lo (loopback)", "one byte less");
    default_rule_describe(&links, text, 13);
    is_text(text, "can0 (CAN)", "one byte less");
    default_rule_describe(&links, text, 1);
    is_text(text, "", "room for none");
    links_free(&links);
}

int main(void) {
    for (unsigned n = 0; n < sizeof(hosts) / sizeof(hosts[0]); n++)
        is_counted(hosts[n].promise, hosts[n].links, count_specs(hosts[n].links),
                   hosts[n].default_route, hosts[n].counted);
    test_containers();
    test_memory();
    test_down();
    test_describe();
    return tap_end();
}
