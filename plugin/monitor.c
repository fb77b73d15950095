/* SPDX-License-Identifier: MIT */
#include "monitor.h"

#include <errno.h>
#include <net/ethernet.h>
#include <net/if_arp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "ledger.h"
#include "log.h"
#include "meter.h"
#include "netlink.h"
#include "slots.h"

#ifndef ARPHRD_IP6GRE
#define ARPHRD_IP6GRE 823 /* linux/if_arp.h, which <net/if_arp.h> excludes */
#endif

#define SECOND 1000000000ull

/* What counts on one interface index. meter NULL: nothing. */
struct engine {
    struct meter *meter;
    struct slots *slots;
    int index;
};

/* One interface name, from its first sight to the end of the daemon. */
struct interface {
    struct interface *next;
    struct ledger *ledger;
    struct engine engine;
    unsigned farewells; /* reads that still say its series after it has gone */
    __u64 gone;         /* monotonic ns; 0: not gone */
    bool loopback;      /* listeners on loopback addresses can be reached through it */
    __u64 repair_at;    /* not before then */
    char name[IFNAMSIZ];
};

struct monitor {
    const struct settings *settings;
    struct netlink *netlink;
    pthread_mutex_t lock; /* what stands from here to counters */
    struct interface *interfaces;
    __u32 ephemeral_first, ephemeral_last; /* folded now; first > last: none */
    struct netlink_listener *listeners;    /* as of the last look */
    unsigned listeners_number;
    bool listeners_failed;        /* said already */
    struct pb_counters *counters; /* one read of one interface */
    pthread_t thread;
    bool running;
    int wake; /* eventfd: the thread shall end */
};

/* Names that went are remembered so that their series go on; so many, then the oldest is dropped.
 */
#define GONE_MOST 256

/* How long after a failure to attach the next try comes, in ms. */
#define RETRY 60000

static __u64 monotonic(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * SECOND + now.tv_nsec;
}

/* ---- what the settings mean ---- */

static bool wants(const struct monitor *monitor, const struct netlink_link *link) {
    if (selection_is_empty(monitor->settings->interfaces))
        return !(link->flags & IFF_LOOPBACK) && !link->enslaved;
    return selection_wants(monitor->settings->interfaces, link->name);
}

/* How many slots the classifier gives out by itself, and how many are given by policy. */
static __u32 dynamic_slots(const struct settings *settings) {
    return settings->dynamic_ports ? settings->max_ports : 0;
}

static __u32 granted_slots(const struct settings *settings) {
    return settings->ports_number + (settings->listening_ports ? settings->max_ports : 0);
}

/* Of an interface of this ARPHRD type, as the classifier wants it. */
static __u32 link_header(unsigned short type) {
    switch (type) {
    case ARPHRD_ETHER:
    case ARPHRD_LOOPBACK:
        return ETHER_HDR_LEN;
    case ARPHRD_IPGRE: /* the outer header, if at all, and not in both directions */
    case ARPHRD_IP6GRE:
        return PB_LINK_UNKNOWN;
    default: /* tun, WireGuard, PPP, the other tunnels */
        return 0;
    }
}

static struct meter_settings meter_settings_for(const struct settings *settings,
                                                unsigned short type) {
    static const struct {
        enum pb_port in, eg;
    } ports[] = {
        [COUNT_LOCAL] = {PB_PORT_DESTINATION, PB_PORT_SOURCE},
        [COUNT_REMOTE] = {PB_PORT_SOURCE, PB_PORT_DESTINATION},
        [COUNT_DESTINATION] = {PB_PORT_DESTINATION, PB_PORT_DESTINATION},
        [COUNT_SOURCE] = {PB_PORT_SOURCE, PB_PORT_SOURCE},
        [COUNT_LOWER] = {PB_PORT_LOWER, PB_PORT_LOWER},
    };

    return (struct meter_settings){
        .link_header = link_header(type),
        .port_in = ports[settings->count_by].in,
        .port_eg = ports[settings->count_by].eg,
        .ingress = settings->ingress,
        .egress = settings->egress,
        .slots = slots_total(dynamic_slots(settings), granted_slots(settings)),
    };
}

/* The ephemeral range by which to fold now. */
static void ephemeral_range(const struct settings *settings, __u32 *first, __u32 *last) {
    FILE *file;

    *first = 32768; /* where the far end's range is unknown: RFC 6335's and Linux's, together */
    *last = PB_PORTS - 1;
    if (!settings->fold_ephemeral) {
        *first = 1;
        *last = 0;
    } else if (settings->count_by == COUNT_LOCAL || settings->count_by == COUNT_LOWER) {
        *last = 60999; /* Linux's default */
        file = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");
        if (!file)
            return;
        if (fscanf(file, "%u %u", first, last) != 2 || *last >= PB_PORTS) {
            *first = 32768;
            *last = 60999;
        }
        fclose(file);
    }
}

/* With the lock. */
static void follow_ephemeral_range(struct monitor *monitor) {
    __u32 first, last;

    ephemeral_range(monitor->settings, &first, &last);
    if (first == monitor->ephemeral_first && last == monitor->ephemeral_last)
        return;
    for (struct interface *i = monitor->interfaces; i; i = i->next)
        if (i->engine.meter)
            slots_fold(i->engine.slots, first, last);
    monitor->ephemeral_first = first;
    monitor->ephemeral_last = last;
}

/* ---- listening ports ---- */

static int by_port(const void *a, const void *b) {
    const struct netlink_listener *left = a, *right = b;
    unsigned l = left->key * 2 + left->loopback, r = right->key * 2 + right->loopback;

    return l < r ? -1 : l > r;
}

/*
 * One look at who listens. A UDP port without a connection may be a client's that lives
 * for one query, so it counts only when the look before found it too. With the lock.
 */
static void look_for_listeners(struct monitor *monitor) {
    struct netlink_listener *now, *before = monitor->listeners;
    unsigned number, before_number = monitor->listeners_number;
    int error;

    if (!monitor->settings->listening_ports)
        return;
    error = netlink_listeners(&now, &number);
    if (error) { /* those known stay */
        if (!monitor->listeners_failed)
            pb_log(LOG_WARNING, "cannot list the listening sockets: %s.", strerror(-error));
        monitor->listeners_failed = true;
        return;
    }
    monitor->listeners_failed = false;
    if (number)
        qsort(now, number, sizeof(*now), by_port);
    for (unsigned i = 0; i < number; i++)
        now[i].confirmed =
            now[i].key / PB_PORTS != PB_UDP ||
            (before_number && bsearch(&now[i], before, before_number, sizeof(*now), by_port));
    free(before);
    monitor->listeners = now;
    monitor->listeners_number = number;
}

/*
 * The listening ports have series and slots of their own. One bound to a loopback
 * address only can't be reached through another interface. With the lock.
 */
static void serve_listeners(const struct monitor *monitor, struct interface *interface) {
    __u64 now = monotonic();

    for (unsigned i = 0; i < monitor->listeners_number; i++) {
        const struct netlink_listener *listener = &monitor->listeners[i];

        if (listener->confirmed && (interface->loopback || !listener->loopback) &&
            ledger_listening(interface->ledger, listener->key, now))
            slots_grant(interface->engine.slots, listener->key);
    }
}

/* ---- engines ---- */

static void engine_close(struct engine *engine) {
    meter_close(engine->meter);
    slots_free(engine->slots);
    *engine = (struct engine){0};
}

static int engine_open(struct engine *out, const struct monitor *monitor,
                       const struct netlink_link *link) {
    struct meter_settings settings = meter_settings_for(monitor->settings, link->type);
    struct engine engine = {.index = link->index};
    __u32 first, last;
    int error = meter_open(&engine.meter, link->name, &settings);

    if (!error)
        error = slots_new(&engine.slots, meter_shared(engine.meter),
                          dynamic_slots(monitor->settings), granted_slots(monitor->settings));
    if (!error) {
        ephemeral_range(monitor->settings, &first, &last);
        slots_fold(engine.slots, first, last);
        for (__u32 i = 0; i < monitor->settings->ports_number; i++)
            slots_grant(engine.slots, monitor->settings->ports[i]);
        error = meter_attach(engine.meter, link->index);
    }
    if (error)
        engine_close(&engine);
    else
        *out = engine;
    return error;
}

/* With the lock. Books what the interface counted since the last read. */
static void book(struct monitor *monitor, struct interface *interface) {
    struct slots *slots = interface->engine.slots;

    meter_read(interface->engine.meter, monitor->counters, slots_number(slots));
    slots_book(slots, monitor->counters, ledger_book, interface->ledger);
    slots_release(slots);
    ledger_settle(interface->ledger, monotonic());
}

/* ---- interfaces come and go ---- */

static struct interface *find(struct monitor *monitor, const char *name) {
    for (struct interface *i = monitor->interfaces; i; i = i->next)
        if (!strcmp(i->name, name))
            return i;
    return NULL;
}

static struct interface *find_or_make(struct monitor *monitor, const char *name) {
    const struct settings *settings = monitor->settings;
    struct ledger_policy policy = {.min_bytes = settings->min_bytes,
                                   .max_series = settings->max_ports,
                                   .top = settings->top_ports,
                                   .idle_timeout = settings->idle_timeout * SECOND};
    struct interface *interface = find(monitor, name);

    if (interface)
        return interface;
    interface = calloc(1, sizeof(*interface));
    if (!interface || ledger_new(&interface->ledger, name, &policy)) {
        free(interface);
        return NULL;
    }
    snprintf(interface->name, sizeof(interface->name), "%s", name);
    interface->next = monitor->interfaces;
    monitor->interfaces = interface;
    return interface;
}

static void interface_free(struct interface *interface) {
    engine_close(&interface->engine);
    ledger_free(interface->ledger);
    free(interface);
}

static void mark_gone(struct interface *interface) {
    interface->farewells = 2; /* what the last read brought, and what was late then */
    interface->gone = monotonic();
}

/* The interface that went longest ago, if there are more of these than are remembered. */
static struct interface **surplus(struct monitor *monitor) {
    struct interface **oldest = NULL;
    unsigned number = 0;

    for (struct interface **i = &monitor->interfaces; *i; i = &(*i)->next) {
        if (!(*i)->gone || (*i)->farewells)
            continue;
        number++;
        if (!oldest || (*i)->gone < (*oldest)->gone)
            oldest = i;
    }
    return number > GONE_MOST ? oldest : NULL;
}

/* With the lock. */
static void limit_gone(struct monitor *monitor) {
    struct interface **place, *interface;

    while ((place = surplus(monitor))) {
        interface = *place;
        *place = interface->next;
        interface_free(interface);
    }
}

static const struct netlink_link *link_by_index(const struct netlink_link *links, unsigned number,
                                                int index) {
    for (unsigned i = 0; i < number; i++)
        if (links[i].index == index)
            return &links[i];
    return NULL;
}

/* With the lock. An engine begins or goes on under this name. */
static void take_engine(const struct monitor *monitor, struct interface *interface,
                        struct engine engine, const struct netlink_link *link) {
    slots_fold(engine.slots, monitor->ephemeral_first, monitor->ephemeral_last); /* if it changed */
    interface->engine = engine;
    interface->gone = 0;
    interface->farewells = 0;
    interface->loopback = link->flags & IFF_LOOPBACK;
    for (__u32 i = 0; i < monitor->settings->ports_number; i++)
        ledger_select(interface->ledger, monitor->settings->ports[i]);
    serve_listeners(monitor, interface);
}

/*
 * Takes the engines away from interfaces that went or aren't wanted any more, and
 * moves those of renamed ones. With the lock; returns 0 or -ENOMEM.
 */
static int retire(struct monitor *monitor, const struct netlink_link *links, unsigned number) {
    struct engine *renamed;
    unsigned renamed_number = 0, retired = 0, total = 0;

    for (struct interface *i = monitor->interfaces; i; i = i->next)
        total += i->engine.meter != NULL;
    renamed = calloc(total ? total : 1, sizeof(*renamed));
    if (!renamed)
        return -ENOMEM;

    for (struct interface *i = monitor->interfaces; i; i = i->next) {
        const struct netlink_link *link = link_by_index(links, number, i->engine.index);

        if (!i->engine.meter)
            continue;
        if (!link || !wants(monitor, link)) {
            meter_detach(i->engine.meter);
            mark_gone(i);
            retired++;
        } else if (strcmp(link->name, i->name) != 0) {
            book(monitor, i);
            renamed[renamed_number++] = i->engine;
            i->engine = (struct engine){0};
            mark_gone(i);
        }
    }

    /* No CPU counts any more after this: the last read is whole. */
    if (retired)
        meter_grace_period();
    for (struct interface *i = monitor->interfaces; i; i = i->next) {
        if (!i->engine.meter || !i->gone)
            continue;
        book(monitor, i);
        engine_close(&i->engine);
        pb_log(LOG_INFO, "%s: not counted any more.", i->name);
    }

    for (unsigned i = 0; i < renamed_number; i++) {
        const struct netlink_link *link = link_by_index(links, number, renamed[i].index);
        struct interface *interface = find_or_make(monitor, link->name);

        if (interface)
            take_engine(monitor, interface, renamed[i], link);
        else
            engine_close(&renamed[i]);
    }
    free(renamed);
    return 0;
}

static bool is_counted(struct monitor *monitor, const struct netlink_link *link) {
    const struct interface *interface;
    bool counted;

    pthread_mutex_lock(&monitor->lock);
    interface = find(monitor, link->name);
    counted = interface && interface->engine.meter;
    pthread_mutex_unlock(&monitor->lock);
    return counted;
}

/* Takes the engine over, or closes it: -ENOMEM. */
static int begin(struct monitor *monitor, const struct netlink_link *link, struct engine engine) {
    struct interface *interface;

    pthread_mutex_lock(&monitor->lock);
    interface = find_or_make(monitor, link->name);
    if (interface)
        take_engine(monitor, interface, engine, link);
    pthread_mutex_unlock(&monitor->lock);
    if (!interface) {
        engine_close(&engine);
        return -ENOMEM;
    }
    pb_log(LOG_INFO, "%s: counting.", link->name);
    return 0;
}

/* Makes what is attached equal to what is wanted. Negative errno: some wanted link is not. */
static int reconcile(struct monitor *monitor) {
    struct netlink_link *links;
    unsigned number;
    int result, error = netlink_links(monitor->netlink, &links, &number);

    if (error) {
        pb_log(LOG_ERR, "cannot list the interfaces: %s.", strerror(-error));
        return error;
    }
    pthread_mutex_lock(&monitor->lock);
    result = retire(monitor, links, number);
    pthread_mutex_unlock(&monitor->lock);

    for (unsigned n = 0; n < number; n++) {
        const struct netlink_link *link = &links[n];
        struct engine engine;

        if (!(link->flags & IFF_UP) || !wants(monitor, link) || is_counted(monitor, link))
            continue;
        error = engine_open(&engine, monitor, link); /* slow, so without the lock */
        if (error == -ENODEV)                        /* gone meanwhile: its message will come */
            continue;
        if (!error)
            error = begin(monitor, link, engine);
        if (error)
            result = error;
    }
    free(links);
    return result;
}

static void *follow(void *argument) {
    struct monitor *monitor = argument;
    struct pollfd fds[] = {{.fd = monitor->wake, .events = POLLIN},
                           {.fd = netlink_fd(monitor->netlink), .events = POLLIN}};
    int timeout = -1;

    for (;;) {
        int ready = poll(fds, 2, timeout);

        if (fds[0].revents)
            return NULL;
        if (ready >= 0)
            timeout = reconcile(monitor) ? RETRY : -1;
    }
}

/* ---- starting and stopping ---- */

/* Says once which of the names in the configuration are not there. */
static void warn_absent(const struct monitor *monitor) {
    const char *name;

    for (unsigned n = 0; (name = selection_name(monitor->settings->interfaces, n)); n++)
        if (!if_nametoindex(name))
            pb_log(LOG_WARNING, "%s: there is no such interface; it will be counted when it comes.",
                   name);
}

/* With nothing to attach to yet: is the classifier accepted at all? */
static int probe(const struct monitor *monitor) {
    struct meter_settings settings = meter_settings_for(monitor->settings, ARPHRD_ETHER);
    struct meter *meter;
    int error = meter_open(&meter, "classifier", &settings);

    if (!error)
        meter_close(meter);
    return error;
}

static int first_attach(struct monitor *monitor) {
    struct netlink_link *links;
    unsigned number;
    int error = netlink_links(monitor->netlink, &links, &number);
    bool counting = false;

    if (error) {
        pb_log(LOG_ERR, "cannot list the interfaces: %s.", strerror(-error));
        return error;
    }
    for (unsigned i = 0; i < number; i++)
        meter_sweep(links[i].index);
    free(links);

    error = probe(monitor);
    if (error)
        return error;
    error = reconcile(monitor);
    for (struct interface *i = monitor->interfaces; i; i = i->next)
        counting |= i->engine.meter != NULL;
    warn_absent(monitor);
    return counting ? 0 : error;
}

int monitor_start(struct monitor **out, const struct settings *settings, monitor_spawn_fn *spawn) {
    struct monitor *monitor = calloc(1, sizeof(*monitor));
    int error = -ENOMEM;

    if (!monitor)
        return error;
    monitor->settings = settings;
    pthread_mutex_init(&monitor->lock, NULL);
    ephemeral_range(settings, &monitor->ephemeral_first, &monitor->ephemeral_last);
    monitor->counters = calloc(slots_total(dynamic_slots(settings), granted_slots(settings)),
                               sizeof(*monitor->counters));
    look_for_listeners(monitor);
    monitor->wake = eventfd(0, EFD_CLOEXEC);
    if (monitor->wake < 0)
        error = -errno;
    if (monitor->wake < 0 || !monitor->counters)
        goto fail;
    error = netlink_open(&monitor->netlink);
    if (error)
        goto fail;
    error = first_attach(monitor);
    if (error) { /* which has said why */
        monitor_stop(monitor);
        return error;
    }
    error = -spawn(&monitor->thread, follow, monitor, "tc_portbytes");
    if (error)
        goto fail;
    monitor->running = true;
    *out = monitor;
    return 0;

fail:
    pb_log(LOG_ERR, "cannot start: %s.", strerror(-error));
    monitor_stop(monitor);
    return error;
}

void monitor_stop(struct monitor *monitor) {
    struct interface *next;

    if (!monitor)
        return;
    if (monitor->running) {
        if (eventfd_write(monitor->wake, 1) == 0)
            pthread_join(monitor->thread, NULL);
    }
    for (struct interface *i = monitor->interfaces; i; i = next) {
        next = i->next;
        interface_free(i);
    }
    netlink_close(monitor->netlink);
    if (monitor->wake >= 0)
        close(monitor->wake);
    pthread_mutex_destroy(&monitor->lock);
    free(monitor->listeners);
    free(monitor->counters);
    free(monitor);
}

/* ---- reading ---- */

/* Withdraws what was chosen, everywhere, and waits once for all. With the lock. */
static void withdraw(struct monitor *monitor, __u64 interval) {
    __u64 now = monotonic(), until = now;
    __u32 waiting = 0;

    for (struct interface *i = monitor->interfaces; i; i = i->next)
        if (i->engine.meter)
            waiting += slots_withdraw(i->engine.slots, now);
    if (!waiting)
        return;
    /* Refused (nohz_full, a seccomp filter): time passes instead, an interval alone is no bound. */
    if (meter_grace_period())
        until = now - (interval > SECOND ? interval : SECOND);
    for (struct interface *i = monitor->interfaces; i; i = i->next)
        if (i->engine.meter)
            slots_passed(i->engine.slots, until);
}

/* With the lock. Our attachments are where they were, or are put back. */
static void repair(struct interface *interface) {
    __u64 now = monotonic();

    if (meter_check(interface->engine.meter) != -ENOENT || now < interface->repair_at)
        return;
    if (meter_attach(interface->engine.meter, interface->engine.index))
        interface->repair_at = now + RETRY * 1000000ull; /* a failure is said once a minute */
    else
        pb_log(LOG_WARNING,
               "%s: somebody had removed the classifier; it is attached again, what passed in "
               "between was not counted.",
               interface->name);
}

static void read_interface(struct monitor *monitor, struct interface *interface) {
    repair(interface);
    serve_listeners(monitor, interface); /* before booking: theirs from this read on */
    book(monitor, interface);
    slots_choose(interface->engine.slots, ledger_keeps, interface->ledger);
}

struct speaker {
    monitor_say_fn *say;
    void *context;
    const char *interface;
};

static void say_series(void *context, const char *instance, const struct pb_counters *total) {
    const struct speaker *speaker = context;

    speaker->say(speaker->context, speaker->interface, instance, total);
}

static void say_interface(struct interface *interface, monitor_say_fn *say, void *context) {
    struct speaker speaker = {.say = say, .context = context, .interface = interface->name};

    if (!interface->engine.meter) {
        if (!interface->farewells)
            return;
        interface->farewells--;
    }
    ledger_say(interface->ledger, say_series, &speaker);
    if (!interface->engine.meter && !interface->farewells)
        ledger_rest(interface->ledger);
}

void monitor_read(struct monitor *monitor, __u64 interval, monitor_say_fn *say, void *context) {
    pthread_mutex_lock(&monitor->lock);
    follow_ephemeral_range(monitor);
    look_for_listeners(monitor);
    withdraw(monitor, interval);
    for (struct interface *i = monitor->interfaces; i; i = i->next) {
        if (i->engine.meter)
            read_interface(monitor, i);
        say_interface(i, say, context);
    }
    limit_gone(monitor);
    pthread_mutex_unlock(&monitor->lock);
}
