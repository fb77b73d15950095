/* SPDX-License-Identifier: MIT */
/*
 * What one packet costs on a live interface (section 2):
 *
 *     live INTERFACE ROUNDS CASE COMMAND...
 *     live INTERFACE empty|tc_portbytes
 *
 * attaches all classifiers to INTERFACE's ingress at the same time, each of which passes
 * the packet on to the next, runs COMMAND, which makes the traffic, and prints for each
 * the ns per packet that the kernel measured, as samples of CASE. The order of the
 * classifiers moves on by one in each round, since the first one pays for the packet's
 * cache lines. The kernel's clock is read twice for each, which costs too: the empty
 * program shows how much. Statistics are on only as long as this program runs.
 *
 * Together they also share the caches: with many ports each evicts what the other will
 * need. So each has turns with the empty program alone, too: samples of CASE, alone.
 *
 * A read of the clock waits until every load before it is done. So a table entry that has
 * to come from memory shows with its full time here; without the statistics the processor
 * goes on with the packet meanwhile. One variant is that load and little else (floor.bpf.c).
 *
 * The second form holds the empty program, or the classifier without collectd, at both hooks
 * of INTERFACE until SIGTERM, for the section "feel": what they cost alone.
 */
#include "bench.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "floor.skel.h"
#include "stores.skel.h"

/* enum bpf_attach_type of Linux 6.6 */
#define ATTACH_TCX_INGRESS 46
#define ATTACH_TCX_EGRESS  47

enum variant { EMPTY, FLOOR, TEXTBOOK, OURS, OURS_DEFAULT, OLD_DEFAULT, VARIANTS };

/* Without the last one if there is no old revision, see bench.h. */
static unsigned all = (1u << VARIANTS) - 1;

static const char *const variant_names[VARIANTS] = {
    [EMPTY] = "empty program",
    [FLOOR] = "parse, load table[key], add",
    [TEXTBOOK] = "textbook (PERCPU_HASH)",
    [OURS] = "tc_portbytes, a counter per port",
    [OURS_DEFAULT] = "tc_portbytes, default settings",
    [OLD_DEFAULT] = "old revision, default settings",
};

struct attachment {
    int link;
    struct bpf_tc_opts filter;
};

static struct bpf_tc_hook hook = {.sz = sizeof(hook), .attach_point = BPF_TC_INGRESS};

/* The place-th in line, at the hook that `hook` names. */
static void attach(struct attachment *out, int program, int place) {
    int tcx = hook.attach_point == BPF_TC_INGRESS ? ATTACH_TCX_INGRESS : ATTACH_TCX_EGRESS;

    *out = (struct attachment){
        .link = bpf_link_create(program, hook.ifindex, tcx, NULL),
        .filter = {.sz = sizeof(out->filter), .prog_fd = program, .priority = place + 1}};
    if (out->link >= 0)
        return;
    bpf_tc_hook_create(&hook);
    if (bpf_tc_attach(&hook, &out->filter))
        die("cannot attach: %s", strerror(errno));
}

static void detach(struct attachment *attachment) {
    if (attachment->link >= 0) {
        close(attachment->link);
        return;
    }
    attachment->filter.prog_fd = attachment->filter.prog_id = attachment->filter.flags = 0;
    bpf_tc_detach(&hook, &attachment->filter);
}

static struct bpf_prog_info info_of(int program) {
    struct bpf_prog_info info = {0};
    __u32 length = sizeof(info);

    if (bpf_obj_get_info_by_fd(program, &info, &length))
        die("no figures of a program: %s", strerror(errno));
    return info;
}

static void run_command(char **command) {
    pid_t child;
    int status;

    fflush(stdout); /* or freopen writes the samples so far once more, from the child's copy */
    child = fork();
    if (child == 0) {
        if (!freopen("/dev/null", "w", stdout))
            _exit(127);
        execvp(command[0], command);
        _exit(127);
    }
    if (child < 0 || waitpid(child, &status, 0) < 0 || status)
        die("%s failed", command[0]);
    usleep(20000); /* what is under way arrives */
}

static int program[VARIANTS];

/* One turn of the classifiers in the set `who`, the first one being place `turn` of it. */
static void take_turn(unsigned who, unsigned turn, const char *name, char **command) {
    struct attachment attachments[VARIANTS];
    struct bpf_prog_info before[VARIANTS];

    for (unsigned place = 0; place < VARIANTS; place++) {
        unsigned v = (place + turn) % VARIANTS;

        if (who & 1u << v)
            attach(&attachments[v], program[v], (int)place);
    }
    for (int v = 0; v < VARIANTS; v++)
        if (who & 1u << v)
            before[v] = info_of(program[v]);
    run_command(command);
    for (int v = 0; v < VARIANTS; v++) {
        struct bpf_prog_info after;
        __u64 runs;

        if (!(who & 1u << v))
            continue;
        after = info_of(program[v]);
        runs = after.run_cnt - before[v].run_cnt;
        if (runs == 0)
            die("no packet came");
        if (name)
            sample("live", name, variant_names[v], "ns",
                   (double)(after.run_time_ns - before[v].run_time_ns) / runs);
        detach(&attachments[v]);
    }
}

static struct floor_bpf *open_floor(void) {
    struct floor_bpf *object = floor_bpf__open();

    if (!object)
        die("floor: %s", strerror(errno));
    if (floor_bpf__load(object))
        die("floor: %s", strerror(errno));
    return object;
}

/* Attached at both hooks, said by a line on the standard output, until SIGTERM. */
static void hold(const int programs[2]) {
    static const enum bpf_tc_attach_point points[] = {BPF_TC_INGRESS, BPF_TC_EGRESS};
    struct attachment attachments[2];
    sigset_t signals;
    int signal;

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    for (int i = 0; i < 2; i++) {
        hook.attach_point = points[i];
        attach(&attachments[i], programs[i], 0);
    }
    puts("attached");
    fflush(stdout);
    sigwait(&signals, &signal);
    for (int i = 0; i < 2; i++) {
        hook.attach_point = points[i];
        detach(&attachments[i]);
    }
}

int main(int argc, char **argv) {
    struct ours ours, by_default;
    struct old old;
    struct stores_bpf *stores;
    struct floor_bpf *one_load;
    char alone[96];
    int rounds;

    if (argc != 3 && argc < 5) {
        fprintf(stderr, "usage: live INTERFACE ROUNDS CASE COMMAND...\n"
                        "       live INTERFACE empty|tc_portbytes\n");
        return 2;
    }
    libbpf_set_print(NULL);
    hook.ifindex = if_nametoindex(argv[1]);
    stores = stores_bpf__open_and_load();
    if (!stores)
        die("the stores were refused: %s", strerror(errno));
    if (argc == 3) {
        int empty = bpf_program__fd(stores->progs.empty), programs[2] = {empty, empty};

        if (strcmp(argv[2], "empty") != 0) {
            ours_default(&ours, hook.ifindex);
            programs[0] = ours.ingress;
            programs[1] = ours.egress;
        }
        hold(programs);
        return 0; /* which closes all of them */
    }
    rounds = atoi(argv[2]);
    snprintf(alone, sizeof(alone), "%s, alone", argv[3]);
    one_load = open_floor();
    if (bpf_enable_stats(BPF_STATS_RUN_TIME) < 0)
        die("no statistics: %s", strerror(errno));
    ours_every_port(&ours, hook.ifindex, 0, 65536);
    ours_default(&by_default, hook.ifindex);
    program[EMPTY] = bpf_program__fd(stores->progs.empty);
    program[FLOOR] = bpf_program__fd(one_load->progs.floor_load);
    program[TEXTBOOK] = bpf_program__fd(stores->progs.textbook);
    program[OURS] = ours.ingress;
    program[OURS_DEFAULT] = by_default.ingress;
    if (old_object()) {
        old_default(&old);
        program[OLD_DEFAULT] = old.ingress;
    } else {
        all &= ~(1u << OLD_DEFAULT);
    }

    take_turn(all, 0, NULL, argv + 4); /* every port comes up */
    for (int round = 0; round < rounds; round++) {
        take_turn(all, round, argv[3], argv + 4);
        for (int v = FLOOR; v < VARIANTS; v++)
            if (all & 1u << v)
                take_turn(1u << EMPTY | 1u << v, round % 2 ? EMPTY : v, alone, argv + 4);
    }
    snprintf(alone, sizeof(alone), "live, %s", argv[3]);
    sample("counted", alone, variant_names[OURS], "% of packets",
           100.0 * ours_packets(&ours) / info_of(program[OURS]).run_cnt);
    sample("counted", alone, variant_names[OURS_DEFAULT], "% of packets",
           100.0 * ours_packets(&by_default) / info_of(program[OURS_DEFAULT]).run_cnt);
    ours_close(&ours);
    ours_close(&by_default);
    if (old_object())
        old_close(&old);
    floor_bpf__destroy(one_load);
    stores_bpf__destroy(stores);
    return 0;
}
