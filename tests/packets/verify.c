/* SPDX-License-Identifier: MIT */
/*
 * Loads the classifier and prints libbpf's log: what the kernel's verifier says of each program,
 * which is how many instructions it looked at, or why it refused one. By the libbpf that this
 * program was built with, which has a part in it (see bpf/context.h).
 */
#include <stdio.h>

#include <bpf/libbpf.h>

#include "tc_portbytes.h"
#include "tc_portbytes.skel.h"

/* Bits of a program's log_level: BPF_LOG_STATS of the kernel's include/linux/bpf_verifier.h. */
#define LOG_STATS 4

static int print(enum libbpf_print_level level, const char *format, va_list arguments) {
    (void)level;
    return vprintf(format, arguments);
}

static int load(unsigned log_level) {
    LIBBPF_OPTS(bpf_object_open_opts, options, .kernel_log_level = log_level);
    struct tc_portbytes_bpf *classifier = tc_portbytes_bpf__open_opts(&options);
    int error = classifier ? tc_portbytes_bpf__load(classifier) : -1;

    tc_portbytes_bpf__destroy(classifier);
    return error;
}

int main(void) {
    libbpf_set_print(print);
    /* Without a level, libbpf gets the reason of a refusal by itself. */
    return load(LOG_STATS) && load(0) ? 1 : 0;
}
