/* SPDX-License-Identifier: MIT */
/*
 * Pins as the version before the shared classifier left them: for each interface programs and maps
 * of its own, which are attached to it and pinned below DIRECTORY, the network namespace's.
 *
 *     oldpins tcx|clsact DIRECTORY INTERFACE...
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* enum bpf_attach_type of Linux 6.6 */
#define ATTACH_TCX_INGRESS 46

/* The first daemon's places among the clsact filters. */
#define FILTER_PRIORITY 1
#define FILTER_HANDLE   0x70627971 /* odd: the qdisc is ours, too */

static const enum bpf_tc_attach_point points[] = {BPF_TC_INGRESS, BPF_TC_EGRESS};
static const char *const program_names[] = {"tc_portbytes_in", "tc_portbytes_eg"};
static const char *const link_names[] = {"ingress", "egress"};

static void die(const char *what) {
    perror(what);
    exit(1);
}

static int checked(int result, const char *what) {
    if (result < 0)
        die(what);
    return result;
}

static void pin(int fd, const char *directory, const char *name) {
    char path[256];

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    checked(bpf_obj_pin(fd, path), path);
    close(fd);
}

static void make_maps(const char *directory) {
    static const struct {
        const char *name;
        enum bpf_map_type type;
        unsigned key, value, entries, flags;
    } maps[] = {
        {"counters", BPF_MAP_TYPE_ARRAY, 4, 32, 1295, BPF_F_MMAPABLE},
        {"shared", BPF_MAP_TYPE_ARRAY, 4, 1056768, 1, BPF_F_MMAPABLE},
        {"ring_lock", BPF_MAP_TYPE_ARRAY, 4, 8, 1, 0},
        {"fragments", BPF_MAP_TYPE_LRU_HASH, 40, 4, 1024, 0},
        {"state", BPF_MAP_TYPE_ARRAY, 4, 65536, 1, BPF_F_MMAPABLE},
    };

    for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]); i++) {
        LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = maps[i].flags);

        pin(checked(bpf_map_create(maps[i].type, maps[i].name, maps[i].key, maps[i].value,
                                   maps[i].entries, &options),
                    maps[i].name),
            directory, maps[i].name);
    }
}

static void attach(bool tcx, int interface, int direction, const char *directory) {
    /* return TC_ACT_UNSPEC */
    const struct bpf_insn code[] = {
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = -1},
        {.code = BPF_JMP | BPF_EXIT},
    };
    LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = interface, .attach_point = points[direction]);
    LIBBPF_OPTS(bpf_tc_opts, filter, .handle = FILTER_HANDLE, .priority = FILTER_PRIORITY);
    int program = checked(bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, program_names[direction], "MIT",
                                        code, sizeof(code) / sizeof(code[0]), NULL),
                          "bpf_prog_load");

    if (tcx) {
        pin(checked(bpf_link_create(program, interface, ATTACH_TCX_INGRESS + direction, NULL),
                    "bpf_link_create"),
            directory, link_names[direction]);
    } else {
        bpf_tc_hook_create(&hook);
        filter.prog_fd = program;
        checked(bpf_tc_attach(&hook, &filter), "bpf_tc_attach");
    }
    close(program);
}

int main(int argc, char **argv) {
    if (argc < 4)
        return 2;
    libbpf_set_print(NULL);
    for (int i = 3; i < argc; i++) {
        int interface = (int)if_nametoindex(argv[i]);
        char directory[128];

        if (!interface)
            die(argv[i]);
        snprintf(directory, sizeof(directory), "%s/%d", argv[2], interface);
        checked(mkdir(directory, 0700), directory);
        make_maps(directory);
        for (int direction = 0; direction < 2; direction++)
            attach(!strcmp(argv[1], "tcx"), interface, direction, directory);
    }
    return 0;
}
