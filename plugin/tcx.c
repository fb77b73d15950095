/* SPDX-License-Identifier: MIT */
#include "tcx.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "alive.h"
#include "cleanup.h"
#include "descriptors.h"
#include "pins.h"

/*
 * include/uapi/linux/bpf.h of Linux 6.6: Debian 12's headers don't have these, but its libbpf
 * passes them through.
 */
#define ATTACH_TCX_INGRESS ((enum bpf_attach_type)46) /* BPF_TCX_INGRESS */
#define ATTACH_TCX_EGRESS  ((enum bpf_attach_type)47) /* BPF_TCX_EGRESS */
#define FLAG_BEFORE        (1u << 3)                  /* BPF_F_BEFORE, alone: before all others */
#define LINK_TYPE_TCX      11                         /* BPF_LINK_TYPE_TCX */

/* Far more than sane hosts attach; the kernel fills in as many as fit. */
#define PROGRAMS_MAX 64

static enum bpf_attach_type type_of(const struct attachment *attachment) {
    return attachment->direction == INGRESS ? ATTACH_TCX_INGRESS : ATTACH_TCX_EGRESS;
}

bool tcx_is_supported(int interface) {
    __u32 number = 0;

    /* An unknown attach type is -EINVAL, and nothing else in this query is. */
    return bpf_prog_query(interface, ATTACH_TCX_INGRESS, 0, NULL, NULL, &number) != -EINVAL;
}

/*
 * After attaching or detaching, which waits for an RCU grace period under the kernel's rtnl lock
 * (16 ms). One directly after another keeps others from it: measured, their changes of a link took
 * 38 to 446 ms at most, and 20 to 38 with a pause, which costs nothing, since the next grace period
 * begins no sooner.
 */
static void pause_after_rtnl(void) {
    nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
}

/*
 * The programs of one direction in the order in which they run. Negative errno, -ENODEV among
 * them; -ENOSPC: there are more than PROGRAMS_MAX, and ids[] has the first of them.
 */
static int query(int interface, const struct attachment *attachment, __u32 ids[PROGRAMS_MAX],
                 __u32 *number) {
    int error;

    *number = PROGRAMS_MAX;
    error = bpf_prog_query(interface, type_of(attachment), 0, NULL, ids, number);
    if (error == -ENOSPC)
        *number = PROGRAMS_MAX;
    return error;
}

/*
 * Whether a link is still attached to the interface. By the link alone that can't be seen: its
 * device may have been moved to another network namespace, where it keeps the link, and often the
 * index. When in doubt, no.
 */
static bool is_attached(int link, int interface, const struct attachment *attachment) {
    __u32 ids[PROGRAMS_MAX], number;
    struct bpf_link_info info = {0};
    __u32 length = sizeof(info);
    int error;

    /* info.tcx.ifindex has the place of info.xdp.ifindex; it is 0 once the interface has gone. */
    if (bpf_obj_get_info_by_fd(link, &info, &length) || info.type != LINK_TYPE_TCX ||
        info.xdp.ifindex != (__u32)interface)
        return false;
    error = query(interface, attachment, ids, &number);
    if (error && error != -ENOSPC)
        return false;
    for (__u32 i = 0; i < number; i++)
        if (ids[i] == info.prog_id)
            return true;
    return false;
}

/*
 * Gives the link that another process pinned our program, without a gap. -ENOENT: none is there,
 * or it was of no use and is removed.
 */
static int take_over(const struct attach *attach, struct attachment *attachment) {
    const char *name = direction_names[attachment->direction];
    int link = pins_get(attach->pins, attach->interface, name);

    if (link < 0)
        return link;
    /* Before the update: with our program another device would be counted as this one. */
    if (!is_attached(link, attach->interface, attachment) ||
        bpf_link_update(link, attachment->program->fd, NULL)) {
        /* In this order: a link without a pin is detached before close returns. */
        pins_remove(attach->pins, attach->interface, name);
        close(link);
        return -ENOENT;
    }
    link = descriptor_keep(link);
    if (link < 0)
        return link;
    attachment->link = link;
    return 0;
}

static int tcx_attach(struct attach *attach, struct attachment *attachment) {
    LIBBPF_OPTS(bpf_link_create_opts, options, .flags = FLAG_BEFORE);
    int error, link;

    alive_begin(attachment->program); /* without it others only give a warning about us */
    error = attach->pins ? take_over(attach, attachment) : -ENOENT;
    if (error != -ENOENT)
        return error;
    link = descriptor_keep(
        bpf_link_create(attachment->program->fd, attach->interface, type_of(attachment), &options));
    if (link < 0)
        return link;
    error = attach->pins ? pins_put(attach->pins, attach->interface,
                                    direction_names[attachment->direction], link)
                         : 0;
    if (error)
        descriptor_close(link);
    else
        attachment->link = link;
    pause_after_rtnl();
    return error;
}

/* By its name, which needs CAP_SYS_ADMIN; without it the answer is no. */
static bool has_our_name(__u32 id) {
    CLEANUP_CLOSE int program = bpf_prog_get_fd_by_id(id);
    struct bpf_prog_info info = {0};
    __u32 length = sizeof(info);

    return program >= 0 && bpf_obj_get_info_by_fd(program, &info, &length) == 0 &&
           (!strcmp(info.name, "tc_portbytes_in") || !strcmp(info.name, "tc_portbytes_eg"));
}

/*
 * Whether the program is a classifier of this plugin, of whichever daemon. What one left pinned
 * when it ended, and what version 0.1.0 attaches, is known by its name only.
 */
static bool is_classifier(__u32 id) {
    return has_our_name(id) || alive_is(id);
}

/*
 * Remembers the answer, which doesn't change: every read asks, and the more sockets there are, of
 * whichever user, the longer alive_is() takes.
 */
static bool judge(struct attachment *attachment, __u32 id) {
    if (attachment->judged != id) {
        attachment->judged_ours = is_classifier(id);
        attachment->judged = id;
    }
    return attachment->judged_ours;
}

static int tcx_check(struct attach *attach, struct attachment *attachment, bool *preempted) {
    __u32 ids[PROGRAMS_MAX], number;
    int error = query(attach->interface, attachment, ids, &number);
    bool others = false;

    if (error && error != -ENOSPC)
        return error;
    for (__u32 i = 0; i < number; i++) {
        if (ids[i] == attachment->program->id) {
            *preempted = others;
            return 0;
        }
        others = others || !judge(attachment, ids[i]);
    }
    return error ? 0 : -ENOENT; /* list truncated: assume still attached */
}

static void tcx_disown(struct attachment *attachment) {
    descriptor_close(take_fd(&attachment->link));
}

static void tcx_detach(struct attach *attach, struct attachment *attachment) {
    if (attach->pins)
        pins_remove(attach->pins, attach->interface, direction_names[attachment->direction]);
    if (attachment->link < 0)
        return;
    tcx_disown(attachment);
    pause_after_rtnl();
}

const struct attach_ops tcx_ops = {
    .name = "tcx",
    .attach = tcx_attach,
    .check = tcx_check,
    .detach = tcx_detach,
    .disown = tcx_disown,
};
