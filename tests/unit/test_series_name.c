/* SPDX-License-Identifier: MIT */
/*
 * The names of the series. Dashboards depend on them: a test that fails here is a change of the
 * interface.
 *
 * Links: plugin/series_name.c.
 */
#include "series_name.h"

#include "tap.h"

/* The keyword of each protocol that has one. Literal numbers: the names are an interface. */
static const struct {
    __u32 protocol;
    const char *keyword;
} keywords[] = {
    {0, "hopopt"},     {1, "icmp"},      {2, "igmp"},         {4, "ipv4"},       {6, "tcp"},
    {8, "egp"},        {12, "pup"},      {17, "udp"},         {22, "xns-idp"},   {29, "iso-tp4"},
    {33, "dccp"},      {41, "ipv6"},     {43, "ipv6-route"},  {44, "ipv6-frag"}, {46, "rsvp"},
    {47, "gre"},       {50, "esp"},      {51, "ah"},          {58, "ipv6-icmp"}, {59, "ipv6-nonxt"},
    {60, "ipv6-opts"}, {92, "mtp"},      {98, "encap"},       {103, "pim"},      {108, "ipcomp"},
    {132, "sctp"},     {136, "udplite"}, {137, "mpls-in-ip"}, {143, "ethernet"},
};

#define KEYWORDS (sizeof(keywords) / sizeof(keywords[0]))

static const char *fixed_name(__u32 slot) {
    static char name[SERIES_NAME_SIZE];

    series_name(name, slot, PB_KEYS);
    return name;
}

static const char *port_name(__u32 transport, __u32 port) {
    static char name[SERIES_NAME_SIZE];

    series_name(name, PB_FIXED_SLOTS, PB_KEY(transport, port));
    return name;
}

static void test_buckets(void) {
    is_text(fixed_name(PB_SLOT_OTHER(PB_TCP)), "tcp-other", "TCP ports without a series");
    is_text(fixed_name(PB_SLOT_OTHER(PB_UDP)), "udp-other", "UDP ports without a series");
    is_text(fixed_name(PB_SLOT_OTHER(PB_SCTP)), "sctp-other", "SCTP ports without a series");
    is_text(fixed_name(PB_SLOT_EPHEMERAL(PB_TCP)), "tcp-ephemeral", "ephemeral TCP ports");
    is_text(fixed_name(PB_SLOT_EPHEMERAL(PB_UDP)), "udp-ephemeral", "ephemeral UDP ports");
    is_text(fixed_name(PB_SLOT_EPHEMERAL(PB_SCTP)), "sctp-ephemeral", "ephemeral SCTP ports");
    is_text(fixed_name(PB_SLOT_NONIP), "nonip", "what is not IP");
    is_text(fixed_name(PB_SLOT_DECRYPTED), "decrypted", "what IPsec decrypted");
}

static void test_protocols(void) {
    bool has_keyword[PB_PROTOCOLS] = {false};
    char expected[SERIES_NAME_SIZE];
    unsigned wrong = 0;

    for (unsigned i = 0; i < KEYWORDS; i++) {
        snprintf(expected, sizeof(expected), "ip-%s", keywords[i].keyword);
        is_text(fixed_name(PB_SLOT_IP(keywords[i].protocol)), expected,
                "protocol %u has its keyword as name", keywords[i].protocol);
        has_keyword[keywords[i].protocol] = true;
    }
    is_text(fixed_name(PB_SLOT_IP(3)), "ip-3", "a protocol without a constant has its number");
    is_text(fixed_name(PB_SLOT_IP(253)), "ip-253", "an experimental protocol has its number");
    is_text(fixed_name(PB_SLOT_IP(255)), "ip-255", "the last protocol has its number");

    /* 135 is "Mobility Header" (RFC 6275): IANA lists no keyword that could be part of a name. */
    for (__u32 protocol = 0; protocol < PB_PROTOCOLS; protocol++) {
        snprintf(expected, sizeof(expected), "ip-%u", protocol);
        wrong += !has_keyword[protocol] && strcmp(fixed_name(PB_SLOT_IP(protocol)), expected) != 0;
    }
    is_u64(wrong, 0, "every protocol without a keyword has its number");
}

static void test_fixed_names_differ(void) {
    static char all[PB_FIXED_SLOTS][SERIES_NAME_SIZE];
    unsigned same = 0, bad = 0;

    for (__u32 slot = 1; slot < PB_FIXED_SLOTS; slot++) {
        series_name(all[slot], slot, PB_KEYS);
        bad += strspn(all[slot], "abcdefghijklmnopqrstuvwxyz0123456789-") != strlen(all[slot]);
        for (__u32 before = 1; before < slot; before++)
            same += !strcmp(all[slot], all[before]);
    }
    is_u64(same, 0, "no two fixed slots have the same name");
    is_u64(bad, 0, "names consist of letters, digits and dashes: no writer changes them");
}

static void test_ports(void) {
    is_text(port_name(PB_TCP, 443), "tcp-443", "a TCP port");
    is_text(port_name(PB_UDP, 53), "udp-53", "a UDP port");
    is_text(port_name(PB_SCTP, 36412), "sctp-36412", "an SCTP port");
    is_text(port_name(PB_TCP, 0), "tcp-0", "the first port of the first transport");
    is_text(port_name(PB_TCP, 65535), "tcp-65535", "the last TCP port");
    is_text(port_name(PB_UDP, 0), "udp-0", "the first UDP port");
    is_text(port_name(PB_SCTP, 65535), "sctp-65535", "the last port of the last transport");
}

int main(void) {
    test_buckets();
    test_protocols();
    test_fixed_names_differ();
    test_ports();
    return tap_end();
}
