/* SPDX-License-Identifier: MIT */
/*
 * All interfaces together, with a simulated kernel: it grants no grace period (nohz_full, a
 * seccomp filter), and has a clock of its own.
 *
 * Links: plugin/monitor.c and what it uses, but for what is defined here.
 * LDFLAGS: -Wl,--wrap=clock_gettime,--wrap=__clock_gettime64,--wrap=eventfd_write
 */
#include <errno.h>
#include <net/if_arp.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "attach.h"
#include "capture.h"
#include "classifier.h"
#include "counters.h"
#include "libbpf_log.h"
#include "libc_names.h"
#include "monitor.h"
#include "netlink.h"
#include "pins.h"
#include "reconcile.h"
#include "tap.h"

/* ---- the kernel ---- */

#define LINKS_MAX 100

static struct pb_shared shared;
static struct row {
    struct pb_counters counters[PB_FIXED_SLOTS + 1100];
    unsigned open;
    bool published;
} rows[LINKS_MAX + 1];            /* by index */
static __u64 uptime;              /* seconds */
static unsigned links_number = 1; /* eth1, eth2, ... */
static unsigned renamed;          /* added to the numbers in the names */
static unsigned short link_type = ARPHRD_ETHER;
static const char *link_kind = "";
static bool containers;   /* eth1 is a card, the others are veths */
static int default_route; /* the index of the interface that has it */
static unsigned route_lookups;
static int links_changed = -1; /* poll leaves it out */
static int open_error, attach_error;
static unsigned attach_seconds;        /* what one attachment takes */
static __u64 counters_bytes;           /* of an interface */
static unsigned opened;                /* counters, so far */
static unsigned attempts;              /* to attach, so far */
static unsigned attached;              /* now */
static unsigned too_early;             /* attached before its counters could be found */
static unsigned checks[LINKS_MAX + 1]; /* of attachments, by index */
static unsigned last_before_stop;      /* attempt that waits for the stop of the monitor; 0: none */
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
    memset(&shared, 0, sizeof(shared));
    memset(rows, 0, sizeof(rows));
    *out = (struct classifier *)&shared;
    return 0;
}

bool classifier_needs_atomics(void) {
    return false;
}

void classifier_close(struct classifier *classifier) {
    (void)classifier;
}

__u32 classifier_lanes(void) {
    return 1;
}

bool classifier_resumed(const struct classifier *classifier) {
    (void)classifier;
    return false;
}

int classifier_programs(struct classifier *classifier, __u32 l2_len, __u32 row,
                        struct program *programs[DIRECTIONS], char reason[LOAD_ERROR_SIZE]) {
    (void)classifier, (void)l2_len, (void)row, (void)reason;
    memset(programs, 0, DIRECTIONS * sizeof(programs[0]));
    return 0;
}

void *classifier_state(struct classifier *classifier) {
    (void)classifier;
    return NULL;
}

__u32 classifier_id(const struct classifier *classifier) {
    (void)classifier;
    return 1;
}

struct pb_shared *classifier_shared(struct classifier *classifier) {
    (void)classifier;
    return &shared;
}

int counters_open(struct counters **out, struct classifier *classifier, int interface,
                  const struct counters_pins *pins) {
    (void)classifier, (void)pins;
    if (open_error)
        return open_error;
    *out = (struct counters *)&rows[interface];
    rows[interface].open++;
    opened++;
    return 0;
}

void counters_close(struct counters *counters) {
    ((struct row *)counters)->open--;
}

int counters_publish(struct counters *const *counters, unsigned number) {
    for (unsigned i = 0; i < number; i++)
        ((struct row *)counters[i])->published = true;
    return 0;
}

void counters_withdraw(struct counters *counters) {
    ((struct row *)counters)->published = false;
}

__u32 counters_row(const struct counters *counters) {
    (void)counters;
    return PB_ROW_BY_INDEX;
}

void *counters_state(struct counters *counters) {
    (void)counters;
    return NULL;
}

__u64 counters_size(const struct classifier_settings *settings) {
    (void)settings;
    return counters_bytes;
}

void counters_read(const struct counters *row, const __u32 *list, __u32 number,
                   struct pb_counters *sums) {
    for (__u32 i = 0; i < number; i++)
        sums[list[i]] = ((const struct row *)row)->counters[list[i]];
}

int classifier_grace_period(void) {
    return -EPERM;
}

int attach_open(struct attach **out, const struct attach_settings *settings,
                char reason[ATTACH_REASON_SIZE]) {
    snprintf(reason, ATTACH_REASON_SIZE, "simulated");
    if (++attempts == last_before_stop) {
        sem_post(&at_last);
        sem_wait(&told_to_stop);
    }
    uptime += attach_seconds;
    if (attach_error)
        return attach_error;
    if (!rows[settings->interface].published)
        too_early++;
    attached++;
    *out = (struct attach *)&shared;
    return 0;
}

int attach_restore(struct attach *attach, char reason[ATTACH_REASON_SIZE]) {
    (void)attach, (void)reason;
    return 0;
}

int attach_check(struct attach *attach, const char *name) {
    unsigned long index = strtoul(name + 3, NULL, 10);

    (void)attach;
    if (index <= LINKS_MAX) /* others are renamed */
        checks[index]++;
    return 0;
}

bool attach_is_counting(const struct attach *attach) {
    return attach;
}

void attach_close(struct attach *attach) {
    attached -= attach != NULL;
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

bool pins_are_removed(const struct pins *pins) {
    (void)pins;
    return false;
}

int pins_list(const struct pins *pins, int **interfaces, unsigned *number) {
    (void)pins, (void)interfaces;
    *number = 0;
    return 0;
}

void pins_remove_all(const struct pins *pins, int interface) {
    (void)pins, (void)interface;
}

void pins_remove_others(const struct pins *pins, int interface) {
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
        (*links)[i] = (struct netlink_link){.index = (int)i + 1, .flags = IFF_UP};
        snprintf((*links)[i].name, sizeof((*links)[i].name), "eth%u", i + 1 + renamed);
        (*links)[i].type = link_type;
        strcpy((*links)[i].kind, link_kind);
        if (containers && i)
            strcpy((*links)[i].kind, "veth");
        else
            (*links)[i].card = containers;
    }
    *number = links_number;
    return 0;
}

int netlink_default_route(int family, int *interfaces, unsigned capacity) {
    route_lookups++;
    if (family != AF_INET || !default_route)
        return -ENETUNREACH;
    interfaces[0] = default_route;
    return capacity > 0;
}

int netlink_listeners(struct netlink_listener **listeners, unsigned *number) {
    *listeners = NULL;
    *number = 0;
    return 0;
}

static bool has_ipsec;
static unsigned ipsec_queries;

bool netlink_has_ipsec(void) {
    ipsec_queries++;
    return has_ipsec;
}

/* What the classifier does with the first packet of a port. Returns its slot. */
static __u32 first_packet(__u32 key) {
    __u32 *cell = &shared.ring[shared.head % PB_RING], slot = *cell;

    shared.key_of[slot] = key;
    shared.table[key] = slot;
    *cell = 0;
    shared.head++;
    rows[1].counters[slot].rx_packets++;
    rows[1].counters[slot].rx_bytes += 100;
    return slot;
}

/* ---- */

static __u64 spawned_at; /* uptime, seconds */

static int spawn(pthread_t *thread, void *(*routine)(void *), void *argument, const char *name) {
    (void)name;
    spawned_at = uptime;
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
    settings.max_ports = 16;
    settings.listening_ports = false;
    ok(monitor_start(&monitor, &settings, spawn) == 0, "up for %llu s: it starts", boot);
    tail = shared.tail;
    for (__u32 port = 1001; port <= 1009;
         port++) /* of 16: idle slots are kept while half are free */
        first_packet(PB_KEY(PB_TCP, port));
    read_at(monitor, boot, interval);
    read_at(monitor, boot + 1, interval); /* idle: a victim */
    read_at(monitor, boot + 2, interval); /* unlinked */
    is_u64(shared.table[PB_KEY(PB_TCP, 1009)], 0, "an idle port's slot is unlinked");
    is_u64(shared.tail, tail, "and not given to another port at once");
    read_at(monitor, boot + 2 + interval - 1, interval);
    is_u64(shared.tail, tail, "nor within an interval (%llu s)", interval);
    read_at(monitor, boot + 2 + interval, interval);
    is_u64(shared.tail, tail + 9, "but after it");
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
    attempts = 0;
    ok(monitor_start(&monitor, &settings, spawn) == 0, "it starts with one interface");
    last_before_stop = attempts + 2;
    links_number = 5;
    __real_eventfd_write(links_changed, 1);
    sem_wait(&at_last);
    monitor_stop(monitor);
    alarm(0);
    is_u64(attempts, last_before_stop, "stopped at the second of four new ones: that is the last");
    is_u64(attached, 0, "and nothing stays attached");
    last_before_stop = 0;
    close(links_changed);
    links_changed = -1;
    config_free(&settings);
}

/* A monitor with so many interfaces, started at uptime 1000. */
static struct monitor *start(struct settings *settings, unsigned links) {
    struct monitor *monitor = NULL;

    if (config_defaults(settings))
        abort();
    capture_clear();
    memset(checks, 0, sizeof(checks));
    opened = attempts = 0;
    uptime = 1000;
    links_number = links;
    if (monitor_start(&monitor, settings, spawn))
        return NULL;
    return monitor;
}

static unsigned open_counters(void) {
    unsigned number = 0;

    for (unsigned i = 0; i <= LINKS_MAX; i++)
        number += rows[i].open;
    return number;
}

static void stop(struct monitor *monitor, struct settings *settings) {
    monitor_stop(monitor);
    config_free(settings);
    is_u64(attached + open_counters(), 0, "the end: nothing is attached, no counters are left");
    links_number = 1;
}

/* init must return soon, whatever the number of interfaces. */
static void test_start_time(void) {
    struct monitor *monitor;
    struct settings settings;

    alarm(60);
    links_changed = eventfd(1, EFD_CLOEXEC); /* so that the thread is interrupted after each */
    attach_seconds = 1;
    monitor = start(&settings, 40);
    ok(monitor != NULL, "40 interfaces, a second each: it starts");
    is_u64(capture_count("interfaces are attached; the others follow."), 1,
           "and says that others are to follow");
    ok(spawned_at < 1010, "within seconds: up for %llu s then, begun at 1000", spawned_at);
    while (__atomic_load_n(&attached, __ATOMIC_SEQ_CST) < 40)
        usleep(1000);
    while (!capture_count("all 40 interfaces are attached."))
        usleep(1000);
    alarm(0);
    ok(true, "the thread attaches the others, and says so");
    is_u64(too_early, 0, "none is attached before its counters are found");
    attach_seconds = 0;
    stop(monitor, &settings);
    close(links_changed);
    links_changed = -1;
}

static void test_checks(void) {
    struct settings settings;
    struct monitor *monitor = start(&settings, LINKS_MAX);
    unsigned once = 0;

    read_at(monitor, 1000, 10);
    for (unsigned i = 1; i <= LINKS_MAX; i++)
        once += checks[i] == 1;
    is_u64(once, LINKS_MAX, "time for all: one read looks after each attachment once");
    memset(checks, 0, sizeof(checks));
    once = 0;
    for (unsigned n = 0; n < 10; n++)
        monitor_read(monitor, 0, on_say, NULL); /* an interval in which there is time for none */
    for (unsigned i = 1; i <= LINKS_MAX; i++)
        once += checks[i] == 1;
    is_u64(once, LINKS_MAX, "no time: ten reads do");
    stop(monitor, &settings);
}

/* The classifier looks for decrypted packets from the first IPsec state on, and for ever. */
static void test_ipsec(void) {
    struct settings settings;
    struct monitor *monitor;

    has_ipsec = true;
    monitor = start(&settings, 1);
    is_u64(shared.ipsec, 1, "IPsec is there at the start: the classifier knows");
    stop(monitor, &settings);

    has_ipsec = false;
    monitor = start(&settings, 1);
    read_at(monitor, 1000, 10);
    is_u64(shared.ipsec, 0, "no IPsec: it needn't look");
    has_ipsec = true;
    read_at(monitor, 1010, 10);
    is_u64(shared.ipsec, 1, "IPsec comes: known at the next read");
    has_ipsec = false;
    ipsec_queries = 0;
    read_at(monitor, 1020, 10);
    is_u64(shared.ipsec, 1, "it goes: it may come again between reads, so this stays");
    is_u64(ipsec_queries, 0, "and isn't asked for any more");
    stop(monitor, &settings);

    if (config_defaults(&settings))
        abort();
    settings.ingress = false;
    has_ipsec = true;
    ok(monitor_start(&monitor, &settings, spawn) == 0, "Direction \"egress\": it starts");
    is_u64(shared.ipsec, 0, "and doesn't ask: in egress nothing is decrypted");
    stop(monitor, &settings);
    has_ipsec = false;
}

static void test_shortage(void) {
    struct monitor *monitor = NULL;
    struct settings settings;

    attach_error = -EMFILE;
    monitor = start(&settings, 3);
    ok(monitor == NULL, "no descriptor for any interface: it doesn't start");
    is_u64(capture_count("3 interfaces are not counted, eth1 among them"), 1, "that is said once");
    is_u64(capture_count("LimitNOFILE"), 1, "with the remedy");
    attach_error = 0;
    config_free(&settings);

    counters_bytes = (__u64)sysconf(_SC_PHYS_PAGES) * (__u64)sysconf(_SC_PAGESIZE) / 32 / 4;
    monitor = start(&settings, 10);
    ok(monitor != NULL, "memory for four of ten interfaces: it starts");
    is_u64(attached, 4, "four are counted");
    is_u64(capture_count("6 interfaces are not counted, eth5 among them"), 1,
           "that the others are not is said once");
    counters_bytes = 0;
    stop(monitor, &settings);
}

/* A selected port has its slot also after the only interface was away for a read. */
static void test_selected_port(void) {
    __u32 key = PB_KEY(PB_TCP, 443), *ports = malloc(sizeof(*ports));
    struct monitor *monitor = NULL;
    struct settings settings;
    __u32 slot;

    if (!ports || config_defaults(&settings))
        abort();
    *ports = key;
    settings.ports = ports;
    settings.ports_number = 1;
    settings.dynamic_ports = settings.listening_ports = false;
    links_number = 0;
    uptime = 1000;
    ok(monitor_start(&monitor, &settings, spawn) == 0, "no interface at all: it starts");
    slot = shared.table[key];
    ok(slot >= PB_FIXED_SLOTS, "the selected port has a slot");
    for (unsigned n = 0; n < 5; n++)
        read_at(monitor, 1000 + n, 1);
    is_u64(shared.table[key], slot, "and keeps it");
    stop(monitor, &settings);
}

/* An error of one interface is no other's. */
static void test_failure(void) {
    struct monitor *monitor = NULL;
    struct settings settings;
    unsigned left;

    attach_error = -EOPNOTSUPP;
    monitor = start(&settings, 3);
    ok(monitor == NULL, "attaching fails everywhere: it doesn't start");
    is_u64(capture_count("eth1: simulated") + capture_count("eth2: simulated") +
               capture_count("eth3: simulated"),
           3, "with one line for each");
    is_u64(attempts, 3, "after one attempt each");
    attach_error = 0;
    config_free(&settings);
    left = open_counters();
    for (unsigned i = 0; i <= LINKS_MAX; i++)
        left += rows[i].published;
    is_u64(left, 0, "no counters are left, and none can be found");
}

/* What a failure of one interface says, in an hour of attempts. */
static void test_repeated_failure(void) {
    struct interfaces interfaces;
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    struct attacher attacher = {
        .interfaces = &interfaces, .lock = &lock, .stop = -1, .memory_max = ~0ull};
    struct settings settings;

    if (config_defaults(&settings))
        abort();
    capture_clear();
    attacher.settings = &settings;
    uptime = 1000;
    links_number = 2;
    ok(interfaces_init(&interfaces, &settings, NULL) == 0, "the classifier is there");
    attach_error = -EOPNOTSUPP;
    for (unsigned minute = 0; minute <= 60; minute++) {
        struct progress progress = {0};

        reconcile(&attacher, &progress);
        ok(progress.later, "it is to be tried again");
        uptime += 61;
    }
    is_u64(capture_count("eth1: simulated"), 6,
           "a failure that lasts for an hour is logged at 0, 1, "
           "3, 7, 15 and 31 minutes");
    attach_error = 0;

    /* eth1 and eth2 are begun and their attaching interrupted; for eth3 there is no memory. */
    links_number = 2;
    uptime += 1000;
    struct progress progress = {.deadline = 1};
    reconcile(&attacher, &progress);
    ok(progress.left, "interrupted after the first");
    is_u64(attached, 1, "which is attached");
    links_number = 4;
    open_error = -ENOMEM;
    progress = (struct progress){0};
    ok(reconcile(&attacher, &progress) == -ENOMEM, "no memory for two new ones");
    is_u64(attached, 2, "the one that was begun is attached");
    is_u64(capture_count("2 interfaces are not counted, eth3 among them"), 1,
           "the others are named");
    uptime += 61;
    progress = (struct progress){0};
    ok(reconcile(&attacher, &progress) == -ENOMEM, "nor a minute later");
    is_u64(capture_count("interfaces are not counted"), 1, "which is not repeated");
    open_error = 0;
    uptime += 61;
    progress = (struct progress){0};
    ok(reconcile(&attacher, &progress) == 0, "then there is some");
    is_u64(attached, 4, "all are attached");
    interfaces_free(&interfaces, false);
    is_u64(attached, 0, "and detached");
    config_free(&settings);
    links_number = 1;
}

/* ---- links that change ---- */

struct simulated {
    struct interfaces interfaces;
    struct attacher attacher;
    struct settings settings;
    pthread_mutex_t lock;
};

static void begin(struct simulated *simulated, unsigned links) {
    *simulated = (struct simulated){.attacher = {.interfaces = &simulated->interfaces,
                                                 .settings = &simulated->settings,
                                                 .lock = &simulated->lock,
                                                 .stop = -1,
                                                 .memory_max = ~0ull}};
    pthread_mutex_init(&simulated->lock, NULL);
    capture_clear();
    uptime = 1000;
    links_number = links;
    if (config_defaults(&simulated->settings))
        abort();
    simulated->settings.listening_ports = false;
    if (interfaces_init(&simulated->interfaces, &simulated->settings, NULL))
        abort();
}

static void look(struct simulated *simulated) {
    struct progress progress = {0};

    if (reconcile(&simulated->attacher, &progress))
        abort();
}

static void end(struct simulated *simulated) {
    interfaces_free(&simulated->interfaces, false);
    config_free(&simulated->settings);
    is_u64(attached + open_counters(), 0, "the end: nothing is attached, no counters are left");
    renamed = 0;
    links_number = 1;
    link_type = ARPHRD_ETHER;
    link_kind = "";
    containers = false;
    default_route = 0;
}

/* A bond that gets ports of another kind, a Wi-Fi card that begins to monitor. */
static void test_type_change(void) {
    struct simulated simulated;

    begin(&simulated, 1);
    look(&simulated);
    is_u64(attached, 1, "an interface is attached");
    opened = 0;
    look(&simulated);
    is_u64(opened, 0, "nothing changed: no new counters");
    link_type = ARPHRD_INFINIBAND;
    look(&simulated);
    ok(opened == 1 && attached == 1, "its type changed: it is taken as gone and new");
    is_u64(capture_count("eth1: stopped counting"), 1, "which is said");
    link_type = ARPHRD_NONE; /* with the same consequence for the classifier */
    look(&simulated);
    ok(opened == 2 && attached == 1, "another type of the same link layer: gone and new, too");
    link_kind = "wireguard"; /* another link of the same index, made before anybody looked */
    look(&simulated);
    ok(opened == 3 && attached == 1, "another link layer of the same type: gone and new, too");
    end(&simulated);
}

/* The route moves while no link changes. */
static void test_default_route(void) {
    struct simulated simulated;

    begin(&simulated, 4);
    look(&simulated);
    ok(attached == 4 && !route_lookups, "veths and no card: all counted, no look-up of a route");
    containers = true;
    look(&simulated);
    ok(attached == 1 && simulated.attacher.by_route, "a card: only that one");
    is_u64(route_lookups, 2, "after a look-up for either family");
    default_route = 3;
    look(&simulated);
    ok(attached == 2 && interfaces_find(&simulated.interfaces, "eth3")->instance,
       "a veth gets the default route: it is counted, too");
    default_route = 0;
    look(&simulated);
    ok(attached == 2 && interfaces_find(&simulated.interfaces, "eth3")->instance,
       "the route flaps: the veth is still counted");
    default_route = 2;
    look(&simulated);
    ok(attached == 2 && interfaces_find(&simulated.interfaces, "eth2")->instance,
       "another one gets it: that one is counted");
    links_number = 1;
    look(&simulated);
    ok(!simulated.attacher.by_route, "no veth: the route does not matter");
    end(&simulated);
}

struct total {
    const char *interface;
    __u64 packets;
};

static void add_total(void *context, const char *interface, const char *instance,
                      const struct pb_counters *total) {
    struct total *sum = context;

    (void)instance;
    if (!strcmp(interface, sum->interface))
        sum->packets += total->rx_packets;
}

static __u64 read_total(struct simulated *simulated, const char *interface) {
    struct total total = {.interface = interface};

    uptime++;
    interfaces_read(&simulated->interfaces, SECOND, add_total, &total);
    return total.packets;
}

static unsigned count_names(const struct simulated *simulated) {
    unsigned number = 0;

    for (const struct interface *i = simulated->interfaces.first; i; i = i->next)
        number++;
    return number;
}

#define NAMES 600

static void test_names(void) {
    struct simulated simulated;
    char first[] = "eth1";

    begin(&simulated, 1);
    for (renamed = 0; renamed < NAMES; renamed++) {
        look(&simulated);
        rows[1].counters[PB_SLOT_OTHER(PB_TCP)].rx_packets += 101;
        for (unsigned n = 0; n < 3; n++)
            read_total(&simulated, first);
    }
    look(&simulated);
    is_u64(count_names(&simulated), NAMES + 1, "%u names that counted something are remembered",
           NAMES);
    renamed = 0;
    look(&simulated);
    rows[1].counters[PB_SLOT_OTHER(PB_TCP)].rx_packets += 211;
    read_total(&simulated, first);
    is_u64(read_total(&simulated, first), 101 + 211,
           "the first one returns, and continues its total");
    end(&simulated);

    begin(&simulated, 1);
    for (renamed = 0; renamed < NAMES; renamed++) {
        look(&simulated);
        for (unsigned n = 0; n < 3; n++)
            read_total(&simulated, first);
    }
    look(&simulated);
    is_u64(count_names(&simulated), 2, "of %u that counted nothing, the present one and the last",
           NAMES);
    end(&simulated);
}

/* ---- ever new names ---- */

#define NUMBERS_MAX 100000

struct reported {
    bool number[NUMBERS_MAX]; /* in the names */
    unsigned names, last;     /* how many; the highest number */
    __u64 packets;            /* of that one */
};

static void count_reported(void *context, const char *interface, const char *instance,
                           const struct pb_counters *total) {
    unsigned number = (unsigned)strtoul(interface + 3, NULL, 10);
    struct reported *reported = context;

    (void)instance;
    reported->names += !reported->number[number];
    reported->number[number] = true;
    if (number >= reported->last) {
        reported->last = number;
        reported->packets = total->rx_packets;
    }
}

/* The interface gets `names` new names, and counts 101 packets under each. */
static void rename_often(struct simulated *simulated, unsigned names, struct reported *reported) {
    for (unsigned n = 0; n < names; n++) {
        renamed++;
        look(simulated);
        rows[1].counters[PB_SLOT_OTHER(PB_TCP)].rx_packets += 101;
        for (unsigned read = 0; read < 3; read++) {
            uptime++;
            interfaces_read(&simulated->interfaces, SECOND, count_reported, reported);
        }
    }
    look(simulated);
}

#define WEEK (7 * 86400)

static void test_new_names(void) {
    struct simulated simulated;
    static struct reported reported, later;
    char former[IFNAMSIZ], configured[IFNAMSIZ], reason[64], all[] = "/./";

    begin(&simulated, 1);
    look(&simulated);
    rename_often(&simulated, INTERFACES_NAMES_MAX + 2000, &reported);
    /* One more, as the first ones count a little less by then: 30,000 s later. */
    ok(reported.names >= INTERFACES_NAMES_MAX && reported.names < INTERFACES_NAMES_MAX * 103 / 100,
       "of %u new names %u have series", INTERFACES_NAMES_MAX + 2000, reported.names);
    ok(capture_count("has no series: 8192 interfaces with other names have had some lately. Name "
                     "the interfaces that matter with Interface, or select fewer.") > 0,
       "that others have none is logged");
    ok(captured.number < 20, "and not for each: %u lines", captured.number);
    is_u64(count_names(&simulated), INTERFACES_FORMER_MAX + 1, "the last %u are remembered",
           INTERFACES_FORMER_MAX);

    /* One that had series returns, and continues them. */
    renamed = reported.last - 1;
    snprintf(former, sizeof(former), "eth%u", reported.last);
    look(&simulated);
    rows[1].counters[PB_SLOT_OTHER(PB_TCP)].rx_packets += 211;
    is_u64(read_total(&simulated, former), 101, "a former one returns: it has its total");
    is_u64(read_total(&simulated, former), 101 + 211, "and goes on");

    /* Its name is in the configuration. */
    renamed = 50000;
    snprintf(configured, sizeof(configured), "eth%u", renamed + 1);
    if (selection_add(simulated.settings.interfaces, all, reason, sizeof(reason)) ||
        selection_add(simulated.settings.interfaces, configured, reason, sizeof(reason)))
        abort();
    look(&simulated);
    rows[1].counters[PB_SLOT_OTHER(PB_TCP)].rx_packets += 307;
    read_total(&simulated, configured);
    is_u64(read_total(&simulated, configured), 307, "one that is configured has series at once");

    uptime += WEEK;
    renamed = 60000;
    rename_often(&simulated, 100, &later);
    is_u64(later.names, 101, "a week later there is room for new ones, beside the last");
    is_u64(later.packets, 101, "each with what it counted");
    end(&simulated);
}

/* An interface without series must not keep slots that others could have. */
static void test_new_name_keeps_no_slot(void) {
    struct simulated simulated;

    begin(&simulated, 1);
    look(&simulated);
    simulated.interfaces.names.begun = 1e9;
    simulated.interfaces.names.at = uptime * SECOND;
    for (__u32 port = 1000; port < 1300; port++)
        rows[1].counters[first_packet(PB_KEY(PB_TCP, port))].rx_bytes += 1000000;
    for (unsigned n = 0; n < 3; n++)
        read_total(&simulated, "eth1");
    uptime += 2 * 86400;
    for (unsigned n = 0; n < 10; n++) {
        read_total(&simulated, "eth1");
        uptime += 300;
    }
    is_u64(shared.tail - shared.head >= 250, 1, "idle ports' slots are on the ring again");
    end(&simulated);
}

/* Interfaces that come and go for ever: the log has a limit. */
static void test_log_of_new_names(void) {
    struct simulated simulated;
    struct progress progress = {0};
    unsigned number;

    begin(&simulated, 1);
    uptime += 86400;
    for (unsigned n = 0; n < 4001; n++) {
        links_number = 1 + n % 2;
        look(&simulated);
    }
    number = captured.number;
    ok(number > 1000 && number < LOG_BUDGET + 20, "4,000 come and go: %u lines", number);
    links_number = 2;
    attach_error = -EOPNOTSUPP;
    capture_clear();
    for (unsigned n = 0; n < 1000; n++) {
        renamed = 10 + 10 * n;
        reconcile(&simulated.attacher, &progress);
    }
    ok(captured.number < 20, "1,000 others can't be attached: %u more", captured.number);
    uptime += 86400;
    capture_clear();
    for (unsigned n = 0; n < 1000; n++) {
        renamed = 15 + 10 * n;
        reconcile(&simulated.attacher, &progress);
    }
    is_u64(captured.number, 1000, "a day later all are logged again");
    attach_error = 0;
    end(&simulated);
}

/* That one can't be attached is remembered as long as it is there, and no longer. */
static void test_names_that_fail(void) {
    struct simulated simulated;
    struct progress progress = {0};

    begin(&simulated, 2);
    attach_error = -EOPNOTSUPP;
    for (unsigned n = 0; n < 3; n++) {
        attempts = 0;
        reconcile(&simulated.attacher, &progress);
        read_total(&simulated, "eth1");
        is_u64(attempts, n ? 0 : 2, "look %u: tried at the first only", n + 1);
    }
    renamed = 10;
    attach_error = 0;
    look(&simulated);
    look(&simulated);
    is_u64(count_names(&simulated), 2, "they get other names: the former are forgotten");
    end(&simulated);
}

/* ---- NotifyNewPorts ---- */

/* The protocol has its first packet on ethN; a read later, how many new ports there are. */
static unsigned protocol_packet(struct simulated *simulated, unsigned interface, __u32 protocol) {
    char name[] = "eth1";

    rows[interface].counters[PB_SLOT_IP(protocol)].rx_packets++;
    rows[interface].counters[PB_SLOT_IP(protocol)].rx_bytes += 60;
    read_total(simulated, name);
    return simulated->interfaces.new_ports.number;
}

static void test_notify_new_ports(void) {
    struct simulated simulated;
    unsigned early = 0;

    begin(&simulated, 1);
    look(&simulated);
    for (unsigned n = 0; n <= NEW_PORTS_FIRST_READS; n++)
        early += protocol_packet(&simulated, 1, 100 + n);
    is_u64(early, 0, "NotifyNewPorts false: nothing is found");
    end(&simulated);

    begin(&simulated, 1);
    simulated.settings.notify_new_ports = true;
    look(&simulated);
    for (unsigned n = 0; n < NEW_PORTS_FIRST_READS; n++)
        early += protocol_packet(&simulated, 1, 100 + n);
    is_u64(early, 0, "in the first %u reads nothing is new", NEW_PORTS_FIRST_READS);
    is_u64(protocol_packet(&simulated, 1, 99), 1, "in the next one something is");
    is_text(simulated.interfaces.new_ports.port[0].instance, "ip-99", "by name");
    is_u64(simulated.interfaces.new_ports.port[0].period, SECOND, "and since the read before");
    is_u64(protocol_packet(&simulated, 1, 99), 0, "and only there");
    is_u64(protocol_packet(&simulated, 1, 100), 0, "what came in the first reads stays known");
    links_number = 2;
    look(&simulated);
    for (unsigned n = 0; n < NEW_PORTS_FIRST_READS; n++)
        early += protocol_packet(&simulated, 2, 100 + n);
    is_u64(early, 0, "nor is anything on an interface that comes later, in its first reads");
    is_u64(protocol_packet(&simulated, 2, 99), 1, "then it is, whatever others have had");
    end(&simulated);
}

int main(void) {
    test_young_machine(1000000, 300);
    test_young_machine(10, 300);
    test_young_machine(1000000, 1);
    test_stop_in_burst();
    test_start_time();
    test_checks();
    test_ipsec();
    test_shortage();
    test_selected_port();
    test_failure();
    test_repeated_failure();
    test_type_change();
    test_default_route();
    test_names();
    test_names_that_fail();
    test_new_names();
    test_new_name_keeps_no_slot();
    test_log_of_new_names();
    test_notify_new_ports();
    return tap_end();
}
