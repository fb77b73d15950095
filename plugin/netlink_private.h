/* SPDX-License-Identifier: MIT */
/* What the files of netlink share; no other file includes it. */
#ifndef PB_NETLINK_PRIVATE_H
#define PB_NETLINK_PRIVATE_H

#include <errno.h>
#include <libmnl/libmnl.h>
#include <string.h>

#include "array.h"
#include "netlink.h"

#define REQUEST_BUFFER_SIZE 256

/*
 * Sends a request on a new socket and passes each message of the reply to `callback`: to the end of
 * a dump (flags: NLM_F_DUMP), else until that returns MNL_CB_STOP. 0 or a negative errno.
 */
int netlink_request(int family, struct nlmsghdr *request, unsigned flags, mnl_cb_t callback,
                    void *context);

static inline int dump(int family, struct nlmsghdr *request, mnl_cb_t callback, void *context) {
    return netlink_request(family, request, NLM_F_DUMP, callback, context);
}

/* The elements that a callback has parsed. */
struct list {
    void *elements;
    unsigned number, capacity;
};

/* Appends a copy. Returns MNL_CB_OK, or MNL_CB_ERROR and sets errno. */
static inline int append(struct list *list, const void *element, size_t size) {
    void *elements = array_grow(list->elements, list->number, &list->capacity, size);

    if (!elements) {
        errno = ENOMEM;
        return MNL_CB_ERROR;
    }
    list->elements = elements;
    memcpy((char *)elements + list->number++ * size, element, size);
    return MNL_CB_OK;
}

#endif
