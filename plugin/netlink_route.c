/* SPDX-License-Identifier: MIT */
/* The default route. */
#include "netlink_private.h"

#include <arpa/inet.h>
#include <linux/rtnetlink.h>

/* Where the packets of a route go. */
struct nexthops {
    int *interfaces;
    unsigned number, capacity;
};

static void add_nexthop(struct nexthops *nexthops, int interface) {
    if (interface && nexthops->number < nexthops->capacity)
        nexthops->interfaces[nexthops->number++] = interface;
}

static void parse_oif(struct nexthops *nexthops, const struct nlattr *attribute) {
    if (mnl_attr_validate(attribute, MNL_TYPE_U32) >= 0)
        add_nexthop(nexthops, (int)mnl_attr_get_u32(attribute));
}

/* RTA_MULTIPATH: struct rtnexthop, each followed by attributes of its own. */
static void parse_multipath(struct nexthops *nexthops, const struct nlattr *attribute) {
    const char *next = mnl_attr_get_payload(attribute);
    size_t left = mnl_attr_get_payload_len(attribute);
    struct rtnexthop nexthop;

    while (left >= sizeof(nexthop)) {
        size_t length;

        memcpy(&nexthop, next, sizeof(nexthop));
        length = RTNH_ALIGN(nexthop.rtnh_len);
        if (nexthop.rtnh_len < sizeof(nexthop))
            return;
        add_nexthop(nexthops, nexthop.rtnh_ifindex);
        if (length >= left)
            return;
        next += length;
        left -= length;
    }
}

/* The only message of a reply. */
static int parse_route(const struct nlmsghdr *message, void *context) {
    const struct rtmsg *route = mnl_nlmsg_get_payload(message);
    struct nexthops *nexthops = context;
    const struct nlattr *attribute;

    if (message->nlmsg_type != RTM_NEWROUTE ||
        mnl_nlmsg_get_payload_len(message) < sizeof(*route) || route->rtm_dst_len ||
        route->rtm_type != RTN_UNICAST)
        return MNL_CB_STOP;
    mnl_attr_for_each(attribute, message, sizeof(*route)) {
        if (mnl_attr_get_type(attribute) == RTA_OIF)
            parse_oif(nexthops, attribute);
        else if (mnl_attr_get_type(attribute) == RTA_MULTIPATH)
            parse_multipath(nexthops, attribute);
    }
    return MNL_CB_STOP;
}

int netlink_default_route(int family, int *interfaces, unsigned capacity) {
    /* For documentation, so in nobody's network: RFC 5737 section 3, RFC 3849 section 2. */
    const char *far = family == AF_INET6 ? "2001:db8::1" : "192.0.2.1";
    const size_t size = family == AF_INET6 ? sizeof(struct in6_addr) : sizeof(struct in_addr);
    struct nexthops nexthops = {.interfaces = interfaces, .capacity = capacity};
    char buffer[REQUEST_BUFFER_SIZE];
    struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
    struct rtmsg *route = mnl_nlmsg_put_extra_header(request, sizeof(*route));
    struct in6_addr address;
    int error;

    if (inet_pton(family, far, &address) != 1)
        return -EAFNOSUPPORT;
    request->nlmsg_type = RTM_GETROUTE;
    route->rtm_family = family;
    route->rtm_dst_len = 8 * size;
    route->rtm_flags = RTM_F_FIB_MATCH; /* the entry that matched, Linux 4.13 */
    mnl_attr_put(request, RTA_DST, size, &address);
    error = netlink_request(NETLINK_ROUTE, request, 0, parse_route, &nexthops);
    return error < 0 ? error : (int)nexthops.number;
}
