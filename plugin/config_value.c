/* SPDX-License-Identifier: MIT */
#include "config_value.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <collectd/liboconfig/oconfig.h>

#include "log.h"

const char *value_format(const oconfig_item_t *item, char *text, size_t size) {
    size_t used = 0;

    text[0] = 0;
    for (int i = 0; i < item->values_num && used < size; i++) {
        const oconfig_value_t *value = &item->values[i];
        const char *space = i ? " " : "";

        if (value->type == OCONFIG_TYPE_STRING)
            used += snprintf(text + used, size - used, "%s\"%s\"", space, value->value.string);
        else if (value->type == OCONFIG_TYPE_NUMBER)
            used += snprintf(text + used, size - used,
                             fabs(value->value.number) < 1e18 &&
                                     value->value.number == floor(value->value.number)
                                 ? "%s%.0f"
                                 : "%s%.15g",
                             space, value->value.number);
        else
            used += snprintf(text + used, size - used, "%s%s", space,
                             value->value.boolean ? "true" : "false");
    }
    for (char *c = text; *c; c++) /* a string may contain newlines, a message may not */
        if (iscntrl((unsigned char)*c))
            *c = ' ';
    return text;
}

int value_refuse(const oconfig_item_t *item, const char *expected) {
    char text[256];

    if (item->values_num == 0)
        pb_log(LOG_ERR, "option %s: no value given; expected %s.", item->key, expected);
    else
        pb_log(LOG_ERR, "option %s: invalid value %s; expected %s.", item->key,
               value_format(item, text, sizeof(text)), expected);
    return -EINVAL;
}

const oconfig_value_t *value_single(const oconfig_item_t *item, int type) {
    if (item->values_num != 1 || item->children_num != 0 || item->values[0].type != type)
        return NULL;
    return &item->values[0];
}

int value_boolean(const oconfig_item_t *item, bool *out) {
    const oconfig_value_t *value = value_single(item, OCONFIG_TYPE_BOOLEAN);

    if (!value)
        return value_refuse(item, "true or false");
    *out = value->value.boolean;
    return 0;
}

int value_number(const oconfig_item_t *item, __u64 min, __u64 max, __u64 *out) {
    const oconfig_value_t *value = value_single(item, OCONFIG_TYPE_NUMBER);
    char expected[80];

    if (value && value->value.number >= min && value->value.number <= max &&
        value->value.number == (double)(__u64)value->value.number) {
        *out = value->value.number;
        return 0;
    }
    snprintf(expected, sizeof(expected), "an integer from %llu to %llu", min, max);
    return value_refuse(item, expected);
}

int value_keyword(const oconfig_item_t *item, const char *const *keywords, int number, int *out) {
    const oconfig_value_t *value = value_single(item, OCONFIG_TYPE_STRING);
    char expected[128];
    size_t used = 0;

    for (int i = 0; value && i < number; i++) {
        if (!strcasecmp(value->value.string, keywords[i])) {
            *out = i;
            return 0;
        }
    }
    for (int i = 0; i < number && used < sizeof(expected); i++)
        used += snprintf(expected + used, sizeof(expected) - used, "%s\"%s\"",
                         i == 0            ? ""
                         : i == number - 1 ? " or "
                                           : ", ",
                         keywords[i]);
    return value_refuse(item, expected);
}
