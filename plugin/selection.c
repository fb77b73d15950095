/* SPDX-License-Identifier: MIT */
#include "selection.h"

#include <errno.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pattern {
    struct pattern *next;
    char *name;    /* NULL: a regular expression */
    regex_t regex; /* if name is NULL */
};

struct selection {
    struct pattern *first, **end;
    bool inverted;
};

struct selection *selection_new(void) {
    struct selection *selection = calloc(1, sizeof(*selection));

    if (selection)
        selection->end = &selection->first;
    return selection;
}

static void pattern_free(struct pattern *pattern) {
    if (!pattern->name)
        regfree(&pattern->regex);
    free(pattern->name);
    free(pattern);
}

void selection_free(struct selection *selection) {
    struct pattern *next;

    if (!selection)
        return;
    for (struct pattern *pattern = selection->first; pattern; pattern = next) {
        next = pattern->next;
        pattern_free(pattern);
    }
    free(selection);
}

/* "/text/": POSIX extended, not anchored, as in collectd's src/utils/ignorelist. */
static int compile(regex_t *regex, const char *text, char *reason, size_t size) {
    char *expression = strndup(text + 1, strlen(text) - 2);
    int error;

    if (!expression)
        return -ENOMEM;
    error = regcomp(regex, expression, REG_EXTENDED | REG_NOSUB);
    free(expression);
    if (!error)
        return 0;
    regerror(error, regex, reason, size);
    return error == REG_ESPACE ? -ENOMEM : -EINVAL;
}

int selection_add(struct selection *selection, const char *text, char *reason, size_t size) {
    size_t length = strlen(text);
    struct pattern *pattern;
    int error = 0;

    if (length == 0) {
        snprintf(reason, size, "empty");
        return -EINVAL;
    }
    pattern = calloc(1, sizeof(*pattern));
    if (!pattern)
        return -ENOMEM;
    if (length > 2 && text[0] == '/' && text[length - 1] == '/') {
        error = compile(&pattern->regex, text, reason, size);
    } else {
        pattern->name = strdup(text);
        if (!pattern->name)
            error = -ENOMEM;
    }
    if (error) {
        free(pattern);
        return error;
    }
    *selection->end = pattern;
    selection->end = &pattern->next;
    return 0;
}

void selection_invert(struct selection *selection, bool ignore_selected) {
    selection->inverted = ignore_selected;
}

bool selection_is_empty(const struct selection *selection) {
    return !selection->first;
}

static bool matches(const struct pattern *pattern, const char *name) {
    if (pattern->name)
        return !strcmp(pattern->name, name);
    return !regexec(&pattern->regex, name, 0, NULL, 0);
}

static bool matches_any(const struct selection *selection, const char *name) {
    for (const struct pattern *pattern = selection->first; pattern; pattern = pattern->next)
        if (matches(pattern, name))
            return true;
    return false;
}

bool selection_wants(const struct selection *selection, const char *name, const char *others) {
    bool matched;

    if (!selection->first)
        return true;
    matched = matches_any(selection, name);
    for (; others && *others && !matched; others += strlen(others) + 1)
        matched = matches_any(selection, others);
    return matched != selection->inverted;
}

const char *selection_name(const struct selection *selection, unsigned n) {
    if (selection->inverted)
        return NULL;
    for (const struct pattern *pattern = selection->first; pattern; pattern = pattern->next)
        if (pattern->name && n-- == 0)
            return pattern->name;
    return NULL;
}
