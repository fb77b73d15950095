/* SPDX-License-Identifier: MIT */
/*
 * Attaches a second classifier and stays until SIGTERM:
 *
 *     witness INTERFACE ingress|egress tcx|clsact VERDICT FILE
 *
 * FILE holds "attached" once it is; on SIGTERM "packets N attached yes|no" (still
 * there or not), then it detaches. clsact: priority 100, its own handle.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "witness.skel.h"

/* enum bpf_attach_type of Linux 6.6 */
#define ATTACH_TCX_INGRESS 46

static int tell(const char *file, const char *format, unsigned long long number, const char *word) {
    FILE *out = fopen(file, "w");

    if (!out)
        return 1;
    fprintf(out, format, number, word);
    return fclose(out);
}

int main(int argc, char **argv) {
    struct witness_bpf *object;
    LIBBPF_OPTS(bpf_tc_opts, filter, .handle = 77, .priority = 100);
    LIBBPF_OPTS(bpf_tc_hook, hook);
    struct bpf_prog_info info = {0};
    __u32 length = sizeof(info), ids[64], number = 64;
    int program, type, error, link = -1, still = 0, signal_number;
    sigset_t signals;

    if (argc < 6)
        return 2;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);

    hook.ifindex = if_nametoindex(argv[1]);
    hook.attach_point = strcmp(argv[2], "egress") ? BPF_TC_INGRESS : BPF_TC_EGRESS;
    type = ATTACH_TCX_INGRESS + (hook.attach_point == BPF_TC_EGRESS);
    object = witness_bpf__open();
    if (!object)
        return 1;
    object->rodata->verdict = atoi(argv[4]);
    if (witness_bpf__load(object))
        return 1;
    program = bpf_program__fd(object->progs.witness);
    if (bpf_obj_get_info_by_fd(program, &info, &length))
        return 1;
    if (!strcmp(argv[3], "tcx")) {
        link = bpf_link_create(program, hook.ifindex, type, NULL);
        error = link < 0 ? link : 0;
    } else {
        error = bpf_tc_hook_create(&hook);
        filter.prog_fd = program;
        if (!error || error == -EEXIST)
            error = bpf_tc_attach(&hook, &filter);
    }
    if (error) {
        fprintf(stderr, "witness: %s\n", strerror(-error));
        return 1;
    }
    tell(argv[5], "attached%.0llu%s\n", 0, "");

    sigwait(&signals, &signal_number);

    if (link >= 0) {
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
        bpf_tc_detach(&hook, &filter);
    }
    tell(argv[5], "packets %llu attached %s\n", object->bss->packets, still ? "yes" : "no");
    witness_bpf__destroy(object);
    return 0;
}
