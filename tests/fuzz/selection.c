/* SPDX-License-Identifier: MIT */
/*
 * Patterns and names of interfaces. A plain name matches itself only, a regular expression as by
 * regcomp(3), and an inverted selection is the opposite.
 *
 * Repetitions are left out: glibc needs excessive memory and time for "((x{99}){99}){99}", which
 * is no fault of the plugin.
 */
#include "fuzz.h"

#include <errno.h>
#include <regex.h>

#include "selection.h"

#define PATTERNS 4

/* The expected result; -1: the pattern must be refused. */
static int matches(const char *pattern, const char *name) {
    size_t length = strlen(pattern);
    regex_t regex;
    char *inner;
    int error, match;

    if (!length)
        return -1;
    if (length < 3 || pattern[0] != '/' || pattern[length - 1] != '/')
        return !strcmp(pattern, name);
    inner = strdup(pattern + 1);
    must(inner);
    inner[length - 2] = 0;
    error = regcomp(&regex, inner, REG_EXTENDED);
    free(inner);
    if (error)
        return -1;
    match = regexec(&regex, name, 0, NULL, 0) == 0;
    regfree(&regex);
    return match;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct selection *selection = selection_new();
    struct input input = {data, size};
    char *name = take_text(&input, 15), *first = NULL;
    bool any = false, accepted = false;

    must(selection);
    for (int i = 0; i < PATTERNS && input.left; i++) {
        char *pattern = take_text(&input, 40), reason[64] = "";
        int match, error;

        if (strpbrk(pattern, "{*+")) {
            free(pattern);
            continue;
        }
        match = matches(pattern, name);
        error = selection_add(selection, pattern, reason, sizeof(reason));
        must(error == (match < 0 ? -EINVAL : 0));
        must(!error == !reason[0]);
        accepted |= !error;
        any |= match > 0;
        if (!error && !first &&
            (pattern[0] != '/' || strlen(pattern) < 3 || pattern[strlen(pattern) - 1] != '/'))
            first = pattern;
        else
            free(pattern);
    }
    must(selection_is_empty(selection) == !accepted);
    must(selection_wants(selection, name, NULL) == (any || !accepted));
    must(first ? !strcmp(selection_name(selection, 0), first) : !selection_name(selection, 0));
    selection_invert(selection, true);
    must(selection_wants(selection, name, NULL) == !any);
    must(!selection_name(selection, 0));
    selection_free(selection);
    free(first);
    free(name);
    return 0;
}
