/* SPDX-License-Identifier: MIT */
/*
 * What the kernel answers over netlink: libmnl's sockets are replaced by the input. Its
 * first byte says what is asked, its second in pieces of what size it comes, the rest is a
 * dump as the kernel sends it. Nothing behind the end of a piece is read.
 */
#include "fuzz.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netlink.h>
#include <time.h>

#include "netlink.h"
#include "tc_portbytes.h"

/* <sanitizer/asan_interface.h>, which not every compiler of the lint has. */
void __asan_poison_memory_region(const volatile void *address, size_t size);
void __asan_unpoison_memory_region(const volatile void *address, size_t size);

struct mnl_socket {
    bool events;
};

static struct input answer;
static size_t piece;
static unsigned requests;
static struct {
    void *buffer;
    size_t size;
} poisoned;

static void unpoison(void) {
    if (poisoned.buffer)
        __asan_unpoison_memory_region(poisoned.buffer, poisoned.size);
    poisoned.buffer = NULL;
}

struct mnl_socket *mnl_socket_open2(int bus, int flags) {
    (void)bus, (void)flags;
    return calloc(1, sizeof(struct mnl_socket));
}

int mnl_socket_bind(struct mnl_socket *nl, unsigned int groups, pid_t pid) {
    (void)pid;
    nl->events = groups;
    return 0;
}

ssize_t mnl_socket_sendto(const struct mnl_socket *nl, const void *request, size_t size) {
    const struct nlmsghdr *message = request;

    (void)nl;
    must(size >= sizeof(*message) && message->nlmsg_len == size);
    must(message->nlmsg_flags == (NLM_F_REQUEST | NLM_F_DUMP));
    requests++;
    return (ssize_t)size;
}

/* libmnl 1.0.4 takes a length of 2^31 or more for a negative one, which fits anywhere. */
static size_t framed(const char *buffer, size_t length) {
    struct nlmsghdr message;

    for (size_t at = 0; at + sizeof(message) <= length; at += NLMSG_ALIGN(message.nlmsg_len)) {
        memcpy(&message, buffer + at, sizeof(message));
        if (message.nlmsg_len > 0x7fffffff)
            return at;
        if (message.nlmsg_len < sizeof(message))
            break;
    }
    return length;
}

ssize_t mnl_socket_recvfrom(const struct mnl_socket *nl, void *buffer, size_t size) {
    const struct nlmsghdr done = {.nlmsg_len = sizeof(done) + 4, .nlmsg_type = NLMSG_DONE};
    size_t length = answer.left < piece ? answer.left : piece;

    unpoison();
    if (nl->events) {
        errno = EAGAIN;
        return -1;
    }
    if (length > size)
        length = size;
    if (!length) { /* so that each dump ends */
        memset(buffer, 0, sizeof(done) + 4);
        memcpy(buffer, &done, sizeof(done));
        length = sizeof(done) + 4;
    } else {
        memcpy(buffer, answer.data, length);
        answer.data += length;
        answer.left -= length;
        length = framed(buffer, length);
    }
    if (length % 8 == 0) { /* what begins in between can't be poisoned exactly */
        poisoned.buffer = (char *)buffer + length;
        poisoned.size = size - length;
        __asan_poison_memory_region(poisoned.buffer, poisoned.size);
    }
    return (ssize_t)length;
}

unsigned int mnl_socket_get_portid(const struct mnl_socket *nl) {
    (void)nl;
    return 0;
}

int mnl_socket_get_fd(const struct mnl_socket *nl) {
    (void)nl;
    return 0;
}

int mnl_socket_close(struct mnl_socket *nl) {
    unpoison();
    free(nl);
    return 0;
}

/* A dump that is said to be interrupted is asked for again, after a pause. */
int nanosleep(const struct timespec *time, struct timespec *left) {
    (void)time, (void)left;
    return 0;
}

static void links(void) {
    struct netlink_link *found = NULL;
    struct netlink *netlink;
    unsigned number = 0;

    must(netlink_open(&netlink) == 0);
    if (netlink_links(netlink, &found, &number) == 0) {
        must(number == 0 || found);
        for (unsigned i = 0; i < number; i++)
            must(found[i].name[0] && memchr(found[i].name, 0, IFNAMSIZ));
        free(found);
    } else {
        must(!found && !number);
    }
    netlink_close(netlink);
}

static void listeners(void) {
    struct netlink_listener *found = NULL;
    unsigned number = 0;

    if (netlink_listeners(&found, &number) == 0) {
        must(number == 0 || found);
        for (unsigned i = 0; i < number; i++)
            must(found[i].key < PB_KEY(PB_SCTP, 0) && found[i].key % PB_PORTS);
        free(found);
    } else {
        must(!found && !number);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    unsigned what;
    int has;

    answer = (struct input){data, size};
    what = take(&answer);
    piece = 16 + 8 * (size_t)take(&answer);
    requests = 0;
    if (what % 3 == 0)
        links();
    else if (what % 3 == 1)
        listeners();
    else {
        has = netlink_has_filters(1);
        must(has <= 1);
    }
    must(requests >= 1 && requests <= 100);
    return 0;
}
