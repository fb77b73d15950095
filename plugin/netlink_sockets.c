/* SPDX-License-Identifier: MIT */
/* The part of netlink.h about the netlink sockets of processes. */
#include "netlink_private.h"

#include <linux/netlink_diag.h>
#include <linux/sock_diag.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- by sock_diag ---- */

/* The context of parse_member. */
struct search {
    __u32 groups;
    bool found;
};

/*
 * NETLINK_DIAG_GROUPS is an array of the kernel's unsigned long, of which the first has groups 1
 * to 32: sk_diag_dump_groups() in net/netlink/diag.c.
 */
static __u32 parse_groups(const struct nlattr *attribute) {
    __u64 longs = 0;
    __u32 words = 0;

    if (mnl_attr_get_payload_len(attribute) >= sizeof(longs)) {
        memcpy(&longs, mnl_attr_get_payload(attribute), sizeof(longs));
        return (__u32)longs;
    }
    if (mnl_attr_get_payload_len(attribute) >= sizeof(words))
        memcpy(&words, mnl_attr_get_payload(attribute), sizeof(words));
    return words;
}

static int parse_member(const struct nlmsghdr *message, void *context) {
    const struct nlattr *attribute;
    struct search *search = context;

    if (mnl_nlmsg_get_payload_len(message) < sizeof(struct netlink_diag_msg))
        return MNL_CB_OK;
    mnl_attr_for_each(attribute, message, sizeof(struct netlink_diag_msg)) {
        if (mnl_attr_get_type(attribute) == NETLINK_DIAG_GROUPS &&
            parse_groups(attribute) == search->groups)
            search->found = true;
    }
    return search->found ? MNL_CB_STOP : MNL_CB_OK;
}

/* Negative errno; -ENOENT: the kernel has no netlink_diag. */
static int dump_members(int protocol, struct search *search) {
    char buffer[REQUEST_BUFFER_SIZE];
    struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
    struct netlink_diag_req *diag = mnl_nlmsg_put_extra_header(request, sizeof(*diag));

    request->nlmsg_type = SOCK_DIAG_BY_FAMILY;
    diag->sdiag_family = AF_NETLINK;
    diag->sdiag_protocol = protocol;
    diag->ndiag_show = NDIAG_SHOW_GROUPS;
    return dump(NETLINK_SOCK_DIAG, request, parse_member, search);
}

/*
 * Between two messages of a dump the kernel remembers a socket in a bucket of its hash table. If
 * that is closed meanwhile, the rest of the bucket may be left out (rhashtable_walk_start_check()
 * in lib/rhashtable.c): hence a second look. In which bucket a socket is nobody can know.
 */
static int search_diag(int protocol, struct search *search) {
    int error = dump_members(protocol, search);

    return error || search->found ? error : dump_members(protocol, search);
}

/* ---- by /proc ---- */

/* Not /proc/net, which is the main thread's, and is missing with the mount option subset=pid. */
#define SOCKETS_FILE "/proc/thread-self/net/netlink"

/* 12,000 sockets. The kernel counts from the first one anew for each page of it. */
#define SOCKETS_SIZE_MAX (1u << 20)

/* As many changes of other processes are waited out. */
#define READS_MAX 16

/* The whole file, terminated; the caller's to free. NULL: it can't be read, or is too long. */
static char *read_sockets(void) {
    FILE *file = fopen(SOCKETS_FILE, "re");
    char *text = file ? malloc(SOCKETS_SIZE_MAX) : NULL;
    bool whole = false;

    if (text) {
        size_t length = fread(text, 1, SOCKETS_SIZE_MAX - 1, file);

        text[length] = '\0';
        whole = feof(file) && !ferror(file);
    }
    if (file)
        fclose(file);
    if (whole)
        return text;
    free(text);
    return NULL;
}

/* "sk Eth Pid Groups ...", netlink_native_seq_show() in net/netlink/af_netlink.c; Eth: protocol. */
static bool is_listed(const char *text, unsigned protocol, __u32 groups) {
    for (const char *line = text; line; line = strchr(line, '\n')) {
        unsigned this_protocol, this_groups;

        line += *line == '\n';
        if (sscanf(line, "%*s %u %*u %x", &this_protocol, &this_groups) == 2 &&
            this_protocol == protocol && this_groups == groups)
            return true;
    }
    return false;
}

/*
 * A read returns a page. For the next one the kernel leaves out as many sockets as it has shown,
 * and if one of those was closed meanwhile, it leaves out one that it hasn't shown. So only what
 * two reads say alike is so.
 */
static bool search_proc(unsigned protocol, __u32 groups) {
    char *before = NULL;
    bool found = true;

    for (unsigned n = 0; n < READS_MAX; n++) {
        char *text = read_sockets();

        if (!text || is_listed(text, protocol, groups)) {
            free(text);
            break;
        }
        found = !before || strcmp(before, text) != 0;
        free(before);
        before = text;
        if (!found)
            break;
    }
    free(before);
    return found;
}

bool netlink_has_member(int protocol, __u32 groups) {
    struct search search = {.groups = groups};
    int error = search_diag(protocol, &search);

    return error ? search_proc(protocol, groups) : search.found;
}
