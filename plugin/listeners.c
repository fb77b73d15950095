/* SPDX-License-Identifier: MIT */
#include "listeners.h"

#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "tc_portbytes.h"

static int compare(const void *a, const void *b) {
    const struct netlink_listener *left = a, *right = b;
    unsigned l = left->key * 2 + left->loopback, r = right->key * 2 + right->loopback;

    return l < r ? -1 : l > r;
}

static const struct netlink_listener *find(const struct listeners *listeners, __u32 key,
                                           bool loopback) {
    const struct netlink_listener sought = {.key = key, .loopback = loopback};

    return listeners->number
               ? bsearch(&sought, listeners->found, listeners->number, sizeof(sought), compare)
               : NULL;
}

void listeners_update(struct listeners *listeners, __u64 now) {
    struct netlink_listener *found;
    unsigned number;
    int error = netlink_listeners(&found, &number);

    if (error) {
        if (log_limit_pass(&listeners->failure, now))
            pb_log(LOG_WARNING, "cannot list the listening sockets: %s.", strerror(-error));
        return;
    }
    log_limit_reset(&listeners->failure);
    if (number)
        qsort(found, number, sizeof(*found), compare);
    /* An unconnected UDP socket may be a client's that lives for one query. */
    for (unsigned i = 0; i < number; i++)
        found[i].confirmed =
            found[i].key / PB_PORTS != PB_UDP || find(listeners, found[i].key, found[i].loopback);
    free(listeners->found);
    listeners->found = found;
    listeners->number = number;
}

void listeners_free(struct listeners *listeners) {
    free(listeners->found);
    *listeners = (struct listeners){0};
}

void listeners_for_each(const struct listeners *listeners, bool loopback,
                        void (*each)(void *context, __u32 key), void *context) {
    for (unsigned i = 0; i < listeners->number; i++) {
        const struct netlink_listener *listener = &listeners->found[i];

        if (listener->confirmed && (loopback || !listener->loopback))
            each(context, listener->key);
    }
}

static bool is_confirmed(const struct netlink_listener *listener) {
    return listener && listener->confirmed;
}

bool listeners_has(const struct listeners *listeners, bool loopback, __u32 key) {
    return is_confirmed(find(listeners, key, false)) ||
           (loopback && is_confirmed(find(listeners, key, true)));
}
