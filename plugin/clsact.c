/* SPDX-License-Identifier: MIT */
#include "clsact.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "alive.h"
#include "log.h"
#include "netlink.h"

/*
 * The first priority there is, and handles that others will not pick by chance, two for each
 * daemon that counts here. An odd one says that the qdisc was created by one of us: nobody could
 * tell that any more once its creator was killed.
 */
#define FILTER_PRIORITY 1
#define FILTER_HANDLE   0x70627970 /* "pbyp" */
#define DAEMONS_MAX     64

static struct bpf_tc_hook hook_of(int interface, enum direction direction) {
    return (struct bpf_tc_hook){
        .sz = sizeof(struct bpf_tc_hook),
        .ifindex = interface,
        .attach_point = direction == INGRESS ? BPF_TC_INGRESS : BPF_TC_EGRESS,
    };
}

/* ---- what daemons left ---- */

/* libbpf names a filter after its program. Unlike the program itself, anybody may read that. */
static bool is_ours(const struct netlink_filter *filter) {
    return filter->program && (!strncmp(filter->name, "tc_portbytes_in:", 16) ||
                               !strncmp(filter->name, "tc_portbytes_eg:", 16));
}

/*
 * Removes the filters of killed daemons in one direction, and those of `program`, which are left
 * over if a detach failed; 0: of none. With `inherited` the first of them is kept and described
 * there; a program of 0 if there was none. *created becomes true if a daemon of ours, dead or
 * alive, created the qdisc. Negative errno: what is there is not known.
 */
static int remove_stale(int interface, enum direction direction, __u32 program,
                        struct netlink_filter *inherited, bool *created) {
    struct bpf_tc_hook hook = hook_of(interface, direction);
    struct netlink_filter *filters;
    unsigned number;
    int error = netlink_filters(interface, direction == EGRESS, &filters, &number);

    if (error)
        return error;
    for (unsigned i = 0; i < number; i++) {
        LIBBPF_OPTS(bpf_tc_opts, options, .handle = filters[i].handle,
                    .priority = filters[i].priority);

        if (!is_ours(&filters[i]))
            continue;
        *created |= filters[i].handle & 1;
        if (filters[i].program != program && alive_is(filters[i].program))
            continue;
        if (inherited && !inherited->program)
            *inherited = filters[i];
        else
            bpf_tc_detach(&hook, &options);
    }
    free(filters);
    return 0;
}

/* ---- attaching ---- */

/* In place of a killed daemon's filter, without a gap: it may still be counting. */
static int replace(const struct bpf_tc_hook *hook, const struct netlink_filter *inherited,
                   struct bpf_tc_opts *options) {
    options->handle = inherited->handle;
    options->priority = inherited->priority;
    options->flags = BPF_TC_F_REPLACE;
    return bpf_tc_attach(hook, options);
}

/* At the first priority, under the first handle that no other daemon has. */
static int add_first(const struct bpf_tc_hook *hook, bool created_qdisc,
                     struct bpf_tc_opts *options) {
    int error = -EEXIST;

    for (__u32 n = 0; n < DAEMONS_MAX && error == -EEXIST; n++) {
        options->handle = FILTER_HANDLE + 2 * n + created_qdisc;
        error = bpf_tc_attach(hook, options);
    }
    return error;
}

static int clsact_attach(struct attach *attach, struct attachment *attachment) {
    LIBBPF_OPTS(bpf_tc_opts, options, .prog_fd = attachment->program->fd,
                .priority = FILTER_PRIORITY);
    LIBBPF_OPTS(bpf_tc_opts, behind, .prog_fd = attachment->program->fd);
    struct bpf_tc_hook hook = hook_of(attach->interface, attachment->direction);
    struct netlink_filter inherited = {0};
    int error = alive_begin(attachment->program);

    if (error)
        return error;
    error = bpf_tc_hook_create(&hook);
    if (error && error != -EEXIST)
        return error;
    attach->created_qdisc |= !error;
    /* Beside one that is left over, our filter would count every packet again. */
    error = remove_stale(attach->interface, attachment->direction, attachment->program->id,
                         &inherited, &attach->created_qdisc);
    if (error)
        return error;

    error = inherited.program ? replace(&hook, &inherited, &options)
                              : add_first(&hook, attach->created_qdisc, &options);
    if (error == -EINVAL && !inherited.program) {
        /* A filter of another kind has the first priority. The kernel picks one behind it. */
        behind.handle = FILTER_HANDLE + attach->created_qdisc;
        error = bpf_tc_attach(&hook, &behind);
        options.handle = behind.handle;
        options.priority = behind.priority;
        attachment->preempted = !error;
        if (!error)
            pb_log(LOG_WARNING,
                   "%s: a filter of another kind has the first priority on %s; packets it "
                   "consumes are not counted.",
                   attach->name, direction_names[attachment->direction]);
    }
    if (error)
        return error;
    attachment->handle = options.handle;
    attachment->priority = options.priority;
    return 0;
}

/* Whether the filter under our handle is ours. -ENOENT: it isn't, or there is none. */
static int check_filter(const struct attach *attach, const struct attachment *attachment) {
    LIBBPF_OPTS(bpf_tc_opts, options, .handle = attachment->handle,
                .priority = attachment->priority);
    struct bpf_tc_hook hook = hook_of(attach->interface, attachment->direction);
    int error = bpf_tc_query(&hook, &options);

    if (error)
        return error == -EINVAL ? -ENOENT : error; /* -EINVAL: the parent qdisc is not there */
    return options.prog_id == attachment->program->id ? 0 : -ENOENT;
}

/* A daemon that began at the same moment may have created the qdisc: that is seen here, too. */
static int clsact_check(struct attach *attach, const struct attachment *attachment,
                        bool *preempted) {
    struct netlink_filter *filters;
    bool others = false, found = false;
    unsigned number;
    int error =
        netlink_filters(attach->interface, attachment->direction == EGRESS, &filters, &number);

    if (error)
        return error;
    for (unsigned i = 0; i < number; i++) {
        if (filters[i].handle == attachment->handle &&
            filters[i].priority == attachment->priority &&
            filters[i].program == attachment->program->id) {
            *preempted = others;
            found = true;
        }
        if (is_ours(&filters[i]))
            attach->created_qdisc |= filters[i].handle & 1;
        else
            others = true;
    }
    free(filters);
    /* The list is empty as well if there is no such interface. */
    return found ? 0 : check_filter(attach, attachment);
}

/* ---- detaching ---- */

/* With both directions named, this deletes the qdisc; with one, all filters there. */
static void delete_qdisc(int interface) {
    struct bpf_tc_hook hook = hook_of(interface, INGRESS);

    hook.attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS;
    bpf_tc_hook_destroy(&hook);
}

static void clsact_detach(struct attach *attach, struct attachment *attachment) {
    struct bpf_tc_hook hook = hook_of(attach->interface, attachment->direction);
    LIBBPF_OPTS(bpf_tc_opts, options, .handle = attachment->handle,
                .priority = attachment->priority);

    if (!attachment->program)
        remove_stale(attach->interface, attachment->direction, 0, NULL, &(bool){false});
    else if (attachment->attached && check_filter(attach, attachment) == 0)
        bpf_tc_detach(&hook, &options);
}

static void clsact_detached(struct attach *attach) {
    if (attach->created_qdisc && netlink_has_filters(attach->interface) == 0)
        delete_qdisc(attach->interface);
    attach->created_qdisc = false;
}

void clsact_remove_stale(int interface) {
    bool created = false;

    for (int direction = 0; direction < DIRECTIONS; direction++)
        remove_stale(interface, direction, 0, NULL, &created);
    if (created && netlink_has_filters(interface) == 0)
        delete_qdisc(interface);
}

const struct attach_ops clsact_ops = {
    .name = "clsact",
    .attach = clsact_attach,
    .check = clsact_check,
    .detach = clsact_detach,
    .detached = clsact_detached,
};
