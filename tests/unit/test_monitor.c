/* SPDX-License-Identifier: MIT */
/*
 * All interfaces together, with a simulated kernel: it grants no grace period (nohz_full, a
 * seccomp filter), and has a clock of its own.
 *
 * Links: plugin/monitor.c and what it uses, but for what is defined here.
 * LDFLAGS: -Wl,--wrap=clock_gettime,--wrap=eventfd_write
 */
#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "attach.h"
#include "capture.h"
#include "classifier.h"
#include "libbpf_log.h"
#include "monitor.h"
#include "netlink.h"
#include "pins.h"
#include "tap.h"

/* ---- the kernel ---- */

static struct pb_shared shared;
static struct pb_counters counters[PB_DYNAMIC_END];
static __u64 uptime;              /* seconds */
static unsigned links_number = 1; /* eth1, eth2, ... */
static int links_changed = -1;    /* poll leaves it out */
static unsigned opened;           /* classifiers, the probe included */
static unsigned last_before_stop; /* of these; it waits for the stop of the monitor. 0: none */
static sem_t at_last, told_to_stop;

int __wrap_clock_gettime(clockid_t clock, struct timespec *now);
int __real_eventfd_write(int fd, eventfd_t value);
int __wrap_eventfd_write(int fd, eventfd_t value);

int __wrap_clock_gettime(clockid_t clock, struct timespec *now) {
    (void)clock;
    *now = (struct timespec){.tv_sec = (time_t)uptime};
    return 0;
}

int __wrap_eventfd_write(int fd, eventfd_t value) {
    int result = __real_eventfd_write(fd, value);

    sem_post(&told_to_stop);
    return result;
}

int classifier_open(struct classifier **out, const struct classifier_settings *settings,
                    const struct classifier_pins *pins, char reason[LOAD_ERROR_SIZE]) {
    (void)settings, (void)pins, (void)reason;
    if (++opened == last_before_stop) {
        sem_post(&at_last);
        sem_wait(&told_to_stop);
    }
    memset(&shared, 0, sizeof(shared));
    memset(counters, 0, sizeof(counters));
    *out = (struct classifier *)&shared;
    return 0;
}

void classifier_close(struct classifier *classifier) {
    (void)classifier;
}

int classifier_ingress_program(const struct classifier *classifier) {
    (void)classifier;
    return 0;
}

int classifier_egress_program(const struct classifier *classifier) {
    (void)classifier;
    return 0;
}

void *classifier_state(struct classifier *classifier) {
    (void)classifier;
    return NULL;
}

struct pb_shared *classifier_shared(struct classifier *classifier) {
    (void)classifier;
    return &shared;
}

void classifier_read(const struct classifier *classifier, struct pb_counters *out, __u32 number) {
    (void)classifier;
    memcpy(out, counters, number * sizeof(*out));
}

int classifier_grace_period(void) {
    return -EPERM;
}

int attach_open(struct attach **out, const struct attach_settings *settings,
                char reason[ATTACH_REASON_SIZE]) {
    (void)settings, (void)reason;
    *out = (struct attach *)&shared;
    return 0;
}

int attach_restore(struct attach *attach, char reason[ATTACH_REASON_SIZE]) {
    (void)attach, (void)reason;
    return 0;
}

int attach_check(struct attach *attach, const char *name) {
    (void)attach, (void)name;
    return 0;
}

void attach_close(struct attach *attach) {
    (void)attach;
}

void attach_disown(struct attach *attach) {
    (void)attach;
}

void attach_remove_stale(int interface) {
    (void)interface;
}

int pins_open(struct pins **out, bool create) {
    (void)create;
    *out = NULL;
    return 0;
}

void pins_close(struct pins *pins) {
    (void)pins;
}

void pins_remove_all(const struct pins *pins, int interface) {
    (void)pins, (void)interface;
}

void pins_sweep(const struct pins *pins, bool (*keep)(void *context, int interface),
                void *context) {
    (void)pins, (void)keep, (void)context;
}

void log_capture_begin(void) {
}

void log_capture_end(const char *name, int priority) {
    (void)name, (void)priority;
}

int netlink_open(struct netlink **out) {
    *out = (struct netlink *)&shared;
    return 0;
}

void netlink_close(struct netlink *netlink) {
    (void)netlink;
}

int netlink_fd(const struct netlink *netlink) {
    (void)netlink;
    return links_changed;
}

int netlink_links(struct netlink *netlink, struct netlink_link **links, unsigned *number) {
    (void)netlink;
    *links = calloc(links_number, sizeof(**links));
    if (!*links)
        return -ENOMEM;
    for (unsigned i = 0; i < links_number; i++) {
        (*links)[i] = (struct netlink_link){.index = (int)i + 1, .flags = IFF_UP, .type = 1};
        snprintf((*links)[i].name, sizeof((*links)[i].name), "eth%u", i + 1);
    }
    *number = links_number;
    return 0;
}

int netlink_listeners(struct netlink_listener **listeners, unsigned *number) {
    *listeners = NULL;
    *number = 0;
    return 0;
}

/* What the classifier does with the first packet of a port. Returns its slot. */
static __u32 first_packet(__u32 key) {
    __u32 *cell = &shared.ring[shared.head % PB_RING], slot = *cell;

    shared.key_of[slot] = key;
    shared.table[key] = slot;
    *cell = 0;
    shared.head++;
    counters[slot].rx_packets++;
    counters[slot].rx_bytes += 100;
    return slot;
}

/* ---- */

static int spawn(pthread_t *thread, void *(*routine)(void *), void *argument, const char *name) {
    (void)name;
    return pthread_create(thread, NULL, routine, argument);
}

static void on_say(void *context, const char *interface, const char *instance,
                   const struct pb_counters *total) {
    (void)context, (void)interface, (void)instance, (void)total;
}

static void read_at(struct monitor *monitor, __u64 at, __u64 interval) {
    uptime = at;
    monitor_read(monitor, interval * 1000000000, on_say, NULL);
}

/* Without a grace period an unlinked slot is held for an interval, however young the machine. */
static void test_young_machine(__u64 boot, __u64 interval) {
    struct monitor *monitor = NULL;
    struct settings settings;
    __u64 tail;

    uptime = boot;
    if (config_defaults(&settings))
        abort();
    ok(monitor_start(&monitor, &settings, spawn) == 0, "up for %llu s: it starts", boot);
    tail = shared.tail;
    first_packet(PB_KEY(PB_TCP, 1009));
    read_at(monitor, boot, interval);
    read_at(monitor, boot + 1, interval); /* idle: a victim */
    read_at(monitor, boot + 2, interval); /* unlinked */
    is_u64(shared.table[PB_KEY(PB_TCP, 1009)], 0, "an idle port's slot is unlinked");
    is_u64(shared.tail, tail, "and not given to another port at once");
    read_at(monitor, boot + 2 + interval - 1, interval);
    is_u64(shared.tail, tail, "nor within an interval (%llu s)", interval);
    read_at(monitor, boot + 2 + interval, interval);
    is_u64(shared.tail, tail + 1, "but after it");
    monitor_stop(monitor);
    config_free(&settings);
}

/* Each attachment takes a while, and would be taken away at once. */
static void test_stop_in_burst(void) {
    struct monitor *monitor = NULL;
    struct settings settings;

    if (config_defaults(&settings) || sem_init(&at_last, 0, 0) || sem_init(&told_to_stop, 0, 0))
        abort();
    alarm(60); /* whatever it waits for in vain */
    links_changed = eventfd(0, EFD_CLOEXEC);
    opened = 0;
    ok(monitor_start(&monitor, &settings, spawn) == 0, "it starts with one interface");
    last_before_stop = opened + 2;
    links_number = 5;
    __real_eventfd_write(links_changed, 1);
    sem_wait(&at_last);
    monitor_stop(monitor);
    is_u64(opened, last_before_stop, "stopped at the second of four new ones: that is the last");
    close(links_changed);
    config_free(&settings);
}

int main(void) {
    test_young_machine(1000000, 300);
    test_young_machine(10, 300);
    test_young_machine(1000000, 1);
    test_stop_in_burst();
    return tap_end();
}
