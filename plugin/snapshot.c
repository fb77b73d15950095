/* SPDX-License-Identifier: MIT */
#include "snapshot.h"

struct copy {
    __u64 fingerprint;
    __u64 state[];
};

struct snapshot {
    __aligned_u64 commits; /* 0: no copy is valid; else copy commits % 2 is the latest */
    __u64 copies[];
};

static size_t align(size_t size) {
    return (size + sizeof(__u64) - 1) & ~(sizeof(__u64) - 1);
}

static size_t copy_size(size_t size) {
    return (size - sizeof(struct snapshot)) / 2 & ~(sizeof(__u64) - 1);
}

static struct copy *copy(const void *memory, size_t size, __u64 commit) {
    const struct snapshot *snapshot = memory;

    return (struct copy *)((char *)snapshot->copies + commit % 2 * copy_size(size));
}

size_t snapshot_size(size_t state) {
    return sizeof(struct snapshot) + 2 * (sizeof(struct copy) + align(state));
}

const void *snapshot_latest(const void *memory, size_t size, __u64 fingerprint) {
    const struct snapshot *snapshot = memory;
    const struct copy *latest = copy(memory, size, snapshot->commits);

    return snapshot->commits && latest->fingerprint == fingerprint ? latest->state : NULL;
}

bool snapshot_is_there(const void *memory) {
    return ((const struct snapshot *)memory)->commits != 0;
}

void *snapshot_begin(void *memory, size_t size) {
    return copy(memory, size, ((struct snapshot *)memory)->commits + 1)->state;
}

void snapshot_commit(void *memory, size_t size, __u64 fingerprint) {
    struct snapshot *snapshot = memory;

    copy(memory, size, snapshot->commits + 1)->fingerprint = fingerprint;
    /* Release: a process that reads this number also finds the state written before it. */
    __atomic_store_n(&snapshot->commits, snapshot->commits + 1, __ATOMIC_RELEASE);
}
