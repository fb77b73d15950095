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
#include "pins.h"
#include "slots.h"
#include "snapshot.h"

#ifndef ARPHRD_IP6GRE
#define ARPHRD_IP6GRE 823 /* linux/if_arp.h, which <net/if_arp.h> excludes */
#endif

#define SECOND 1000000000ull

/* What counts on one interface index. meter NULL: nothing. */
struct engine {
    struct meter *meter;
    struct slots *slots;
    int index;
    __u64 fingerprint; /* of all that what is pinned depends on, but the name */
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
    __u64 silent_until; /* a failure to attach has been said: once a minute will do */
    char name[IFNAMSIZ];
};

struct monitor {
    const struct settings *settings;
    struct netlink *netlink;
    struct pins *pins;    /* NULL: nothing outlives the daemon */
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

static struct ledger_policy ledger_policy_for(const struct settings *settings) {
    return (struct ledger_policy){.min_bytes = settings->min_bytes,
                                  .max_series = settings->max_ports,
                                  .top = settings->top_ports,
                                  .idle_timeout = settings->idle_timeout * SECOND};
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
            slots_reserve(interface->engine.slots, listener->key);
    }
}

/* ---- what outlives the daemon: slots, then ledger ---- */

/* To be changed with the meaning of anything in there that its size does not tell. */
#define LAYOUT 1

static size_t slots_state(const struct settings *settings) {
    return slots_saved_size(dynamic_slots(settings), granted_slots(settings));
}

static size_t state_size(const struct settings *settings) {
    struct ledger_policy policy = ledger_policy_for(settings);

    return snapshot_size(slots_state(settings) +
                         ledger_saved_size(&policy, settings->ports_number));
}

/* FNV-1a, http://www.isthe.com/chongo/tech/comp/fnv/ */
static __u64 hash(__u64 before, const void *data, size_t size) {
    for (const unsigned char *byte = data; size; size--, byte++)
        before = (before ^ *byte) * 0x100000001b3;
    return before;
}

static __u64 fingerprint(const struct settings *settings, const struct meter_settings *meter) {
    const __u64 facts[] = {LAYOUT,
                           state_size(settings),
                           slots_state(settings),
                           sizeof(struct pb_shared),
                           PB_FIXED_SLOTS,
                           dynamic_slots(settings),
                           granted_slots(settings),
                           meter->slots,
                           meter->link_header,
                           meter->port_in,
                           meter->port_eg,
                           meter->ingress,
                           meter->egress};
    __u64 all = hash(0xcbf29ce484222325, facts, sizeof(facts));

    return hash(all, settings->ports, settings->ports_number * sizeof(settings->ports[0]));
}

/* A ledger belongs to a name. */
static __u64 fingerprint_of_name(const struct engine *engine, const char *name) {
    return hash(engine->fingerprint, name, strlen(name));
}

static const void *saved_state(const struct monitor *monitor, const struct engine *engine,
                               const char *name) {
    const void *memory = meter_state(engine->meter);

    return memory ? snapshot_latest(memory, state_size(monitor->settings),
                                    fingerprint_of_name(engine, name))
                  : NULL;
}

/* With the lock. */
static void save(const struct monitor *monitor, const struct interface *interface) {
    const struct engine *engine = &interface->engine;
    size_t size = state_size(monitor->settings);
    void *memory = meter_state(engine->meter);
    char *state;

    if (!memory)
        return;
    state = snapshot_begin(memory, size);
    slots_save(engine->slots, state);
    ledger_save(interface->ledger, state + slots_state(monitor->settings));
    snapshot_commit(memory, size, fingerprint_of_name(engine, interface->name));
}

/* ---- engines ---- */

static void engine_close(struct engine *engine) {
    meter_close(engine->meter);
    slots_free(engine->slots);
    *engine = (struct engine){0};
}

static int engine_open(struct engine *out, const struct monitor *monitor,
                       const struct netlink_link *link, bool silent) {
    struct meter_settings settings = meter_settings_for(monitor->settings, link->type);
    struct engine engine = {.index = link->index,
                            .fingerprint = fingerprint(monitor->settings, &settings)};
    __u32 dynamic = dynamic_slots(monitor->settings), granted = granted_slots(monitor->settings);
    const void *saved = NULL;
    char path[PINS_PATH];
    __u32 first, last;
    int error;

    settings.silent = silent;
    if (monitor->pins) {
        pins_path(monitor->pins, link->index, path);
        settings.pins = path;
        settings.state = state_size(monitor->settings);
        settings.fingerprint = fingerprint_of_name(&engine, link->name);
    }
    error = meter_open(&engine.meter, link->name, &settings);
    if (error)
        return error;
    saved = saved_state(monitor, &engine, link->name);
    if (saved)
        error = slots_restore(&engine.slots, meter_shared(engine.meter), dynamic, granted, saved);
    else
        error = slots_new(&engine.slots, meter_shared(engine.meter), dynamic, granted);
    if (error && !silent) {
        pb_log(LOG_ERR, "%s: no memory.", link->name);
    } else if (!error) {
        ephemeral_range(monitor->settings, &first, &last);
        slots_fold(engine.slots, first, last);
        for (__u32 i = 0; i < monitor->settings->ports_number; i++)
            slots_reserve(engine.slots, monitor->settings->ports[i]);
        error = meter_attach(engine.meter, link->index);
    }
    if (error) {
        if (error != -ENODEV) /* what is pinned may serve the next try */
            meter_leave(engine.meter);
        engine_close(&engine);
    } else {
        *out = engine;
    }
    return error;
}

/* With the lock. Books what the interface counted since the last read. */
static void book(struct monitor *monitor, struct interface *interface) {
    struct slots *slots = interface->engine.slots;

    meter_read(interface->engine.meter, monitor->counters, slots_used(slots));
    slots_account(slots, monitor->counters, ledger_account, interface->ledger);
    ledger_update(interface->ledger, monotonic());
    save(monitor, interface);
    slots_recycle(slots);
}

/* ---- interfaces come and go ---- */

static struct interface *find(struct monitor *monitor, const char *name) {
    for (struct interface *i = monitor->interfaces; i; i = i->next)
        if (!strcmp(i->name, name))
            return i;
    return NULL;
}

static struct interface *find_or_make(struct monitor *monitor, const char *name) {
    struct ledger_policy policy = ledger_policy_for(monitor->settings);
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

/* At each read again: a port that found no memory before gets its series then. With the lock. */
static void select_ports(const struct monitor *monitor, struct interface *interface) {
    for (__u32 i = 0; i < monitor->settings->ports_number; i++)
        if (ledger_select(interface->ledger, monitor->settings->ports[i]))
            slots_reserve(interface->engine.slots, monitor->settings->ports[i]);
}

/* With the lock. An engine begins or goes on under this name. */
static void take_engine(const struct monitor *monitor, struct interface *interface,
                        struct engine engine, const struct netlink_link *link) {
    slots_fold(engine.slots, monitor->ephemeral_first, monitor->ephemeral_last); /* if it changed */
    interface->engine = engine;
    interface->gone = 0;
    interface->farewells = 0;
    interface->loopback = link->flags & IFF_LOOPBACK;
    select_ports(monitor, interface);
    serve_listeners(monitor, interface);
    save(monitor, interface);
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

/* A failure has been said: the next tries, one at each change of any link, are silent. */
static void silence(struct monitor *monitor, const char *name) {
    struct interface *interface;

    pthread_mutex_lock(&monitor->lock);
    interface = find_or_make(monitor, name);
    if (interface) {
        interface->silent_until = monotonic() + RETRY * 1000000ull;
        interface->gone = monotonic(); /* one that is never counted is forgotten in time */
    }
    pthread_mutex_unlock(&monitor->lock);
}

static bool is_silent(struct monitor *monitor, const char *name) {
    const struct interface *interface;
    bool silent;

    pthread_mutex_lock(&monitor->lock);
    interface = find(monitor, name);
    silent = interface && monotonic() < interface->silent_until;
    pthread_mutex_unlock(&monitor->lock);
    return silent;
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
    const char *saved = saved_state(monitor, &engine, link->name);
    struct interface *interface;
    int error = 0;

    pthread_mutex_lock(&monitor->lock);
    interface = find_or_make(monitor, link->name);
    if (!interface)
        error = -ENOMEM;
    else if (saved)
        error = ledger_restore(interface->ledger, saved + slots_state(monitor->settings));
    if (!error)
        take_engine(monitor, interface, engine, link);
    pthread_mutex_unlock(&monitor->lock);
    if (error) {
        meter_leave(engine.meter);
        engine_close(&engine);
        pb_log(LOG_ERR, "%s: no memory.", link->name);
        return error;
    }
    pb_log(LOG_INFO, "%s: counting.", link->name);
    return 0;
}

static bool is_stopping(const struct monitor *monitor) {
    struct pollfd wake = {.fd = monitor->wake, .events = POLLIN};

    return poll(&wake, 1, 0) > 0;
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

    /* After monitor_stop it would only be taken away again, and a burst takes seconds. */
    for (unsigned n = 0; n < number && !is_stopping(monitor); n++) {
        const struct netlink_link *link = &links[n];
        struct engine engine;
        bool silent;

        if (!(link->flags & IFF_UP) || !wants(monitor, link) || is_counted(monitor, link))
            continue;
        silent = is_silent(monitor, link->name);
        error = engine_open(&engine, monitor, link, silent); /* slow, so without the lock */
        if (error == -ENODEV) /* gone meanwhile: its message will come */
            continue;
        if (!error)
            error = begin(monitor, link, engine);
        if (error && !silent)
            silence(monitor, link->name);
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
    int timeout = RETRY; /* not all may have been attached at the start */

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

struct wanted {
    const struct monitor *monitor;
    const struct netlink_link *links;
    unsigned number;
};

static bool is_wanted(void *context, int interface) {
    const struct wanted *wanted = context;
    const struct netlink_link *link = link_by_index(wanted->links, wanted->number, interface);

    return link && wants(wanted->monitor, link);
}

/* Opens the pins if they are wanted, and removes what an earlier daemon left if not. */
static int open_pins(struct monitor *monitor) {
    int error = pins_open(&monitor->pins, monitor->settings->persist);

    if (!error && monitor->pins && !monitor->settings->persist) {
        pins_sweep(monitor->pins, NULL, NULL);
        pins_close(monitor->pins);
        monitor->pins = NULL;
    }
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
    /* With pins a filter that is wanted is taken over as it counts. */
    for (unsigned i = 0; i < number; i++)
        if (!monitor->pins || !wants(monitor, &links[i]))
            meter_sweep(links[i].index);
    if (monitor->pins)
        pins_sweep(monitor->pins, is_wanted,
                   &(struct wanted){.monitor = monitor, .links = links, .number = number});
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

    if (!monitor) {
        pb_log(LOG_ERR, "cannot start: no memory.");
        return error;
    }
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
    error = open_pins(monitor);
    if (!error)
        error = first_attach(monitor);
    if (error) { /* it has been said why */
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
        if (monitor->running && i->engine.meter)
            meter_leave(i->engine.meter);
        interface_free(i);
    }
    pins_close(monitor->pins);
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
            waiting += slots_unlink(i->engine.slots, now);
    if (!waiting)
        return;
    /* Refused (nohz_full, a seccomp filter): time passes instead, an interval alone is no bound. */
    if (meter_grace_period()) {
        __u64 wait = interval > SECOND ? interval : SECOND;

        until = now > wait ? now - wait : 0; /* the machine may be up for less than that */
    }
    for (struct interface *i = monitor->interfaces; i; i = i->next)
        if (i->engine.meter)
            slots_quiesce(i->engine.slots, until);
}

/* With the lock. Our attachments are where they were, or are put back. */
static void repair(struct interface *interface) {
    __u64 now = monotonic();

    if (meter_check(interface->engine.meter, interface->name) != -ENOENT ||
        now < interface->repair_at)
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
    select_ports(monitor, interface);
    serve_listeners(monitor, interface); /* before booking: theirs from this read on */
    book(monitor, interface);
    slots_pick_victims(interface->engine.slots, ledger_is_active, interface->ledger);
}

struct speaker {
    monitor_report_fn *say;
    void *context;
    const char *interface;
};

static void say_series(void *context, const char *instance, const struct pb_counters *total) {
    const struct speaker *speaker = context;

    speaker->say(speaker->context, speaker->interface, instance, total);
}

static void say_interface(struct interface *interface, monitor_report_fn *say, void *context) {
    struct speaker speaker = {.say = say, .context = context, .interface = interface->name};

    if (!interface->engine.meter) {
        if (!interface->farewells)
            return;
        interface->farewells--;
    }
    ledger_report(interface->ledger, say_series, &speaker);
    if (!interface->engine.meter && !interface->farewells)
        ledger_suspend(interface->ledger);
}

void monitor_read(struct monitor *monitor, __u64 interval, monitor_report_fn *say, void *context) {
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
