/* SPDX-License-Identifier: MIT */
/*
 * The values of an option. What is not as expected is refused with one line of the log, which has
 * the option, the value and what is expected: -EINVAL then, and the output is unchanged.
 */
#ifndef PB_CONFIG_VALUE_H
#define PB_CONFIG_VALUE_H

#include <stdbool.h>
#include <stddef.h>

#include <linux/types.h>

struct oconfig_item_s;
struct oconfig_value_s;

/* The values as in the configuration file, for messages; truncated to `size`. Returns `text`. */
const char *value_format(const struct oconfig_item_s *item, char *text, size_t size);

/* Logs that the value was refused. -EINVAL. */
int value_refuse(const struct oconfig_item_s *item, const char *expected);

/* The value, if it is the only one and of this type (OCONFIG_TYPE_...); else NULL. */
const struct oconfig_value_s *value_single(const struct oconfig_item_s *item, int type);

int value_boolean(const struct oconfig_item_s *item, bool *out);
int value_number(const struct oconfig_item_s *item, __u64 min, __u64 max, __u64 *out);

/* The index of the value among the keywords, in upper or lower case. */
int value_keyword(const struct oconfig_item_s *item, const char *const *keywords, int number,
                  int *out);

#endif
