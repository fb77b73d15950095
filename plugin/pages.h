/* SPDX-License-Identifier: MIT */
/*
 * Zeroed memory of which only those pages take any that were written to. calloc may reuse memory
 * of the heap, which it has to clear; and where huge pages are the default
 * (/sys/kernel/mm/transparent_hugepage/enabled), one write would take 2 MB.
 */
#ifndef PB_PAGES_H
#define PB_PAGES_H

#include <stddef.h>
#include <sys/mman.h>

/* NULL: no memory. */
static inline void *pages_new(size_t size) {
    void *pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (pages == MAP_FAILED)
        return NULL;
    madvise(pages, size, MADV_NOHUGEPAGE); /* -EINVAL from a kernel that has none */
    return pages;
}

/* size: as for pages_new. */
static inline void pages_free(void *pages, size_t size) {
    munmap(pages, size);
}

#endif
