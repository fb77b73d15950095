/* SPDX-License-Identifier: MIT */
/*
 * Which sockets make a port a listening one. What the kernel lists is simulated.
 *
 * Links: plugin/listeners.c, with netlink_listeners() wrapped.
 */
#include <errno.h>
#include <stdlib.h>

#include "capture.h"
#include "clock.h"
#include "listeners.h"
#include "tap.h"

#define TCP(port)  PB_KEY(PB_TCP, port)
#define UDP(port)  PB_KEY(PB_UDP, port)
#define SCTP(port) PB_KEY(PB_SCTP, port)

/* ---- what the kernel says ---- */

static const struct netlink_listener *sockets;
static unsigned sockets_number;
static int sockets_error;

int __wrap_netlink_listeners(struct netlink_listener **listeners, unsigned *number);
int __wrap_netlink_listeners(struct netlink_listener **listeners, unsigned *number) {
    if (sockets_error)
        return sockets_error;
    *listeners = NULL;
    *number = sockets_number;
    if (sockets_number) {
        *listeners = malloc(sockets_number * sizeof(**listeners));
        if (!*listeners)
            abort();
        memcpy(*listeners, sockets, sockets_number * sizeof(**listeners));
    }
    return 0;
}

static struct port_set clients; /* 32768 to 60999 less 40000 */

/* A read with these sockets. */
#define READ(listeners, ...)                                                                       \
    do {                                                                                           \
        static const struct netlink_listener list[] = {__VA_ARGS__};                               \
                                                                                                   \
        sockets = list;                                                                            \
        sockets_number = sizeof(list) / sizeof(list[0]);                                           \
        listeners_update(listeners, &clients, 0);                                                  \
    } while (0)

static void read_none(struct listeners *listeners) {
    sockets_number = 0;
    listeners_update(listeners, &clients, 0);
}

static void add(void *context, __u32 key) {
    char *text = context;

    sprintf(text + strlen(text), "%s%s/%u", *text ? " " : "",
            (const char *const[]){"tcp", "udp", "sctp"}[key / PB_PORTS], key % PB_PORTS);
}

static void is_listed(const struct listeners *listeners, bool loopback, const char *expected,
                      const char *name) {
    char got[256] = "";
    unsigned wrong = 0, listed = 0;

    listeners_for_each(listeners, loopback, add, got);
    is_text(got, expected, "%s", name);
    for (const char *c = got; *c; c++)
        listed += *c == '/';
    for (__u32 key = 0; key < PB_PORT_KEYS; key++)
        wrong += listeners_has(listeners, loopback, key);
    is_u64(wrong, listed, "and listeners_has says the same");
}

/* ---- rules ---- */

static void test_tcp(void) {
    struct listeners listeners = {0};

    is_listed(&listeners, true, "", "nothing is known at first");
    READ(&listeners, {.key = TCP(443)}, {.key = TCP(22)}, {.key = SCTP(36412)}, {.key = TCP(443)},
         {.key = TCP(40001)});
    is_listed(&listeners, false, "tcp/22 tcp/443 tcp/40001 sctp/36412",
              "TCP and SCTP: at once, each once, also among clients' ports");
    read_none(&listeners);
    is_listed(&listeners, true, "", "and no longer when the socket has gone");
    listeners_free(&listeners);
}

static void test_loopback(void) {
    struct listeners listeners = {0};

    READ(&listeners, {.key = TCP(631), .loopback = true}, {.key = TCP(80), .loopback = true},
         {.key = TCP(80)}, {.key = TCP(22)});
    is_listed(&listeners, false, "tcp/22 tcp/80",
              "a loopback address can't be reached from outside");
    is_listed(&listeners, true, "tcp/22 tcp/80 tcp/631", "but through loopback");
    listeners_free(&listeners);
}

static void test_udp(void) {
    struct listeners listeners = {0};

    READ(&listeners, {.key = UDP(53)}, {.key = UDP(32768)}, {.key = UDP(60999)},
         {.key = UDP(61000)}, {.key = UDP(40000)}, {.key = UDP(51820), .kernel = true},
         {.key = UDP(4789), .kernel = true});
    is_listed(&listeners, false, "udp/4789 udp/51820", "UDP: at once only the kernel's own");
    READ(&listeners, {.key = UDP(53)}, {.key = UDP(32768)}, {.key = UDP(60999)},
         {.key = UDP(61000)}, {.key = UDP(40000)}, {.key = UDP(51820), .kernel = true},
         {.key = UDP(4789), .kernel = true});
    is_listed(&listeners, false, "udp/53 udp/4789 udp/40000 udp/51820 udp/61000",
              "UDP: at two reads in a row, but for the ports that the kernel gives to clients");
    READ(&listeners, {.key = UDP(123)}, {.key = UDP(53)});
    is_listed(&listeners, false, "udp/53", "UDP: a new one not");
    READ(&listeners, {.key = UDP(53)});
    READ(&listeners, {.key = UDP(123)}, {.key = UDP(53)});
    is_listed(&listeners, false, "udp/53", "UDP: nor one of the read before the last one");
    listeners_free(&listeners);
}

/* A process and the kernel on the same port, at different addresses. */
static void test_kernel_and_process(void) {
    struct listeners listeners = {0};

    READ(&listeners, {.key = UDP(51820)}, {.key = UDP(51820), .kernel = true});
    is_listed(&listeners, false, "udp/51820", "one of the kernel's is enough");
    listeners_free(&listeners);
}

static void test_failure(void) {
    struct listeners listeners = {0};

    READ(&listeners, {.key = TCP(22)}, {.key = UDP(53)});
    sockets_error = -ENOENT;
    captured.number = 0;
    for (int reads = 0; reads < 3; reads++)
        listeners_update(&listeners, &clients, (__u64)reads * SECOND);
    is_listed(&listeners, false, "tcp/22", "when they can't be listed those known stay");
    is_u64(captured.number, 1, "which is logged once");
    sockets_error = 0;
    READ(&listeners, {.key = TCP(22)}, {.key = UDP(53)});
    is_listed(&listeners, false, "tcp/22 udp/53", "a read that failed is none");
    sockets_error = -ENOENT;
    listeners_update(&listeners, &clients, 10 * SECOND);
    is_u64(captured.number, 2, "the next failure is logged at once");
    sockets_error = 0;
    listeners_free(&listeners);
    is_listed(&listeners, true, "", "freed: none");
}

int main(void) {
    port_set_add_range(&clients, 32768, 39999);
    port_set_add_range(&clients, 40001, 60999);
    test_tcp();
    test_loopback();
    test_udp();
    test_kernel_and_process();
    test_failure();
    return tap_end();
}
