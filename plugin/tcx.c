/* SPDX-License-Identifier: MIT */
#include "tcx.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
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

/* Gives the link that another process pinned our program, without a gap. -ENOENT: none there. */
static int take_over(const struct attach *attach, struct attachment *attachment) {
    const char *name = direction_names[attachment->direction];
    CLEANUP_CLOSE int link = pins_get(attach->pins, attach->interface, name);
    struct bpf_link_info info = {0};
    __u32 length = sizeof(info);

    if (link < 0)
        return -ENOENT;
    /* info.tcx.ifindex has the place of info.xdp.ifindex; it is 0 once the interface has gone. */
    if (bpf_obj_get_info_by_fd(link, &info, &length) || info.type != LINK_TYPE_TCX ||
        info.xdp.ifindex != (__u32)attach->interface ||
        bpf_link_update(link, attachment->program, NULL)) {
        pins_remove(attach->pins, attach->interface, name);
        return -ENOENT;
    }
    attachment->link = take_fd(&link);
    return 0;
}

static int tcx_attach(struct attach *attach, struct attachment *attachment) {
    LIBBPF_OPTS(bpf_link_create_opts, options, .flags = FLAG_BEFORE);
    CLEANUP_CLOSE int link = -1;
    int error = 0;

    if (attach->pins && take_over(attach, attachment) == 0)
        return 0;
    link = bpf_link_create(attachment->program, attach->interface, type_of(attachment), &options);
    if (link < 0)
        return link;
    if (attach->pins)
        error =
            pins_put(attach->pins, attach->interface, direction_names[attachment->direction], link);
    if (!error)
        attachment->link = take_fd(&link);
    return error;
}

/* Whether the program is a classifier of this plugin, of whichever daemon. */
static bool is_classifier(__u32 id) {
    /* Needs CAP_SYS_ADMIN; without it the answer is no. */
    CLEANUP_CLOSE int program = bpf_prog_get_fd_by_id(id);
    struct bpf_prog_info info = {0};
    __u32 length = sizeof(info);

    return program >= 0 && bpf_obj_get_info_by_fd(program, &info, &length) == 0 &&
           (!strcmp(info.name, "tc_portbytes_in") || !strcmp(info.name, "tc_portbytes_eg"));
}

static int tcx_check(struct attach *attach, const struct attachment *attachment, bool *preempted) {
    __u32 ids[PROGRAMS_MAX], number = PROGRAMS_MAX;
    int error = bpf_prog_query(attach->interface, type_of(attachment), 0, NULL, ids, &number);
    bool others = false;

    if (error && error != -ENOSPC)
        return error;
    for (__u32 i = 0; i < number && i < PROGRAMS_MAX; i++) {
        if (ids[i] == attachment->program_id) {
            *preempted = others;
            return 0;
        }
        others = others || !is_classifier(ids[i]);
    }
    return error ? 0 : -ENOENT; /* list truncated: assume still attached */
}

static void tcx_disown(struct attachment *attachment) {
    if (attachment->link >= 0)
        close(take_fd(&attachment->link));
}

static void tcx_detach(struct attach *attach, struct attachment *attachment) {
    if (attach->pins)
        pins_remove(attach->pins, attach->interface, direction_names[attachment->direction]);
    tcx_disown(attachment);
}

const struct attach_ops tcx_ops = {
    .name = "tcx",
    .attach = tcx_attach,
    .check = tcx_check,
    .detach = tcx_detach,
    .disown = tcx_disown,
};
