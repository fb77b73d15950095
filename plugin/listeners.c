/* SPDX-License-Identifier: MIT */
#include "listeners.h"

#include <stdlib.h>
#include <string.h>

#include "log.h"

static unsigned rank_of(const struct netlink_listener *listener) {
    return listener->key * 2 + listener->loopback;
}

static int compare(const void *a, const void *b) {
    unsigned left = rank_of(a), right = rank_of(b);

    return left < right ? -1 : left > right;
}

static bool was_found(const struct listeners *listeners, const struct netlink_listener *listener) {
    return listeners->number && bsearch(listener, listeners->found, listeners->number,
                                        sizeof(*listener), compare) != NULL;
}

/* Sorts them and leaves one of those that are alike; returns how many are left. */
static unsigned sort(struct netlink_listener *found, unsigned number) {
    unsigned left = 0;

    if (number)
        qsort(found, number, sizeof(*found), compare);
    for (unsigned i = 0; i < number; i++) {
        if (left && compare(&found[left - 1], &found[i]) == 0)
            found[left - 1].kernel |= found[i].kernel;
        else
            found[left++] = found[i];
    }
    return left;
}

static bool is_server(const struct listeners *before, const struct netlink_listener *listener,
                      const struct port_set *clients) {
    if (listener->key / PB_PORTS != PB_UDP || listener->kernel)
        return true;
    return !port_set_has(clients, listener->key % PB_PORTS) && was_found(before, listener);
}

void listeners_update(struct listeners *listeners, const struct port_set *clients, __u64 now) {
    struct listeners next = {0};
    int error = netlink_listeners(&next.found, &next.number);

    if (error) {
        if (log_limit_pass(&listeners->failure, now))
            pb_log(LOG_WARNING, "cannot list the listening sockets: %s.", strerror(-error));
        return;
    }
    next.number = sort(next.found, next.number);
    for (unsigned i = 0; i < next.number; i++) {
        const struct netlink_listener *listener = &next.found[i];

        if (!is_server(listeners, listener, clients))
            continue;
        key_set_add(&next.reachable[true], listener->key);
        if (!listener->loopback)
            key_set_add(&next.reachable[false], listener->key);
    }
    listeners_free(listeners);
    *listeners = next;
}

void listeners_free(struct listeners *listeners) {
    free(listeners->found);
    *listeners = (struct listeners){0};
}

bool listeners_has(const struct listeners *listeners, bool loopback, __u32 key) {
    return key_set_has(&listeners->reachable[loopback], key);
}

void listeners_for_each(const struct listeners *listeners, bool loopback,
                        void (*each)(void *context, __u32 key), void *context) {
    for (__u32 i = 0; i < PB_PORT_KEYS / PORT_SET_BITS; i++)
        for (__u64 word = listeners->reachable[loopback].word[i]; word; word &= word - 1)
            each(context, i * PORT_SET_BITS + (__u32)__builtin_ctzll(word));
}
