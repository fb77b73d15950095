/* SPDX-License-Identifier: MIT */
#include "state_map.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <sys/mman.h>

#include "cleanup.h"
#include "pins.h"

#define NAME "state"
#define PAGE 4096u

static __u32 pages(size_t size) {
    return (size + PAGE - 1) / PAGE;
}

static int map_memory(struct state_map *out, int fd, size_t size) {
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (memory == MAP_FAILED)
        return -errno;
    *out = (struct state_map){.memory = memory, .size = size};
    return 0;
}

int state_map_find(struct state_map *out, const struct pins *pins, int interface, size_t size) {
    CLEANUP_CLOSE int fd = pins_get(pins, interface, NAME);
    struct bpf_map_info info = {0};
    __u32 length = sizeof(info);

    if (fd < 0)
        return fd;
    if (bpf_obj_get_info_by_fd(fd, &info, &length))
        return -errno;
    if (info.type != BPF_MAP_TYPE_ARRAY || info.value_size != PAGE ||
        info.max_entries != pages(size))
        return -ESTALE;
    return map_memory(out, fd, size);
}

int state_map_make(struct state_map *out, const struct pins *pins, int interface, size_t size) {
    LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_MMAPABLE);
    CLEANUP_CLOSE int fd =
        bpf_map_create(BPF_MAP_TYPE_ARRAY, "pb_state", sizeof(__u32), PAGE, pages(size), &options);
    struct state_map made = {0};
    int error;

    if (fd < 0)
        return fd;
    error = map_memory(&made, fd, size);
    if (error)
        return error;
    error = pins_put(pins, interface, NAME, fd);
    if (error)
        state_map_unmap(&made);
    else
        *out = made;
    return error;
}

void state_map_unmap(struct state_map *state) {
    if (state->memory)
        munmap(state->memory, state->size);
    *state = (struct state_map){0};
}
