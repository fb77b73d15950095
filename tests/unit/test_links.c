/* SPDX-License-Identifier: MIT */
/*
 * Links and routes as they are read from netlink dumps: what is a card, a port, a representor;
 * alternative names; what is cut short or odd; kernels that tell it by sysfs.
 *
 * Links: plugin/netlink_links.c, plugin/netlink_route.c and what they use, but for libmnl's
 * sockets. LDFLAGS: -Wl,--wrap=uname,--wrap=access,--wrap=readlink
 */
#include <errno.h>
#include <netinet/in.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "links_fixture.h"
#include "tap.h"

/* ---- the kernel's release, and sysfs ---- */

static const char *release = "6.1.0";
static const char *device, *subsystem; /* of an interface of this name */
static unsigned file_accesses;

int __wrap_uname(struct utsname *name);
int __wrap_access(const char *path, int mode);
ssize_t __wrap_readlink(const char *path, char *to, size_t size);

int __wrap_uname(struct utsname *name) {
    snprintf(name->release, sizeof(name->release), "%s", release);
    return 0;
}

int __wrap_access(const char *path, int mode) {
    char expected[128];

    (void)mode;
    file_accesses++;
    snprintf(expected, sizeof(expected), "/sys/class/net/%s/device", device ? device : "");
    return strcmp(path, expected) ? -1 : 0;
}

ssize_t __wrap_readlink(const char *path, char *to, size_t size) {
    char expected[128];

    file_accesses++;
    snprintf(expected, sizeof(expected), "/sys/class/net/%s/device/subsystem", device);
    if (strcmp(path, expected) != 0 || strlen(subsystem) > size)
        return -1;
    memcpy(to, subsystem, strlen(subsystem)); /* not terminated */
    return (ssize_t)strlen(subsystem);
}

/* ---- one link ---- */

static struct links one;

static const struct netlink_link *read_one(const struct spec *spec) {
    links_free(&one);
    one = read_links(spec, 1);
    if (one.number != 1)
        abort();
    return &one.link[0];
}

static void test_fields(void) {
    static const struct spec specs[] = {
        {.name = "bond0", .kind = "bond", .index = 7},
        {.name = "eno1",
         .flags = IFF_SLAVE,
         .master = "bond0",
         .master_kind = "bond",
         .parent = "0000:01:00.0",
         .bus = "pci",
         .port = "p0"},
        {.name = "bond0.5", .kind = "vlan", .below = "bond0"},
        {.name = "veth0", .kind = "veth", .below = "eno1", .foreign = true},
        {.name = "eth9", .below = "eth9", .type = ARPHRD_INFINIBAND},
    };
    struct links links = read_links(specs, 5);
    const struct netlink_link *link = links.link;

    is_u64(links.number, 5, "five links");
    is_u64(last_request.nlmsg_flags, NLM_F_REQUEST | NLM_F_DUMP, "by a dump");
    ok(link[0].index == 7 && !strcmp(link[0].name, "bond0") && !strcmp(link[0].kind, "bond") &&
           !link[0].card && !link[0].master && !link[0].master_kind[0] && !link[0].altnames,
       "a bond");
    ok(link[1].card && link[1].master == 7 && !strcmp(link[1].master_kind, "bond") &&
           !link[1].kind[0] && link[1].flags == (IFF_UP | IFF_SLAVE) &&
           link[1].type == ARPHRD_ETHER,
       "a card that is its port");
    ok(link[2].below == 7 && !link[2].card, "a VLAN on it");
    is_u64(link[3].below, 0, "what is below in another network namespace is not in this one");
    ok(!link[4].below && link[4].type == ARPHRD_INFINIBAND, "below itself: nothing is below");
    links_free(&links);
    ok(!links.number && !links.link, "freed: there are none");
}

/* By __devlink_port_phys_port_name_get() where nothing else is said. */
static void test_representors(void) {
    static const struct {
        const char *port, *promise;
        bool representor;
    } ports[] = {
        {"p0", "a card's port", false},
        {"p0s1", "a part of a split one", false},
        {"l1p0", "one on a line card", false},
        {"n0", "a vNIC (nfp)", false},
        {"pf0", "a PF", true},
        {"pf0vf1", "a VF", true},
        {"pf12vf128", "a VF with larger numbers", true},
        {"pf0sf88", "a subfunction", true},
        {"c1pf0", "a PF of another controller", true},
        {"c1pf0vf1", "a VF of another controller", true},
        {"p0pf0vf1", "a VF (sfc)", true},
        {"pf0vfr1", "a VF (ice)", true},
        {"pf", "no number", false},
        {"cpf0", "no number either", false},
        {"", "nothing", false},
    };

    for (unsigned n = 0; n < sizeof(ports) / sizeof(ports[0]); n++) {
        const struct spec spec = {
            .name = "eth0", .parent = "0000:01:00.0", .bus = "pci", .port = ports[n].port};
        const struct netlink_link *link = read_one(&spec);

        ok(link->representor == ports[n].representor && link->card == !ports[n].representor,
           "port \"%s\", %s: %s", ports[n].port, ports[n].promise,
           ports[n].representor ? "a representor, no card" : "a card");
    }
}

static void test_xen(void) {
    const struct netlink_link *link;

    link = read_one(&(struct spec){.name = "vif1.0", .parent = "vif-1-0", .bus = "xen-backend"});
    ok(link->xen_backend && !link->card, "on bus xen-backend: Xen's backend, no card");
    link = read_one(&(struct spec){.name = "eth0", .parent = "vif-0", .bus = "xen"});
    ok(!link->xen_backend && link->card, "on bus xen, its other end: a card");
    link = read_one(&(struct spec){.name = "eth0", .parent = "platform"});
    ok(link->card, "a parent on no bus: a card");
}

static void test_tun(void) {
    static const struct {
        int mode;
        unsigned short type;
        bool l3;
        const char *promise;
    } devices[] = {
        {IFF_TUN, ARPHRD_NONE, true, "tun"},
        {IFF_TAP, ARPHRD_ETHER, false, "tap"},
        {IFF_TUN, ARPHRD_ETHER, true, "tun whose type was changed by TUNSETLINK"},
        {IFF_TAP, ARPHRD_NONE, false, "tap whose type was changed"},
        {0, ARPHRD_NONE, true, "its mode isn't told: by type, tun"},
        {0, ARPHRD_ETHER, false, "its mode isn't told: by type, tap"},
    };
    const struct netlink_link *link;

    for (unsigned n = 0; n < sizeof(devices) / sizeof(devices[0]); n++) {
        const struct spec spec = {
            .name = "t0", .kind = "tun", .type = devices[n].type, .tun = devices[n].mode};

        ok(read_one(&spec)->l3 == devices[n].l3, "%s", devices[n].promise);
    }
    /* IFLA_INFO_DATA has another meaning for each kind. */
    link = read_one(&(struct spec){.name = "x0", .kind = "macvlan", .tun = IFF_TUN});
    ok(!link->l3, "the same attribute of another kind means nothing");
}

static void test_altnames(void) {
    static char longest[128]; /* ALTIFNAMSIZ, with its end */
    const struct netlink_link *link;
    struct links links;

    memset(longest, 'x', sizeof(longest) - 1);
    const struct spec spec = {.name = "eth0", .altnames = {"enp1s0", longest, "enx020000000001"}};
    link = read_one(&spec);
    ok(link->altnames && !strcmp(link->altnames, "enp1s0"), "the first alternative name");
    if (link->altnames) {
        const char *second = link->altnames + sizeof("enp1s0");
        const char *third = second + sizeof(longest);

        is_text(second, longest, "the second, of 127 bytes");
        is_text(third, "enx020000000001", "the third");
        is_text(third + sizeof("enx020000000001"), "", "then an empty one");
    }
    links = one;
    ok(links_have_name(&links, "eth0") && links_have_name(&links, longest) &&
           links_have_name(&links, "enx020000000001"),
       "a link is found by any of its names");
    ok(!links_have_name(&links, "enp1s") && !links_have_name(&links, "") &&
           !links_have_name(&links, "enx020000000001x"),
       "and by no other");
    ok(!read_one(&(struct spec){.name = "eth0"})->altnames, "no alternative names: NULL");
    ok(!read_one(&(struct spec){.name = "eth0", .altnames = {""}})->altnames, "an empty one: NULL");
}

/* ---- what is odd ---- */

/* One link, whose attributes the callback puts. */
static struct links read_odd(void (*put)(struct nlmsghdr *message)) {
    struct links links = {0};
    struct netlink *netlink;
    struct nlmsghdr *message;

    begin_reply();
    message = begin_message(RTM_NEWLINK);
    mnl_nlmsg_put_extra_header(message, sizeof(struct ifinfomsg));
    put(message);
    end_message(message);
    end_dump();
    if (netlink_open(&netlink) || netlink_links(netlink, &links.link, &links.number))
        abort();
    netlink_close(netlink);
    return links;
}

static void put_unterminated(struct nlmsghdr *message) {
    mnl_attr_put_strz(message, IFLA_IFNAME, "eth0");
    struct nlattr *linkinfo = mnl_attr_nest_start(message, IFLA_LINKINFO);
    mnl_attr_put(message, IFLA_INFO_KIND, 4, "veth");
    mnl_attr_put(message, IFLA_INFO_SLAVE_KIND, 6, "bridge");
    mnl_attr_nest_end(message, linkinfo);
    struct nlattr *list = mnl_attr_nest_start(message, IFLA_PROP_LIST);
    mnl_attr_put(message, IFLA_ALT_IFNAME, 2, "x0");
    mnl_attr_nest_end(message, list);
    mnl_attr_put(message, IFLA_PHYS_PORT_NAME, 3, "pf0");
    mnl_attr_put(message, IFLA_PARENT_DEV_BUS_NAME, 11, "xen-backend");
    mnl_attr_put_u16(message, IFLA_MASTER, 3);
    mnl_attr_put_u16(message, IFLA_LINK, 3);
}

static void put_long(struct nlmsghdr *message) {
    mnl_attr_put_strz(message, IFLA_IFNAME, "eth0");
    struct nlattr *linkinfo = mnl_attr_nest_start(message, IFLA_LINKINFO);
    mnl_attr_put_strz(message, IFLA_INFO_SLAVE_KIND, "a-kind-of-24-characters-");
    mnl_attr_nest_end(message, linkinfo);
}

static void put_long_name(struct nlmsghdr *message) {
    mnl_attr_put_strz(message, IFLA_IFNAME, "sixteen-letters-");
}

static void put_two_lists(struct nlmsghdr *message) {
    mnl_attr_put_strz(message, IFLA_IFNAME, "eth0");
    for (int n = 0; n < 2; n++) {
        struct nlattr *list = mnl_attr_nest_start(message, IFLA_PROP_LIST);
        mnl_attr_put_strz(message, IFLA_ALT_IFNAME, n ? "x1" : "x0");
        mnl_attr_nest_end(message, list);
    }
}

static void put_list_without_name(struct nlmsghdr *message) {
    struct nlattr *list = mnl_attr_nest_start(message, IFLA_PROP_LIST);
    mnl_attr_put_strz(message, IFLA_ALT_IFNAME, "x0");
    mnl_attr_nest_end(message, list);
}

static void test_odd(void) {
    struct links links = read_odd(put_unterminated);
    const struct netlink_link *link = links.link;

    ok(links.number == 1 && !link->kind[0] && !link->master_kind[0] && !link->altnames &&
           !link->representor && !link->xen_backend && !link->master && !link->below,
       "text without an end and numbers that are too short are not believed");
    links_free(&links);
    links = read_odd(put_long);
    is_text(links.link[0].master_kind, "a-kind-of-24-ch", "a long kind is truncated, not empty");
    links_free(&links);
    links = read_odd(put_long_name);
    is_u64(links.number, 0, "a name that is too long: no link");
    links = read_odd(put_two_lists);
    is_text(links.link[0].altnames, "x0", "of two lists of alternative names the first");
    links_free(&links);
    links = read_odd(put_list_without_name);
    is_u64(links.number, 0, "no name, but alternative ones: no link");
}

/* ---- before Linux 5.14 ---- */

static void test_sysfs(void) {
    static const char *const releases[] = {"5.14.0", "5.14", "6.0.1-arch", "10.1"};
    const struct netlink_link *link;

    device = "eth0";
    subsystem = "../../../../bus/pci";
    for (unsigned n = 0; n < sizeof(releases) / sizeof(releases[0]); n++) {
        file_accesses = 0;
        release = releases[n];
        link = read_one(&(struct spec){.name = "eth0"});
        ok(!link->card && !file_accesses, "Linux %s: sysfs is not asked", release);
    }
    release = "5.13.19-generic";
    ok(read_one(&(struct spec){.name = "eth0"})->card, "Linux 5.13: a card, by sysfs");
    ok(!read_one(&(struct spec){.name = "eth1"})->card, "none without a device");
    ok(!read_one(&(struct spec){.name = "eth0", .port = "pf0vf0"})->card, "nor is a representor");
    subsystem = "../../../bus/xen-backend";
    link = read_one(&(struct spec){.name = "eth0"});
    ok(link->xen_backend && !link->card, "nor Xen's backend");
    subsystem = "../../../bus/xen";
    link = read_one(&(struct spec){.name = "eth0"});
    ok(!link->xen_backend && link->card, "its other end is one");
    release = "6.1.0";
}

/* ---- the default route ---- */

struct hop {
    unsigned short length;
    int interface;
};

/* As fib_dump_info() in net/ipv4/fib_semantics.c, and rt6_fill_node() in net/ipv6/route.c. */
static void add_route(unsigned char length, unsigned char type, int oif, const struct hop *hops,
                      unsigned number) {
    struct nlmsghdr *message;
    struct rtmsg *route;
    struct nlattr *multipath;

    begin_reply();
    message = begin_message(RTM_NEWROUTE);
    route = mnl_nlmsg_put_extra_header(message, sizeof(*route));
    route->rtm_dst_len = length;
    route->rtm_type = type;
    mnl_attr_put_u32(message, RTA_TABLE, RT_TABLE_MAIN);
    if (oif)
        mnl_attr_put_u32(message, RTA_OIF, oif);
    if (number) {
        multipath = mnl_attr_nest_start(message, RTA_MULTIPATH);
        for (unsigned n = 0; n < number; n++) {
            char hop[16] = {0}; /* with a gateway: an attribute of 8 bytes */
            const struct rtnexthop nexthop = {.rtnh_len = hops[n].length,
                                              .rtnh_ifindex = hops[n].interface};

            memcpy(hop, &nexthop, sizeof(nexthop));
            memcpy(mnl_nlmsg_get_payload_tail(message), hop, sizeof(hop));
            message->nlmsg_len += sizeof(hop);
        }
        mnl_attr_nest_end(message, multipath);
    }
    end_message(message);
}

static void test_default_route(void) {
    const struct hop two[] = {{16, 3}, {16, 5}}, no_length[] = {{0, 3}, {16, 5}},
                     too_long[] = {{16, 3}, {200, 5}}, too_short[] = {{4, 3}};
    int found[4] = {0};

    add_route(0, RTN_UNICAST, 4, NULL, 0);
    ok(netlink_default_route(AF_INET, found, 4) == 1 && found[0] == 4, "IPv4: one interface");
    ok(last_request.nlmsg_type == RTM_GETROUTE && last_request.nlmsg_flags == NLM_F_REQUEST,
       "by one look-up, no dump");
    add_route(0, RTN_UNICAST, 6, NULL, 0);
    ok(netlink_default_route(AF_INET6, found, 4) == 1 && found[0] == 6, "IPv6: one interface");
    add_route(0, RTN_UNICAST, 0, two, 2);
    ok(netlink_default_route(AF_INET, found, 4) == 2 && found[0] == 3 && found[1] == 5,
       "two, by several paths");
    found[1] = 0;
    add_route(0, RTN_UNICAST, 0, two, 2);
    ok(netlink_default_route(AF_INET, found, 1) == 1 && found[0] == 3 && !found[1],
       "no more than there is room for");
    add_route(24, RTN_UNICAST, 4, NULL, 0);
    is_u64(netlink_default_route(AF_INET, found, 4), 0,
           "a more specific route is no default route");
    add_route(0, RTN_BLACKHOLE, 4, NULL, 0);
    is_u64(netlink_default_route(AF_INET, found, 4), 0, "nor is a blackhole");
    add_route(0, RTN_UNICAST, 0, no_length, 2);
    is_u64(netlink_default_route(AF_INET, found, 4), 0, "a path without length ends the list");
    add_route(0, RTN_UNICAST, 0, too_short, 1);
    is_u64(netlink_default_route(AF_INET, found, 4), 0, "so does one that is too short");
    add_route(0, RTN_UNICAST, 0, too_long, 2);
    is_u64(netlink_default_route(AF_INET, found, 4), 2, "one that is too long is the last");
    reply_error = ENETUNREACH;
    ok(netlink_default_route(AF_INET, found, 4) == -ENETUNREACH, "no route at all: an error");
    reply_error = 0;
    ok(netlink_default_route(AF_UNIX, found, 4) == -EAFNOSUPPORT, "no such family: an error");
}

int main(void) {
    test_fields();
    test_representors();
    test_xen();
    test_tun();
    test_altnames();
    test_odd();
    test_sysfs();
    test_default_route();
    links_free(&one);
    return tap_end();
}
