/* SPDX-License-Identifier: MIT */
#include "reconcile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "attacher.h"
#include "clock.h"
#include "log.h"
#include "pins.h"

/* Stops counting on interfaces that were removed or aren't wanted, and follows new names. */
static int follow(struct attacher *attacher, const struct links *links) {
    unsigned number = attacher_number(attacher);
    struct attach **detached = calloc(number + 1, sizeof(void *));
    struct instance **ended = calloc(number + 1, sizeof(void *));
    int error = detached && ended ? 0 : -ENOMEM;

    if (!error) {
        pthread_mutex_lock(attacher->lock);
        number = interfaces_detach(attacher->interfaces, links, detached);
        pthread_mutex_unlock(attacher->lock);
        if (number) {
            attacher_end(attacher, detached, number, ended, true);
            attacher->shortage_until = 0; /* what they held may serve others */
        }
        pthread_mutex_lock(attacher->lock);
        number = interfaces_rename(attacher->interfaces, links, ended);
        interfaces_forget(attacher->interfaces, links);
        pthread_mutex_unlock(attacher->lock);
        attacher_close(ended, number);
    }
    free(detached);
    free(ended);
    return error;
}

/* ---- what is attached, and what is wanted ---- */

static void report_failure(struct attacher *attacher, int error) {
    if (log_limit_pass(&attacher->list_failure, monotonic()))
        pb_log(LOG_ERR, "cannot list the interfaces: %s.", strerror(-error));
}

/* A family without a default route now keeps the one that it had, so that its series go on. */
static void update_default_route(struct default_rule *rule) {
    static const int families[] = {AF_INET, AF_INET6};

    for (unsigned n = 0; n < sizeof(families) / sizeof(families[0]); n++) {
        int interfaces[DEFAULT_ROUTE_MAX] = {0};

        if (netlink_default_route(families[n], interfaces, DEFAULT_ROUTE_MAX) > 0)
            memcpy(rule->default_route[n], interfaces, sizeof(interfaces));
    }
}

static void mark_wanted(struct attacher *attacher, struct links *links) {
    struct default_rule *rule = &attacher->default_rule;

    attacher->by_route = policy_mark_wanted(attacher->settings, rule, links);
    if (!attacher->by_route)
        return;
    update_default_route(rule);
    policy_mark_wanted(attacher->settings, rule, links);
}

int reconcile_list(struct attacher *attacher, struct links *links) {
    int error = netlink_links(attacher->netlink, &links->link, &links->number);

    if (error) {
        report_failure(attacher, error);
        return error;
    }
    links_sort(links);
    mark_wanted(attacher, links);
    return 0;
}

static int attach_pending(struct attacher *attacher, const struct links *links,
                          const struct netlink_link **pending, struct progress *progress) {
    unsigned number;
    int error = 0;

    pthread_mutex_lock(attacher->lock);
    number = interfaces_pending(attacher->interfaces, links, pending, &progress->later);
    pthread_mutex_unlock(attacher->lock);
    if (attacher->shortage && monotonic() < attacher->shortage_until)
        progress->later = true;
    else
        error = attacher_attach(attacher, pending, number, progress);
    progress->later |= error != 0;
    return error;
}

int reconcile(struct attacher *attacher, struct progress *progress) {
    const struct netlink_link **pending;
    struct links links;
    int error = reconcile_list(attacher, &links);

    if (error)
        return error;
    pending = calloc(links.number + 1, sizeof(void *));
    error = pending ? follow(attacher, &links) : -ENOMEM;
    if (error) {
        report_failure(attacher, error);
    } else {
        log_limit_reset(&attacher->list_failure);
        error = attach_pending(attacher, &links, pending, progress);
    }
    free(pending);
    links_free(&links);
    return error;
}

int reconcile_resume(struct attacher *attacher, const struct links *links) {
    const struct netlink_link **pinned;
    unsigned number, wanted = 0;
    int *indices, error = pins_list(attacher->pins, &indices, &number);

    if (error) {
        pb_log(LOG_ERR, "cannot start: cannot read what is pinned: %s.", strerror(-error));
        return error;
    }
    pinned = calloc(number + 1, sizeof(void *));
    for (unsigned n = 0; n < number && pinned; n++) {
        const struct netlink_link *link = links_find_wanted(links, indices[n]);

        if (link)
            pinned[wanted++] = link;
    }
    free(indices);
    if (!pinned) {
        pb_log(LOG_ERR, "cannot start: out of memory.");
        return -ENOMEM;
    }
    if (wanted && !classifier_resumed(attacher->interfaces->env.classifier))
        pb_log(LOG_NOTICE,
               "pinned maps were made with other settings or by another version, or are damaged; "
               "counters restart from zero.");
    attacher_resume(attacher, pinned, wanted);
    free(pinned);
    return 0;
}
