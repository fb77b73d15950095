/* SPDX-License-Identifier: MIT */
#include "array.h"

#include <stdlib.h>

#define CAPACITY_MIN 16

void *array_grow(void *elements, unsigned number, unsigned *capacity, size_t element_size) {
    unsigned wanted = *capacity ? *capacity * 2 : CAPACITY_MIN;
    void *grown;

    if (number < *capacity)
        return elements;
    grown = realloc(elements, wanted * element_size);
    if (grown)
        *capacity = wanted;
    return grown;
}
