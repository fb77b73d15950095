/* SPDX-License-Identifier: MIT */
/*
 * Arrays that grow one element at a time: the caller holds the elements, their number and the
 * capacity, and frees the elements with free(). All zero is an empty array.
 */
#ifndef PB_ARRAY_H
#define PB_ARRAY_H

#include <stddef.h>

/*
 * The elements, moved if need be, with room for at least one more than `number`. NULL: there is no
 * memory; the elements and their capacity are unchanged then.
 */
void *array_grow(void *elements, unsigned number, unsigned *capacity, size_t element_size);

#endif
