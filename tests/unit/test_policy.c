/* SPDX-License-Identifier: MIT */
/*
 * What the settings mean: which interfaces, which header, which port, which ports are folded, and
 * which changes of the settings make pinned state useless. The limit of repeated messages too.
 *
 * Links: plugin/policy.c, plugin/ephemeral.c and what they use.
 */
#include <net/if.h> /* before the kernel's, which then leave out what it has */

#include <linux/if_arp.h>
#include <stdio.h>
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

/* Marks three links: eth0, which has an alternative name, wg0, and lo. "1" for each wanted one. */
static const char *mark(const struct settings *settings) {
    static char altnames[] = "enp1s0\0enx2\0";
    static char wanted[4];
    struct netlink_link link[] = {
        {.index = 1, .name = "eth0", .card = true, .altnames = altnames},
        {.index = 2, .name = "wg0"},
        {.index = 3, .name = "lo", .flags = IFF_LOOPBACK},
    };
    struct links links = {link, 3};
    struct default_rule rule = {0};

    if (policy_mark_wanted(settings, &rule, &links))
        return "by route";
    for (unsigned n = 0; n < 3; n++)
        wanted[n] = link[n].wanted ? '1' : '0';
    return wanted;
}

static void test_wanted(void) {
    static const struct {
        const char *patterns[2];
        bool ignore_selected;
        const char *wanted, *promise;
    } all[] = {
        {{NULL}, false, "110", "without lines the default rule decides"},
        {{NULL}, true, "110", "with IgnoreSelected alone, too"},
        {{"lo"}, false, "001", "a line decides alone"},
        {{"enp1s0"}, false, "100", "by an alternative name"},
        {{"enx2"}, false, "100", "by any of them"},
        {{"/^enp/"}, false, "100", "by an expression that matches one"},
        {{"/^eth|^wg/"}, false, "110", "or the name"},
        {{"enp1s0"},
         true,
         "011",
         "IgnoreSelected: what has a matching alternative name is left out"},
        {{"/^eth/"}, true, "011", "although others don't match"},
        {{"/./"}, false, "111", "all, by the line that the log names"},
        {{"enp1s0", "wg0"}, false, "110", "two lines"},
        {{"enp1s0", "wg0"}, true, "001", "and what they leave"},
    };

    for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct settings settings = defaults();

        for (unsigned n = 0; n < 2 && all[i].patterns[n]; n++)
            if (selection_add(settings.interfaces, all[i].patterns[n], NULL, 0))
                abort();
        selection_invert(settings.interfaces, all[i].ignore_selected);
        is_text(mark(&settings), all[i].wanted, "%s", all[i].promise);
        config_free(&settings);
    }
}

static void test_l2(void) {
    static const struct {
        const char *kind;
        unsigned short type;
        __u32 l2_len;
        const char *name;
        bool l3;
    } links[] = {
        {"", ARPHRD_ETHER, 14, "a card", false},
        {"veth", ARPHRD_ETHER, 14, "veth", false},
        {"", ARPHRD_LOOPBACK, 14, "loopback", false},
        {"tun", ARPHRD_NONE, 0, "tun", true},
        {"tun", ARPHRD_ETHER, 0, "tun of another type", true},
        {"tun", ARPHRD_ETHER, 14, "tap", false},
        {"tun", ARPHRD_IEEE80211, 14, "tap of another type", false},
        {"wireguard", ARPHRD_NONE, 0, "WireGuard", false},
        {"ppp", ARPHRD_PPP, 0, "PPP", false},
        {"ipip", ARPHRD_TUNNEL, 0, "ipip", false},
        {"sit", ARPHRD_SIT, 0, "sit", false},
        {"ip6tnl", ARPHRD_TUNNEL6, 0, "ip6tnl", false},
        {"rmnet", ARPHRD_RAWIP, 0, "a modem's raw IP", false},
        {"xfrm", ARPHRD_NONE, PB_L2_XFRM, "xfrm", false},
        {"vti", ARPHRD_TUNNEL, PB_L2_XFRM, "vti", false},
        {"vti6", ARPHRD_TUNNEL6, PB_L2_XFRM, "vti6", false},
        {"", ARPHRD_NONE, PB_L2_FOREIGN, "a modem of no kind", false},
        {"bareudp", ARPHRD_NONE, PB_L2_FOREIGN, "bareudp", false},
        {"", ARPHRD_PPP, PB_L2_FOREIGN, "PPP of no kind", false},
        {"bond", ARPHRD_TUNNEL, PB_L2_FOREIGN, "a bond of tunnels", false},
        {"", ARPHRD_TUNNEL6, PB_L2_FOREIGN, "an IPv6 tunnel of no kind", false},
        {"", ARPHRD_SIT, PB_L2_FOREIGN, "sit of no kind", false},
        {"", ARPHRD_SLIP, PB_L2_FOREIGN, "SLIP", false},
        {"", ARPHRD_CSLIP, PB_L2_FOREIGN, "CSLIP", false},
        {"", ARPHRD_SLIP6, PB_L2_FOREIGN, "SLIP6", false},
        {"", ARPHRD_CSLIP6, PB_L2_FOREIGN, "CSLIP6", false},
        {"ipoib", ARPHRD_INFINIBAND, PB_L2_FOREIGN, "IPoIB", false},
        {"gre", ARPHRD_IPGRE, PB_L2_UNKNOWN, "GRE", false},
        {"ip6gre", ARPHRD_IP6GRE, PB_L2_UNKNOWN, "GRE over IPv6", false},
        {"", ARPHRD_IEEE80211_RADIOTAP, PB_L2_UNKNOWN, "Wi-Fi, monitor mode", false},
        {"", ARPHRD_CISCO, PB_L2_UNKNOWN, "HDLC", false},
        {"", ARPHRD_6LOWPAN, PB_L2_UNKNOWN, "6LoWPAN", false},
    };

    for (unsigned i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
        struct netlink_link link = {.type = links[i].type, .l3 = links[i].l3};

        snprintf(link.kind, sizeof(link.kind), "%s", links[i].kind);
        is_u64(policy_l2_len(&link), links[i].l2_len, "%s: what comes before L3", links[i].name);
    }
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

/* ---- which ports are ephemeral ---- */

/* "1024-2000 3000", "" for none. */
static void is_set(const struct port_set *set, const char *expected, const char *name) {
    char got[512] = "";
    size_t used = 0;

    for (__u32 port = 0; port < PB_PORTS && used < sizeof(got); port++) {
        __u32 first = port;

        if (!port_set_has(set, port))
            continue;
        while (port + 1 < PB_PORTS && port_set_has(set, port + 1))
            port++;
        used += snprintf(got + used, sizeof(got) - used, first == port ? "%s%u" : "%s%u-%u",
                         used ? " " : "", first, port);
    }
    is_text(got, expected, "%s", name);
}

static void is_local(const char *range, const char *reserved, const char *expected,
                     const char *name) {
    const struct ephemeral_files files = {.range = range, .reserved = reserved};
    struct ephemeral ephemeral;

    ephemeral_parse(&ephemeral, &files);
    is_set(&ephemeral.local, expected, name);
}

static void test_ephemeral_range(void) {
    is_local("1024\t65535\n", "\n", "1024-65535", "the kernel's range");
    is_local("40000\t40000\n", "\n", "40000", "of one port");
    is_local(NULL, NULL, "32768-60999", "it can't be read");
    is_local("", "", "32768-60999", "nothing is in it");
    is_local("1024\n", "\n", "32768-60999", "half of it");
    is_local("1024 65536\n", "\n", "32768-60999", "no port");
    is_local("2000 1000\n", "\n", "32768-60999", "the wrong way round");
    is_local("-1 1000\n", "\n", "32768-60999", "negative");
    is_local("what?\n", "\n", "32768-60999", "no numbers");
    is_local("1000 2000 3000\n", "\n", "32768-60999", "three numbers");
}

static void test_ephemeral_reserved(void) {
    is_local("1000 1010\n", "1003\n", "1000-1002 1004-1010", "one reserved port");
    is_local("1000 1010\n", "999,1000,1003-1005,1010-2000\n", "1001-1002 1006-1009",
             "ports and ranges");
    is_local("1000 1010\n", "1003", "1000-1002 1004-1010", "without a newline");
    is_local("1024 65535\n", "8080,9148,30000-32767\n",
             "1024-8079 8081-9147 9149-29999 32768-65535",
             "the example of the kernel's documentation");
    is_local("1000 1010\n", "0-65535\n", "", "all ports");
    is_local("1000 1010\n", "1003,\n", "1000-1002 1004-1010", "a comma behind the last");
    is_local("1000 1010\n", "1003;1005\n", "1000-1010", "malformed: none is reserved");
    is_local("1000 1010\n", "1003,x\n", "1000-1010", "a word");
    is_local("1000 1010\n", "1005-1003\n", "1000-1010", "the wrong way round");
    is_local("1000 1010\n", "1003-\n", "1000-1010", "half a range");
    is_local("1000 1010\n", "65536\n", "1000-1010", "no port");
    is_local("1000 1010\n", "18446744073709552619\n", "1000-1010", "no port, by 2^64");
    is_local("1000 1010\n", "-1003\n", "1000-1010", "negative");
}

static void is_passing(const char *forward4, const char *forward6, const char *expected,
                       const char *name) {
    const struct ephemeral_files files = {.range = "20000 40000\n",
                                          .reserved = "30000-33000,50000\n",
                                          .forward4 = forward4,
                                          .forward6 = forward6};
    struct ephemeral ephemeral;

    ephemeral_parse(&ephemeral, &files);
    is_set(&ephemeral.passing, expected, name);
    is_set(&ephemeral.local, "20000-29999 33001-40000", "which is not what sockets get here");
}

static void test_ephemeral_forwarding(void) {
    static const char own[] = "20000-29999 33001-40000";
    static const char all[] = "20000-29999 33001-49999 50001-65535";

    is_passing("0\n", "0\n", own, "a host that does not forward");
    is_passing(NULL, NULL, own, "or of which that can't be read");
    is_passing("1\n", "0\n", all, "one that forwards IPv4");
    is_passing("0\n", "1\n", all, "or IPv6");
    is_passing("1\n", NULL, all, "one without IPv6");
    is_passing("what?\n", "", own, "malformed");
}

static void test_folded(void) {
    const struct ephemeral_files files = {.range = "20000 30000\n", .forward4 = "1\n"};
    struct settings settings = defaults();
    struct ephemeral ephemeral;
    struct port_set folded;

    ephemeral_parse(&ephemeral, &files);
    policy_folded(&settings, &ephemeral, &folded);
    is_set(&folded, "20000-30000 32768-65535", "CountBy \"local\"");
    settings.count_by = COUNT_LOWER;
    policy_folded(&settings, &ephemeral, &folded);
    is_set(&folded, "20000-30000 32768-65535", "CountBy \"lower\"");
    settings.count_by = COUNT_REMOTE;
    policy_folded(&settings, &ephemeral, &folded);
    is_set(&folded, "32768-65535", "CountBy \"remote\"");
    settings.fold_ephemeral = false;
    policy_folded(&settings, &ephemeral, &folded);
    is_set(&folded, "", "FoldEphemeral false");
    config_free(&settings);
}

static __u64 fingerprint(const struct settings *settings, __u32 lanes) {
    struct classifier_settings classifier = policy_classifier(settings, lanes);

    return policy_fingerprint(settings, &classifier);
}

static void test_state_size(void) {
    struct settings settings = defaults();
    size_t size;

    settings.dynamic_ports = settings.listening_ports = true;
    size = policy_state_size(&settings);
    ok(size > 500000 && size < 600000, "the state of an interface takes up to 600 kB by default");
    diag("%zu bytes", size);
    config_free(&settings);
}

static void test_ledger_policy(void) {
    struct settings settings = defaults();
    struct ledger_policy policy;

    settings.min_bytes = 1000;
    settings.max_ports = 100;
    settings.top_ports = 3;
    settings.idle_timeout = 60;
    settings.dynamic_ports = false;
    policy = policy_ledger(&settings);
    ok(policy.min_bytes == 1000 && policy.max_ports == 100 && policy.top == 3 &&
           policy.idle_timeout == 60 * SECOND && policy.no_dynamic,
       "the ledger's policy is that of the settings");
    settings.dynamic_ports = true;
    ok(!policy_ledger(&settings).no_dynamic, "with dynamic ports, too");
    config_free(&settings);
}

/* Leaves the settings as they are. */
static void test_fingerprint_of_groups(struct settings *settings) {
    __u64 without = fingerprint(settings, 4), one;

    groups_add(&settings->groups, "a");
    settings->groups.of[PB_KEY(PB_UDP, 10000)] = 1;
    one = fingerprint(settings, 4);
    ok(one != without, "a Group");
    settings->groups.of[PB_KEY(PB_UDP, 10001)] = 1;
    ok(fingerprint(settings, 4) != one, "another port in it");
    settings->groups.of[PB_KEY(PB_UDP, 10001)] = 0;
    settings->groups.of[PB_KEY(PB_UDP, 10000)] = 0;
    settings->groups.of[PB_KEY(PB_UDP, 10001)] = 1;
    ok(fingerprint(settings, 4) != one, "another port in place of it");
    groups_remove_last(&settings->groups);
    groups_add(&settings->groups, "b");
    settings->groups.of[PB_KEY(PB_UDP, 10000)] = 1;
    ok(fingerprint(settings, 4) != one, "another name");
    groups_add(&settings->groups, "a");
    one = fingerprint(settings, 4);
    settings->groups.of[PB_KEY(PB_UDP, 10000)] = 2;
    ok(fingerprint(settings, 4) != one, "a port in another of two");
    groups_free(&settings->groups);
    ok(fingerprint(settings, 4) == without, "none again");
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
    test_fingerprint_of_groups(&settings);
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

static void test_log_budget(void) {
    struct log_budget budget = {0};
    const __u64 day = 86400 * SECOND;
    unsigned number = 0;

    while (log_budget_pass(&budget, day) && number < 10000)
        number++;
    is_u64(number, LOG_BUDGET, "so many pass at once");
    ok(!log_budget_pass(&budget, day + LOG_BUDGET_REFILL - 1), "then none");
    ok(log_budget_pass(&budget, day + LOG_BUDGET_REFILL), "one after a while");
    ok(!log_budget_pass(&budget, day + LOG_BUDGET_REFILL), "only one");
    for (number = 0; log_budget_pass(&budget, 2 * day) && number < 10000;)
        number++;
    is_u64(number, LOG_BUDGET, "a day later as many as at first");
    ok(log_budget_pass(&budget, 1), "a clock that went back: none is owed");
}

int main(void) {
    test_wanted();
    test_l2();
    test_ports();
    test_ephemeral_range();
    test_ephemeral_reserved();
    test_ephemeral_forwarding();
    test_folded();
    test_state_size();
    test_ledger_policy();
    test_fingerprint();
    test_fingerprint_interface();
    test_log_limit();
    test_log_budget();
    return tap_end();
}
