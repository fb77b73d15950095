/* SPDX-License-Identifier: MIT */
#include "attacher.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "clock.h"
#include "libbpf_log.h"
#include "log.h"
#include "log_event.h"
#include "pins.h"

/* Interfaces that are prepared together: one grace period for all, a descriptor for each. */
#define BATCH 16

/* The most that is waited for others to get the rtnl lock. */
#define PAUSE_MAX_MS 1000

bool attacher_is_stopped(const struct attacher *attacher, int timeout_ms) {
    struct pollfd stop = {.fd = attacher->stop, .events = POLLIN};

    return poll(&stop, 1, timeout_ms) > 0;
}

bool attacher_wait(const struct attacher *attacher, int timeout_ms) {
    struct pollfd fds[] = {{.fd = attacher->stop, .events = POLLIN},
                           {.fd = netlink_fd(attacher->netlink), .events = POLLIN}};

    return poll(fds, 2, timeout_ms) > 0;
}

int attacher_pause(__u64 since) {
    __u64 ms = (monotonic() - since) / 1000000;

    return ms < PAUSE_MAX_MS ? (int)ms : PAUSE_MAX_MS;
}

unsigned attacher_number(struct attacher *attacher) {
    unsigned number;

    pthread_mutex_lock(attacher->lock);
    number = interfaces_number(attacher->interfaces);
    pthread_mutex_unlock(attacher->lock);
    return number;
}

/* ---- interfaces go ---- */

void attacher_close(struct instance *const *instances, unsigned number) {
    for (unsigned n = 0; n < number; n++) {
        counters_withdraw(instances[n]->counters);
        instance_close(instances[n], false);
    }
}

void attacher_end(struct attacher *attacher, struct attach *const *detached, unsigned number,
                  struct instance **ended, bool gone) {
    for (unsigned n = 0; n < number; n++)
        attach_close(detached[n]);
    pthread_mutex_lock(attacher->lock);
    number = interfaces_removed(attacher->interfaces, ended);
    pthread_mutex_unlock(attacher->lock);
    /* That waits for a grace period in the kernel, so the last reads miss nothing. */
    for (unsigned n = 0; n < number; n++)
        counters_withdraw(ended[n]->counters);
    pthread_mutex_lock(attacher->lock);
    interfaces_end(attacher->interfaces, gone);
    pthread_mutex_unlock(attacher->lock);
    attacher_close(ended, number);
}

/* ---- interfaces come ---- */

/* An interface that is being attached. */
struct arrival {
    const struct netlink_link *link;
    struct interface *interface; /* not forgotten meanwhile: removed_at is 0 */
    struct instance *instance;
    bool begun; /* the instance is the interface's, and is read */
    bool resumed;
    bool attached;
    int error; /* why it can't be counted */
};

static enum shortage shortage_of(int error) {
    if (error == -EMFILE || error == -ENFILE)
        return NO_DESCRIPTORS;
    return error == -ENOMEM ? NO_MEMORY : ENOUGH;
}

/* Ends an attempt that failed, and its log capture. A shortage is reported for all at once. */
static void fail(struct attacher *attacher, struct arrival *arrival, int error,
                 const char *reason) {
    arrival->error = error;
    pthread_mutex_lock(attacher->lock);
    if (!arrival->interface->instance)
        arrival->interface->removed_at = monotonic(); /* one never counted is forgotten, too */
    if (shortage_of(error))
        log_capture_end(arrival->link->name, -1);
    else
        interface_end_attempt(arrival->interface, arrival->link, error, reason);
    pthread_mutex_unlock(attacher->lock);
}

/* Whether there is memory for one more, and those that are opened but not begun. */
static bool is_memory_left(struct attacher *attacher, unsigned opened) {
    return (attacher_number(attacher) + opened + 1) * attacher->memory_each <= attacher->memory_max;
}

/* Finds or makes the instance of a link. */
static void open_arrival(struct attacher *attacher, struct arrival *arrival, unsigned opened) {
    bool memory = is_memory_left(attacher, opened);
    char reason[INSTANCE_REASON_SIZE];
    struct interface *interface;
    int error;

    pthread_mutex_lock(attacher->lock);
    interface = memory ? interfaces_find_or_create(attacher->interfaces, arrival->link->name)
                       : interfaces_find(attacher->interfaces, arrival->link->name);
    if (interface && (memory || interface->instance))
        interface->removed_at = 0;
    pthread_mutex_unlock(attacher->lock);
    arrival->interface = interface;
    if (interface && interface->instance) { /* it was resumed, or an attempt was interrupted */
        arrival->instance = interface->instance;
        arrival->begun = true;
        return;
    }
    if (!interface || !memory) {
        arrival->error = -ENOMEM;
        return;
    }
    log_capture_begin();
    error = instance_open(&arrival->instance, &attacher->interfaces->env, arrival->link, reason);
    if (error)
        fail(attacher, arrival, error, reason);
    else
        log_capture_end(arrival->link->name, -1);
}

/* Begins to read an instance that is published, unless `error` says that it is not. */
static void begin_arrival(struct attacher *attacher, struct arrival *arrival, int error) {
    char reason[INSTANCE_REASON_SIZE];

    log_capture_begin();
    if (!error) {
        pthread_mutex_lock(attacher->lock);
        error = interface_begin(arrival->interface, &attacher->interfaces->env, arrival->instance,
                                arrival->link, &arrival->resumed);
        pthread_mutex_unlock(attacher->lock);
    }
    if (!error) {
        arrival->begun = true;
        log_capture_end(arrival->link->name, -1);
        return;
    }
    attacher_close(&arrival->instance, 1);
    arrival->instance = NULL;
    snprintf(reason, sizeof(reason), "cannot begin to count: %s.", strerror(-error));
    fail(attacher, arrival, error, reason);
}

/* Makes the instances of at most BATCH links, until something runs out, and begins to read them. */
static void prepare(struct attacher *attacher, struct arrival *arrivals,
                    const struct netlink_link *const *links, unsigned number) {
    struct counters *counters[BATCH] = {0};
    unsigned opened = 0;
    int shortage = 0, error;

    for (unsigned n = 0; n < number; n++) {
        arrivals[n] = (struct arrival){.link = links[n], .error = shortage};
        if (shortage)
            continue;
        open_arrival(attacher, &arrivals[n], opened);
        if (shortage_of(arrivals[n].error))
            shortage = arrivals[n].error;
        else if (arrivals[n].instance && !arrivals[n].begun)
            counters[opened++] = arrivals[n].instance->counters;
    }
    error = counters_publish(counters, opened);
    for (unsigned n = 0; n < number; n++)
        if (arrivals[n].instance && !arrivals[n].begun)
            begin_arrival(attacher, &arrivals[n], error);
}

static void attach_arrival(struct attacher *attacher, struct arrival *arrival) {
    char reason[INSTANCE_REASON_SIZE];
    struct attach *attach;
    bool counting;
    int error;

    log_capture_begin();
    error = instance_attach(arrival->instance, &attacher->interfaces->env, arrival->link->name,
                            &attach, reason);
    if (error) {
        fail(attacher, arrival, error, reason);
        return;
    }
    counting = attach_is_counting(attach);
    pthread_mutex_lock(attacher->lock);
    interface_attached(arrival->interface, attach);
    interface_end_attempt(arrival->interface, arrival->link, 0, "");
    pthread_mutex_unlock(attacher->lock);
    arrival->attached = true;
    if (counting)
        pb_log_event(LOG_INFO, "%s: counting.", arrival->link->name);
}

/*
 * A tcx attachment holds the rtnl lock for two grace periods: others get it for as long. Changes
 * of links come first: a device that was moved to another network namespace still counts here.
 */
static bool is_interrupted(const struct attacher *attacher, const struct progress *progress,
                           __u64 began) {
    if (progress->deadline)
        return monotonic() >= progress->deadline || attacher_is_stopped(attacher, 0);
    return attacher_wait(attacher, attacher_pause(began));
}

static void attach_prepared(struct attacher *attacher, struct arrival *arrivals, unsigned number,
                            struct progress *progress) {
    int shortage = 0;

    for (unsigned n = 0; n < number && !progress->left; n++) {
        struct arrival *arrival = &arrivals[n];
        __u64 began = monotonic();

        if (!arrival->instance)
            continue;
        if (!shortage) {
            attach_arrival(attacher, arrival);
            if (shortage_of(arrival->error))
                shortage = arrival->error;
            else
                progress->left = is_interrupted(attacher, progress, began);
        } else if (!arrival->instance->counting) {
            arrival->error = shortage;
        } /* else it counts by what an earlier daemon attached */
    }
}

/* Those that failed hold nothing afterwards. */
static void end_failed(struct attacher *attacher, const struct arrival *arrivals, unsigned number) {
    struct instance *ended[BATCH];
    unsigned failed = 0;

    pthread_mutex_lock(attacher->lock);
    for (unsigned n = 0; n < number; n++) {
        if (!arrivals[n].error || !arrivals[n].begun)
            continue;
        interface_detach(arrivals[n].interface);
        failed++;
    }
    pthread_mutex_unlock(attacher->lock);
    if (failed)
        attacher_end(attacher, NULL, 0, ended, false);
}

/* What was reported is not repeated until it is over, nor each time that it comes again. */
static void report_shortage(struct attacher *attacher, enum shortage shortage,
                            const struct netlink_link *first, unsigned number) {
    struct rlimit limit = {0};

    attacher->shortage_until = monotonic() + RETRY_INTERVAL;
    if (attacher->shortage == shortage)
        return;
    attacher->shortage = shortage;
    if (!log_limit_pass(&attacher->shortage_limit, monotonic()))
        return;
    getrlimit(RLIMIT_NOFILE, &limit);
    if (shortage == NO_DESCRIPTORS)
        pb_log(LOG_ERR,
               "%u interfaces are not counted, %s among them: the limit of %llu open files "
               "leaves no more descriptors; raise LimitNOFILE of collectd's unit, or ulimit -Hn.",
               number, first->name, (unsigned long long)limit.rlim_max);
    else
        pb_log(LOG_ERR,
               "%u interfaces are not counted, %s among them: there is no memory for their "
               "counters, of which all together may take 1/32 of the machine's; lower MaxPorts, or "
               "select fewer interfaces with Interface.",
               number, first->name);
}

int attacher_attach(struct attacher *attacher, const struct netlink_link *const *links,
                    unsigned number, struct progress *progress) {
    unsigned most = attacher->shortage ? 1 : BATCH, settled = 0;
    const struct netlink_link *first = NULL; /* for which something has run out */
    enum shortage shortage = ENOUGH;
    int error = 0;

    for (unsigned done = 0; done < number && !progress->left && !shortage; done += most) {
        unsigned batch = number - done < most ? number - done : most;
        struct arrival arrivals[BATCH];

        prepare(attacher, arrivals, links + done, batch);
        attach_prepared(attacher, arrivals, batch, progress);
        end_failed(attacher, arrivals, batch);
        for (unsigned n = 0; n < batch; n++) {
            const struct arrival *arrival = &arrivals[n];

            if (arrival->error && arrival->error != -ENODEV) /* deleted: RTM_DELLINK follows */
                error = arrival->error;
            if (!shortage_of(arrival->error)) {
                settled += arrival->attached || arrival->error;
            } else if (!shortage) {
                shortage = shortage_of(arrival->error);
                first = arrival->link;
            }
        }
    }
    progress->left = progress->left && settled < number;
    if (shortage)
        report_shortage(attacher, shortage, first, number - settled);
    else if (!progress->left)
        attacher->shortage = ENOUGH;
    return error;
}

static void resume_batch(struct attacher *attacher, const struct netlink_link *const *links,
                         unsigned number) {
    struct arrival arrivals[BATCH];

    prepare(attacher, arrivals, links, number);
    for (unsigned n = 0; n < number; n++) {
        const struct arrival *arrival = &arrivals[n];

        if (arrival->error) {
            pb_log(LOG_ERR, "%s: cannot resume what is pinned: %s; it was removed.",
                   arrival->link->name, strerror(-arrival->error));
            pins_remove_all(attacher->pins, arrival->link->index);
            attach_remove_stale(arrival->link->index);
        } else if (classifier_resumed(attacher->interfaces->env.classifier) && !arrival->resumed) {
            pb_log(LOG_NOTICE,
                   "%s: what is pinned belongs to another name or link layer, or is damaged; "
                   "counters restart from zero.",
                   arrival->link->name);
        }
    }
}

void attacher_resume(struct attacher *attacher, const struct netlink_link *const *links,
                     unsigned number) {
    for (unsigned done = 0; done < number; done += BATCH)
        resume_batch(attacher, links + done, number - done < BATCH ? number - done : BATCH);
}
