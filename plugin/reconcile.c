/* SPDX-License-Identifier: MIT */
#include "reconcile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "attacher.h"
#include "clock.h"
#include "log.h"
#include "pins.h"

/* An array with room for a pointer to each instance. NULL: no memory. */
static void *room_for_all(struct attacher *attacher) {
    unsigned number;

    pthread_mutex_lock(attacher->lock);
    number = interfaces_number(attacher->interfaces);
    pthread_mutex_unlock(attacher->lock);
    return calloc(number + 1, sizeof(void *));
}

/* Stops counting on interfaces that were removed or aren't wanted, and follows new names. */
static int follow(struct attacher *attacher, const struct links *links) {
    struct attach **detached = room_for_all(attacher);
    struct instance **ended = room_for_all(attacher);
    int error = detached && ended ? 0 : -ENOMEM;
    unsigned number;

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

int reconcile_list(struct attacher *attacher, struct links *links) {
    int error = netlink_links(attacher->netlink, &links->link, &links->number);

    if (error)
        report_failure(attacher, error);
    else
        links_sort(links);
    return error;
}

/* The links that are to be attached, in an array that the caller frees. */
static int list_pending(struct attacher *attacher, const struct links *links,
                        const struct netlink_link ***out, unsigned *number, bool *later) {
    const struct netlink_link **pending = calloc(links->number + 1, sizeof(void *));
    int error = -ENOMEM;

    if (pending) {
        pthread_mutex_lock(attacher->lock);
        error = interfaces_pending(attacher->interfaces, links, pending, number, later);
        pthread_mutex_unlock(attacher->lock);
    }
    if (error)
        free(pending);
    else
        *out = pending;
    return error;
}

static int attach_pending(struct attacher *attacher, const struct netlink_link *const *pending,
                          unsigned number, struct progress *progress) {
    int error = 0;

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
    unsigned number;
    int error = reconcile_list(attacher, &links);

    if (error)
        return error;
    error = follow(attacher, &links);
    if (!error)
        error = list_pending(attacher, &links, &pending, &number, &progress->later);
    if (error) {
        report_failure(attacher, error);
    } else {
        log_limit_reset(&attacher->list_failure);
        error = attach_pending(attacher, pending, number, progress);
        free(pending);
    }
    free(links.link);
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
        const struct netlink_link *link = links_find(links, indices[n]);

        if (link && policy_wants(attacher->settings, link))
            pinned[wanted++] = link;
    }
    free(indices);
    if (!pinned) {
        pb_log(LOG_ERR, "cannot start: out of memory.");
        return -ENOMEM;
    }
    if (wanted && !classifier_resumed(attacher->interfaces->env.classifier))
        pb_log(LOG_NOTICE,
               "pinned maps were made with other settings or by another version; counters restart "
               "from zero.");
    attacher_resume(attacher, pinned, wanted);
    free(pinned);
    return 0;
}
