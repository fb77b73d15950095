/* SPDX-License-Identifier: MIT */
/*
 * Interfaces that have packets in turn, by test_run: they share our code and table; in the old
 * revision each has its own, and the caches have to hold them all.
 *
 * A system call can't change the interface between its runs, so here it makes no more than one
 * interface's, and the kernel's own clock is used, which leaves out the call. What the call does
 * to the caches hits all alike.
 */
#include "packet.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stores.skel.h"

#define SCENE  "16 interfaces in turn, six packets each"
#define TURN   6
#define CYCLES 64 /* through all interfaces, of one sample */

struct turns {
    int index[OURS_INTERFACES];
    struct stores_bpf *stores;
    struct ours ours;
    struct old old[OURS_INTERFACES];
    unsigned char frame[FRAME_MOST];
    size_t length;
};

/* Pairs of veths, in a network namespace of this process, which they end with. */
static void make_interfaces(int index[OURS_INTERFACES]) {
    FILE *commands;

    if (unshare(CLONE_NEWNET))
        die("no network namespace: %s", strerror(errno));
    commands = popen("ip -batch -", "we");
    if (!commands)
        die("ip: %s", strerror(errno));
    for (int i = 0; i < OURS_INTERFACES; i += 2)
        fprintf(commands, "link add t%d type veth peer name t%d\n", i, i + 1);
    if (pclose(commands))
        die("ip made no interfaces");
    for (int i = 0; i < OURS_INTERFACES; i++) {
        char name[IF_NAMESIZE];

        snprintf(name, sizeof(name), "t%d", i);
        index[i] = (int)if_nametoindex(name);
    }
}

static void open_turns(struct turns *turns) {
    make_interfaces(turns->index);
    turns->length = build_frame(turns->frame, UDP4);
    turns->stores = stores_bpf__open_and_load();
    if (!turns->stores)
        die("the stores were refused: %s", strerror(errno));
    ours_default(&turns->ours, turns->index[0]);
    for (int i = 1; i < OURS_INTERFACES; i++)
        ours_add_interface(&turns->ours, turns->index[i]);
    for (int i = 0; old_object() && i < OURS_INTERFACES; i++)
        old_default(&turns->old[i]);
}

static void close_turns(struct turns *turns) {
    stores_bpf__destroy(turns->stores);
    ours_close(&turns->ours);
    for (int i = 0; old_object() && i < OURS_INTERFACES; i++)
        old_close(&turns->old[i]);
}

static int program_of(const struct turns *turns, enum variant variant, int interface) {
    switch (variant) {
    case OURS_DEFAULT:
        return turns->ours.ingress;
    case OLD_DEFAULT:
        return turns->old[interface].ingress;
    default:
        return bpf_program__fd(turns->stores->progs.empty);
    }
}

static int compare_unsigned(const void *one, const void *other) {
    unsigned a = *(const unsigned *)one, b = *(const unsigned *)other;

    return (a > b) - (a < b);
}

/* ns of a run: the mean of the half in the middle, since an interrupt makes a turn last for long.
 */
static double cycle(const struct turns *turns, enum variant variant, unsigned cycles) {
    unsigned ns[CYCLES * OURS_INTERFACES], number = 0;
    double sum = 0;

    for (unsigned n = 0; n < cycles; n++) {
        for (int i = 0; i < OURS_INTERFACES; i++) {
            struct __sk_buff skb = {.ifindex = turns->index[i]};

            ns[number++] =
                run_briefly(program_of(turns, variant, i), turns->frame, turns->length, &skb, TURN);
        }
    }
    qsort(ns, number, sizeof(*ns), compare_unsigned);
    for (unsigned i = number / 4; i < number / 4 * 3; i++)
        sum += ns[i];
    return sum / (number / 4 * 2);
}

void turns_measure(unsigned rounds) {
    static const enum variant variants[] = {EMPTY, OURS_DEFAULT, OLD_DEFAULT};
    const unsigned number = sizeof(variants) / sizeof(variants[0]);
    static struct turns turns;

    open_turns(&turns);
    for (unsigned round = 0; round < rounds; round++) {
        for (unsigned i = 0; i < number; i++) {
            enum variant variant = variants[(i + round) % number];

            if (!is_present(variant))
                continue;
            cycle(&turns, variant, 2);
            sample(SECTION, SCENE, variant_names[variant], "ns", cycle(&turns, variant, CYCLES));
        }
    }
    close_turns(&turns);
}

bool turns_count(enum variant variant) {
    const unsigned cycles = 3;
    static struct turns turns;
    bool good = true;

    open_turns(&turns);
    cycle(&turns, variant, cycles);
    for (unsigned i = 0; i < OURS_INTERFACES; i++)
        good &= cycles * TURN == (variant == OURS_DEFAULT ? ours_packets_of(&turns.ours, i)
                                                          : old_packets(&turns.old[i]));
    close_turns(&turns);
    return good;
}
