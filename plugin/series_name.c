/* SPDX-License-Identifier: MIT */
#include "series_name.h"

#include <netinet/in.h>
#include <stdio.h>

/*
 * The keywords of IANA's registry "Assigned Internet Protocol Numbers", in lower case, for the
 * protocols that <netinet/in.h> has a constant for.
 */
static const char *const protocol_names[PB_PROTOCOLS] = {
    [IPPROTO_HOPOPTS] = "hopopt",
    [IPPROTO_ICMP] = "icmp",
    [IPPROTO_IGMP] = "igmp",
    [IPPROTO_IPIP] = "ipv4",
    [IPPROTO_TCP] = "tcp",
    [IPPROTO_EGP] = "egp",
    [IPPROTO_PUP] = "pup",
    [IPPROTO_UDP] = "udp",
    [IPPROTO_IDP] = "xns-idp",
    [IPPROTO_TP] = "iso-tp4",
    [IPPROTO_DCCP] = "dccp",
    [IPPROTO_IPV6] = "ipv6",
    [IPPROTO_ROUTING] = "ipv6-route",
    [IPPROTO_FRAGMENT] = "ipv6-frag",
    [IPPROTO_RSVP] = "rsvp",
    [IPPROTO_GRE] = "gre",
    [IPPROTO_ESP] = "esp",
    [IPPROTO_AH] = "ah",
    [IPPROTO_ICMPV6] = "ipv6-icmp",
    [IPPROTO_NONE] = "ipv6-nonxt",
    [IPPROTO_DSTOPTS] = "ipv6-opts",
    [IPPROTO_MTP] = "mtp",
    [IPPROTO_ENCAP] = "encap",
    [IPPROTO_PIM] = "pim",
    [IPPROTO_COMP] = "ipcomp",
    [IPPROTO_SCTP] = "sctp",
    [IPPROTO_UDPLITE] = "udplite",
    [IPPROTO_MPLS] = "mpls-in-ip",
    [143] = "ethernet", /* IPPROTO_ETHERNET, which older glibc lacks */
};

static const char *const transport_names[PB_TRANSPORTS] = {"tcp", "udp", "sctp"};

void series_name(char name[SERIES_NAME_SIZE], __u32 slot, __u32 key) {
    if (slot >= PB_FIXED_SLOTS) {
        snprintf(name, SERIES_NAME_SIZE, "%s-%u", transport_names[key / PB_PORTS % PB_TRANSPORTS],
                 key % PB_PORTS);
    } else if (slot < PB_SLOT_EPHEMERAL(0)) {
        snprintf(name, SERIES_NAME_SIZE, "%s-other", transport_names[slot - PB_SLOT_OTHER(0)]);
    } else if (slot < PB_SLOT_IP(0)) {
        snprintf(name, SERIES_NAME_SIZE, "%s-ephemeral",
                 transport_names[slot - PB_SLOT_EPHEMERAL(0)]);
    } else if (slot == PB_SLOT_NONIP) {
        snprintf(name, SERIES_NAME_SIZE, "nonip");
    } else if (slot == PB_SLOT_DECRYPTED) {
        snprintf(name, SERIES_NAME_SIZE, "decrypted");
    } else if (protocol_names[slot - PB_SLOT_IP(0)]) {
        snprintf(name, SERIES_NAME_SIZE, "ip-%s", protocol_names[slot - PB_SLOT_IP(0)]);
    } else {
        snprintf(name, SERIES_NAME_SIZE, "ip-%u", slot - PB_SLOT_IP(0));
    }
}
