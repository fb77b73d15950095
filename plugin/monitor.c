/* SPDX-License-Identifier: MIT */
#include "monitor.h"

#include <errno.h>
#include <net/if_arp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "attach.h"
#include "classifier.h"
#include "clock.h"
#include "interfaces.h"
#include "libbpf_log.h"
#include "log.h"
#include "netlink.h"
#include "pins.h"

struct monitor {
    const struct settings *settings;
    struct netlink *netlink;
    struct pins *pins;    /* NULL: nothing outlives the daemon */
    pthread_mutex_t lock; /* for interfaces, whose settings and pins never change */
    struct interfaces interfaces;
    struct log_limit list_failure;
    pthread_t thread;
    bool running;
    int wake; /* eventfd: tells the thread to exit */
};

/* ---- links come and go ---- */

static int list_links(struct monitor *monitor, struct links *links) {
    int error = netlink_links(monitor->netlink, &links->link, &links->number);

    if (!error)
        log_limit_reset(&monitor->list_failure);
    else if (log_limit_pass(&monitor->list_failure, monotonic()))
        pb_log(LOG_ERR, "cannot list the interfaces: %s.", strerror(-error));
    return error;
}

static bool is_counted(struct monitor *monitor, const char *name) {
    const struct interface *interface;
    bool counted;

    pthread_mutex_lock(&monitor->lock);
    interface = interfaces_find(&monitor->interfaces, name);
    counted = interface && interface->instance;
    pthread_mutex_unlock(&monitor->lock);
    return counted;
}

/* The instance becomes the interface's, or is closed: -ENOMEM. */
static int register_instance(struct monitor *monitor, struct instance *instance,
                             const struct netlink_link *link) {
    struct interface *interface;
    int error = -ENOMEM;

    pthread_mutex_lock(&monitor->lock);
    interface = interfaces_find_or_create(&monitor->interfaces, link->name);
    if (interface)
        error = interface_resume(interface, &monitor->interfaces.env, instance, link);
    pthread_mutex_unlock(&monitor->lock);
    if (error)
        instance_close(instance, true);
    else
        pb_log(LOG_INFO, "%s: counting.", link->name);
    return error;
}

/* -ENODEV: the link has gone meanwhile. */
static int attach_link(struct monitor *monitor, const struct netlink_link *link) {
    struct port_range ephemeral = interfaces_ephemeral(monitor->settings);
    char reason[INSTANCE_REASON_SIZE];
    struct interface *interface = NULL;
    struct instance *instance;
    int error;

    log_capture_begin();
    error = instance_open(&instance, &monitor->interfaces.env, ephemeral, link, reason);
    if (!error) {
        snprintf(reason, sizeof(reason), "out of memory.");
        error = register_instance(monitor, instance, link);
    }
    pthread_mutex_lock(&monitor->lock);
    if (error) {
        interface = interfaces_find_or_create(&monitor->interfaces, link->name);
        if (interface) /* a name that is never counted is forgotten, too */
            interface->removed_at = monotonic();
    }
    interface_end_attempt(interface, link, error, reason);
    pthread_mutex_unlock(&monitor->lock);
    return error;
}

static bool is_stopping(const struct monitor *monitor) {
    struct pollfd wake = {.fd = monitor->wake, .events = POLLIN};

    return poll(&wake, 1, 0) > 0;
}

/* Makes what is attached equal to what is wanted. Negative errno: some wanted link is not. */
static int reconcile(struct monitor *monitor) {
    struct links links;
    int result = list_links(monitor, &links);

    if (result)
        return result;
    pthread_mutex_lock(&monitor->lock);
    result = interfaces_follow(&monitor->interfaces, &links);
    pthread_mutex_unlock(&monitor->lock);

    /* When stopping all would only be detached again, and a burst takes seconds to attach. */
    for (unsigned n = 0; n < links.number && !is_stopping(monitor); n++) {
        const struct netlink_link *link = &links.link[n];
        int error;

        if (!(link->flags & IFF_UP) || !policy_wants(monitor->settings, link) ||
            is_counted(monitor, link->name))
            continue;
        error = attach_link(monitor, link); /* slow, so without the lock */
        if (error && error != -ENODEV)      /* deleted: RTM_DELLINK follows */
            result = error;
    }
    free(links.link);
    return result;
}

static void *link_thread(void *argument) {
    struct monitor *monitor = argument;
    struct pollfd fds[] = {{.fd = monitor->wake, .events = POLLIN},
                           {.fd = netlink_fd(monitor->netlink), .events = POLLIN}};
    const int retry = RETRY_INTERVAL / 1000000; /* ms */
    int timeout = retry;                        /* not all may have been attached at the start */

    for (;;) {
        int ready = poll(fds, 2, timeout);

        if (fds[0].revents)
            return NULL;
        if (ready >= 0)
            timeout = reconcile(monitor) ? retry : -1;
    }
}

/* ---- starting and stopping ---- */

/* Warns once of the configured names that are not there. */
static void warn_absent(const struct monitor *monitor) {
    const char *name;

    for (unsigned n = 0; (name = selection_name(monitor->settings->interfaces, n)); n++)
        if (!if_nametoindex(name))
            pb_log(LOG_WARNING, "%s: interface not found; will attach when it appears.", name);
}

/* Whether the classifier is accepted at all, with nothing to attach to yet. */
static int probe(const struct monitor *monitor) {
    struct classifier_settings settings = policy_classifier(monitor->settings, ARPHRD_ETHER);
    char reason[LOAD_ERROR_SIZE];
    struct classifier *classifier;
    int error;

    log_capture_begin();
    error = classifier_open(&classifier, &settings, NULL, reason);
    if (error)
        pb_log(LOG_ERR, "classifier: %s", reason);
    else
        classifier_close(classifier);
    log_capture_end("classifier", error ? LOG_NOTICE : -1);
    return error;
}

struct wanted {
    const struct settings *settings;
    const struct links *links;
};

static bool is_wanted(void *context, int interface) {
    const struct wanted *wanted = context;
    const struct netlink_link *link = links_find(wanted->links, interface);

    return link && policy_wants(wanted->settings, link);
}

/* Opens the pins if they are wanted, and removes what an earlier daemon pinned if not. */
static int open_pins(struct monitor *monitor) {
    int error = pins_open(&monitor->pins, monitor->settings->persist);

    if (!error && monitor->pins && !monitor->settings->persist) {
        pins_sweep(monitor->pins, NULL, NULL);
        pins_close(monitor->pins);
        monitor->pins = NULL;
    }
    monitor->interfaces.env.pins = monitor->pins;
    return error;
}

/* Removes what killed daemons left where nothing is to be resumed. */
static int remove_leftovers(struct monitor *monitor) {
    struct links links;
    struct wanted wanted = {.settings = monitor->settings, .links = &links};
    int error = list_links(monitor, &links);

    if (error)
        return error;
    /* With pins a filter that is wanted is taken over while it counts. */
    for (unsigned i = 0; i < links.number; i++)
        if (!monitor->pins || !policy_wants(monitor->settings, &links.link[i]))
            attach_remove_stale(links.link[i].index);
    if (monitor->pins)
        pins_sweep(monitor->pins, is_wanted, &wanted);
    free(links.link);
    return 0;
}

static int first_attach(struct monitor *monitor) {
    bool counting = false;
    int error = remove_leftovers(monitor);

    if (!error)
        error = probe(monitor);
    if (error)
        return error;
    error = reconcile(monitor);
    for (const struct interface *i = monitor->interfaces.first; i; i = i->next)
        counting |= i->instance != NULL;
    warn_absent(monitor);
    return counting ? 0 : error;
}

int monitor_start(struct monitor **out, const struct settings *settings, monitor_spawn_fn *spawn) {
    struct monitor *monitor = calloc(1, sizeof(*monitor));
    int error = -ENOMEM;

    if (!monitor) {
        pb_log(LOG_ERR, "cannot start: out of memory.");
        return error;
    }
    monitor->settings = settings;
    pthread_mutex_init(&monitor->lock, NULL);
    monitor->wake = eventfd(0, EFD_CLOEXEC);
    error = monitor->wake < 0 ? -errno : 0;
    if (!error)
        error = interfaces_init(&monitor->interfaces, settings);
    if (!error)
        error = netlink_open(&monitor->netlink);
    if (error)
        goto fail;
    error = open_pins(monitor);
    if (!error)
        error = first_attach(monitor);
    if (error) { /* the reason was logged */
        monitor_stop(monitor);
        return error;
    }
    error = -spawn(&monitor->thread, link_thread, monitor, "tc_portbytes");
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
    if (!monitor)
        return;
    if (monitor->running && eventfd_write(monitor->wake, 1) == 0)
        pthread_join(monitor->thread, NULL);
    interfaces_free(&monitor->interfaces, monitor->running);
    pins_close(monitor->pins);
    netlink_close(monitor->netlink);
    if (monitor->wake >= 0)
        close(monitor->wake);
    pthread_mutex_destroy(&monitor->lock);
    free(monitor);
}

void monitor_read(struct monitor *monitor, __u64 interval, monitor_report_fn *report,
                  void *context) {
    pthread_mutex_lock(&monitor->lock);
    interfaces_read(&monitor->interfaces, interval, report, context);
    pthread_mutex_unlock(&monitor->lock);
}
