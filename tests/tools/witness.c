/* SPDX-License-Identifier: MIT */
/*
 * Attaches a second classifier and stays until SIGTERM:
 *
 *     witness INTERFACE ingress|egress KIND VERDICT FILE
 *
 * KIND is
 *   tcx                      behind all others
 *   tcx-first                before all others
 *   clsact                   priority 100, a handle of its own
 *   clsact:PRIORITY:HANDLE   there, in the place of what is there
 *   xdp                      generic; ingress only
 *
 * FILE holds "attached" once it is; on SIGTERM "packets N attached yes|no" (still
 * there or not), then it detaches.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "witness.skel.h"

/* enum bpf_attach_type and BPF_F_BEFORE of Linux 6.6 */
#define ATTACH_TCX_INGRESS 46
#define FLAG_BEFORE        (1u << 3)

static int tell(const char *file, const char *format, unsigned long long number, const char *word) {
    FILE *out = fopen(file, "w");

    if (!out)
        return 1;
    fprintf(out, format, number, word);
    return fclose(out);
}

static struct witness_bpf *load(int verdict, bool xdp, int *program) {
    struct witness_bpf *object = witness_bpf__open();

    if (!object)
        return NULL;
    object->rodata->verdict = verdict;
    bpf_program__set_autoload(object->progs.witness, !xdp);
    bpf_program__set_autoload(object->progs.witness_xdp, xdp);
    if (witness_bpf__load(object))
        return NULL;
    *program = bpf_program__fd(xdp ? object->progs.witness_xdp : object->progs.witness);
    return object;
}

int main(int argc, char **argv) {
    struct witness_bpf *object;
    LIBBPF_OPTS(bpf_tc_opts, filter, .handle = 77, .priority = 100);
    LIBBPF_OPTS(bpf_link_create_opts, place);
    LIBBPF_OPTS(bpf_tc_hook, hook);
    struct bpf_prog_info info = {0};
    __u32 length = sizeof(info), ids[64], number = 64, id;
    int program, type, error, link = -1, still = 0, signal_number;
    sigset_t signals;
    const char *kind;
    bool xdp;

    if (argc < 6)
        return 2;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);

    hook.ifindex = if_nametoindex(argv[1]);
    hook.attach_point = strcmp(argv[2], "egress") ? BPF_TC_INGRESS : BPF_TC_EGRESS;
    type = ATTACH_TCX_INGRESS + (hook.attach_point == BPF_TC_EGRESS);
    kind = argv[3];
    xdp = !strcmp(kind, "xdp");
    object = load(atoi(argv[4]), xdp, &program);
    if (!object || bpf_obj_get_info_by_fd(program, &info, &length))
        return 1;
    if (xdp) {
        error = bpf_xdp_attach(hook.ifindex, program, XDP_FLAGS_SKB_MODE, NULL);
    } else if (!strncmp(kind, "tcx", 3)) {
        place.flags = strcmp(kind, "tcx-first") ? 0 : FLAG_BEFORE;
        link = bpf_link_create(program, hook.ifindex, type, &place);
        error = link < 0 ? link : 0;
    } else {
        error = bpf_tc_hook_create(&hook);
        filter.prog_fd = program;
        if (sscanf(kind, "clsact:%u:%i", &filter.priority, (int *)&filter.handle) == 2)
            filter.flags = BPF_TC_F_REPLACE;
        if (!error || error == -EEXIST)
            error = bpf_tc_attach(&hook, &filter);
    }
    if (error) {
        fprintf(stderr, "witness: %s\n", strerror(-error));
        return 1;
    }
    tell(argv[5], "attached%.0llu%s\n", 0, "");

    sigwait(&signals, &signal_number);

    if (xdp) {
        still = bpf_xdp_query_id(hook.ifindex, XDP_FLAGS_SKB_MODE, &id) == 0 && id == info.id;
        bpf_xdp_detach(hook.ifindex, XDP_FLAGS_SKB_MODE, NULL);
    } else if (link >= 0) {
        if (!bpf_prog_query(hook.ifindex, type, 0, NULL, ids, &number))
            for (__u32 i = 0; i < number; i++)
                still |= ids[i] == info.id;
        close(link);
    } else {
        filter.prog_fd = 0;
        filter.prog_id = 0;
        filter.flags = 0;
        still = bpf_tc_query(&hook, &filter) == 0 && filter.prog_id == info.id;
        filter.prog_fd = filter.prog_id = 0;
        if (still)
            bpf_tc_detach(&hook, &filter);
    }
    tell(argv[5], "packets %llu attached %s\n", object->bss->packets, still ? "yes" : "no");
    witness_bpf__destroy(object);
    return 0;
}
