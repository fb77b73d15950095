/* SPDX-License-Identifier: MIT */
/*
 * What the settings mean: which interfaces, which header, which port, which range is folded, and
 * which changes of the settings make pinned state useless. The limit of repeated messages too.
 *
 * Links: plugin/policy.c and what it uses.
 */
#include <net/if_arp.h>
#include <stdlib.h>

#include "capture.h"
#include "log_limit.h"
#include "policy.h"
#include "tap.h"

static struct settings defaults(void) {
    struct settings settings;

    if (config_defaults(&settings))
        abort();
    return settings;
}

static void test_wants(void) {
    struct settings settings = defaults();
    struct netlink_link link = {.name = "eth0"};

    ok(policy_wants(&settings, &link), "by default an interface is counted");
    link.flags = IFF_LOOPBACK;
    ok(!policy_wants(&settings, &link), "but not loopback");
    link = (struct netlink_link){.name = "eth0", .enslaved = true};
    ok(!policy_wants(&settings, &link), "nor one that is enslaved");
    if (selection_add(settings.interfaces, "eth0", NULL, 0))
        abort();
    ok(policy_wants(&settings, &link), "unless it is named");
    config_free(&settings);
}

static void test_l2(void) {
    static const struct {
        unsigned short type;
        __u32 l2_len;
        const char *name;
    } types[] = {
        {ARPHRD_ETHER, 14, "Ethernet"}, {ARPHRD_LOOPBACK, 14, "loopback"},
        {ARPHRD_NONE, 0, "none (tun)"}, {ARPHRD_PPP, 0, "PPP"},
        {ARPHRD_TUNNEL, 0, "ipip"},     {ARPHRD_IPGRE, PB_L2_UNKNOWN, "GRE"},
    };

    for (unsigned i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        is_u64(policy_l2_len(types[i].type), types[i].l2_len, "%s: bytes before L3", types[i].name);
}

static void test_ports(void) {
    static const struct {
        enum count_by count_by;
        enum pb_port ingress, egress;
        const char *name;
    } all[] = {
        {COUNT_LOCAL, PB_PORT_DESTINATION, PB_PORT_SOURCE, "local"},
        {COUNT_REMOTE, PB_PORT_SOURCE, PB_PORT_DESTINATION, "remote"},
        {COUNT_DESTINATION, PB_PORT_DESTINATION, PB_PORT_DESTINATION, "destination"},
        {COUNT_SOURCE, PB_PORT_SOURCE, PB_PORT_SOURCE, "source"},
        {COUNT_LOWER, PB_PORT_LOWER, PB_PORT_LOWER, "lower"},
    };
    struct settings settings = defaults();

    for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct classifier_settings classifier;

        settings.count_by = all[i].count_by;
        classifier = policy_classifier(&settings, 4);
        ok(classifier.ingress_port == all[i].ingress && classifier.egress_port == all[i].egress,
           "CountBy \"%s\": ports of both directions", all[i].name);
    }
    config_free(&settings);
}

static void is_range(struct port_range range, __u32 first, __u32 last, const char *name) {
    ok(range.first == first && range.last == last, "%s: %u to %u, got %u to %u", name, first, last,
       range.first, range.last);
}

static void test_ephemeral(void) {
    struct settings settings = defaults();

    is_range(policy_ephemeral(&settings, "1024\t65535\n"), 1024, 65535, "the kernel's range");
    is_range(policy_ephemeral(&settings, NULL), 32768, 60999, "it can't be read");
    is_range(policy_ephemeral(&settings, "1024\n"), 32768, 60999, "half of it");
    is_range(policy_ephemeral(&settings, "1024 65536\n"), 32768, 60999, "no port");
    is_range(policy_ephemeral(&settings, "what?\n"), 32768, 60999, "no numbers");
    settings.count_by = COUNT_LOWER;
    is_range(policy_ephemeral(&settings, "20000 30000\n"), 20000, 30000, "CountBy \"lower\"");
    settings.count_by = COUNT_REMOTE;
    is_range(policy_ephemeral(&settings, "20000 30000\n"), 32768, 65535, "CountBy \"remote\"");
    settings.fold_ephemeral = false;
    is_range(policy_ephemeral(&settings, "20000 30000\n"), 1, 0, "FoldEphemeral false");
    config_free(&settings);
}

static __u64 fingerprint(const struct settings *settings, __u32 lanes) {
    struct classifier_settings classifier = policy_classifier(settings, lanes);

    return policy_fingerprint(settings, &classifier);
}

static void test_fingerprint(void) {
    static __u32 ports[] = {PB_KEY(PB_TCP, 443), PB_KEY(PB_TCP, 80)}; /* config_free's otherwise */
    struct settings settings = defaults(), changed = settings;
    __u64 before = fingerprint(&settings, 4);

    ok(fingerprint(&changed, 4) == before, "the same settings: the same");
    ok(fingerprint(&changed, 5) != before, "another number of CPUs");
    changed.max_ports++;
    ok(fingerprint(&changed, 4) != before, "another MaxPorts");
    changed = settings;
    changed.count_by = COUNT_REMOTE;
    ok(fingerprint(&changed, 4) != before, "another CountBy");
    changed = settings;
    changed.egress = false;
    ok(fingerprint(&changed, 4) != before, "another Direction");
    changed = settings;
    changed.listening_ports = false;
    ok(fingerprint(&changed, 4) != before, "another ListeningPorts");
    changed = settings;
    changed.dynamic_ports = false;
    ok(fingerprint(&changed, 4) != before, "another DynamicPorts");
    changed = settings;
    changed.ports = ports;
    changed.ports_number = 1;
    before = fingerprint(&changed, 4);
    changed.ports = ports + 1;
    ok(fingerprint(&changed, 4) != before, "another Port");
    changed = settings;
    before = fingerprint(&settings, 4);
    changed.min_bytes++;
    changed.top_ports++;
    changed.idle_timeout++;
    ok(fingerprint(&changed, 4) == before, "MinBytes, TopPorts and IdleTimeout may change");
    config_free(&settings);
}

static void test_fingerprint_interface(void) {
    __u64 before = policy_fingerprint_interface(1, 2, 14, "eth0");

    ok(policy_fingerprint_interface(1, 2, 14, "eth0") == before, "an interface: the same");
    ok(policy_fingerprint_interface(3, 2, 14, "eth0") != before, "other settings");
    ok(policy_fingerprint_interface(1, 3, 14, "eth0") != before, "other shared maps");
    ok(policy_fingerprint_interface(1, 2, 0, "eth0") != before, "another link layer");
    ok(policy_fingerprint_interface(1, 2, 14, "eth1") != before, "another name");
}

/* A fault that lasts for ever: how often it is logged within `seconds`. */
static unsigned passes(__u64 seconds) {
    struct log_limit limit = {0};
    unsigned number = 0;

    for (__u64 now = 0; now < seconds; now++)
        number += log_limit_pass(&limit, now * SECOND);
    return number;
}

static void test_log_limit(void) {
    struct log_limit limit = {0};

    is_u64(passes(1), 1, "the first message passes");
    is_u64(passes(60), 1, "and none within a minute after it");
    is_u64(passes(61), 2, "one after a minute");
    is_u64(passes(180), 2, "the next");
    is_u64(passes(181), 3, "after two more");
    is_u64(passes(86400), 11, "in a day: at 0, 1, 3, 7 ... 1023 minutes");
    is_u64(passes(31 * 86400ull) - passes(30 * 86400ull), 1, "at last one a day");
    log_limit_pass(&limit, 0);
    log_limit_reset(&limit);
    ok(log_limit_pass(&limit, 1), "after a reset at once");
}

int main(void) {
    test_wants();
    test_l2();
    test_ports();
    test_ephemeral();
    test_fingerprint();
    test_fingerprint_interface();
    test_log_limit();
    return tap_end();
}
