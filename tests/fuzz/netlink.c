/* SPDX-License-Identifier: MIT */
/*
 * The parsing of netlink dumps: the input replaces libmnl's sockets. Its first byte selects the
 * request, the second the size of a datagram, the rest is the dump as the kernel sends it. No byte
 * behind the end of a datagram is read.
 */
#include "fuzz.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <time.h>

#include "../unit/mnl_socket.h"
#include "netlink.h"
#include "tc_portbytes.h"

/* From <sanitizer/asan_interface.h>, which is missing for some compilers of tests/check/lint.sh. */
void __asan_poison_memory_region(const volatile void *address, size_t size);
void __asan_unpoison_memory_region(const volatile void *address, size_t size);

static struct input dump;
static size_t datagram;
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

ssize_t mnl_socket_sendto(const struct mnl_socket *nl, const void *request, size_t size) {
    const struct nlmsghdr *message = request;

    (void)nl;
    must(size >= sizeof(*message) && message->nlmsg_len == size);
    must(message->nlmsg_flags ==
         (NLM_F_REQUEST | (message->nlmsg_type == RTM_GETQDISC   ? NLM_F_ACK | NLM_F_ECHO
                           : message->nlmsg_type == RTM_GETROUTE ? 0
                                                                 : NLM_F_DUMP)));
    requests++;
    return (ssize_t)size;
}

/* The length without messages of 2^31 bytes or more: to libmnl 1.0.4 their length is negative and
   so within any bounds. */
static size_t without_huge_messages(const char *buffer, size_t length) {
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
    size_t length = dump.left < datagram ? dump.left : datagram;

    unpoison();
    if (nl->events) {
        errno = EAGAIN;
        return -1;
    }
    if (length > size)
        length = size;
    if (!length) { /* terminates every dump */
        memset(buffer, 0, sizeof(done) + 4);
        memcpy(buffer, &done, sizeof(done));
        length = sizeof(done) + 4;
    } else {
        memcpy(buffer, dump.data, length);
        dump.data += length;
        dump.left -= length;
        length = without_huge_messages(buffer, length);
    }
    if (length % 8 == 0) { /* the granularity of the address sanitizer */
        poisoned.buffer = (char *)buffer + length;
        poisoned.size = size - length;
        __asan_poison_memory_region(poisoned.buffer, poisoned.size);
    }
    return (ssize_t)length;
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

/* An interrupted dump (NLM_F_DUMP_INTR) is repeated after a pause. */
int nanosleep(const struct timespec *time, struct timespec *left) {
    (void)time, (void)left;
    return 0;
}

static void check_link(const struct netlink_link *link) {
    must(link->name[0] && memchr(link->name, 0, sizeof(link->name)));
    must(memchr(link->kind, 0, sizeof(link->kind)));
    must(memchr(link->master_kind, 0, sizeof(link->master_kind)));
    must(!link->card || (!link->xen_backend && !link->representor));
    must(!link->below || link->below != link->index);
    must(!link->wanted && !link->left_out && !link->attached);
    if (!link->altnames)
        return;
    must(*link->altnames);
    for (const char *name = link->altnames; *name; name += strlen(name) + 1)
        must(strlen(name) < 65536); /* the address sanitizer sees the end */
}

static void links(void) {
    struct netlink_link *found = NULL;
    struct netlink *netlink;
    unsigned number = 0;

    must(netlink_open(&netlink) == 0);
    if (netlink_links(netlink, &found, &number) == 0) {
        must(number == 0 || found);
        for (unsigned i = 0; i < number; i++)
            check_link(&found[i]);
        netlink_links_free(found, number);
    } else {
        must(!found && !number);
    }
    netlink_close(netlink);
}

static void route(void) {
    int found[3] = {0};
    int number = netlink_default_route(AF_INET, found, 2);

    must(number <= 2);
    for (int i = 0; i < 3; i++)
        must((found[i] != 0) == (i < number));
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

static void filters(void) {
    struct netlink_filter *found = NULL;
    unsigned number = 0;

    if (netlink_filters(1, false, &found, &number) == 0) {
        must(number == 0 || found);
        for (unsigned i = 0; i < number; i++)
            must(found[i].handle && memchr(found[i].name, 0, sizeof(found[i].name)));
        free(found);
    } else {
        must(!found && !number);
    }
}

static void qdisc(void) {
    char kind[IFNAMSIZ];

    memset(kind, 'x', sizeof(kind));
    if (netlink_ingress_qdisc(1, kind) == 0)
        must(memchr(kind, 0, sizeof(kind)));
    else
        must(kind[0] == 'x');
}

/* What an answer must have for it to be one is for test_netlink_sockets.c. */
static void sockets(void) {
    netlink_has_member(NETLINK_FIB_LOOKUP, 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    unsigned request;

    dump = (struct input){data, size};
    request = take(&dump);
    datagram = 16 + 8 * (size_t)take(&dump);
    requests = 0;
    switch (request % 7) {
    case 0:
    case 3:
        links();
        break;
    case 1:
        listeners();
        break;
    case 4:
        route();
        break;
    case 2:
        qdisc();
        break;
    case 5:
        filters();
        break;
    case 6:
        sockets();
        break;
    }
    must(requests >= 1 && requests <= 100);
    return 0;
}
