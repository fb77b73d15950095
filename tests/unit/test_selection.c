/* SPDX-License-Identifier: MIT */
/*
 * Which interfaces are selected: by collectd.conf(5), "IGNORELISTS", and where that says nothing,
 * as by collectd's src/utils/ignorelist.
 *
 * Links: plugin/selection.c.
 */
#include <errno.h>

#include "selection.h"
#include "tap.h"

/* Patterns, a name, whether it is selected; IgnoreSelected inverts that. */
static const struct {
    const char *patterns[3];
    const char *name;
    bool selected;
    const char *promise;
} cases[] = {
    {{"eth0"}, "eth0", true, "a name selects the interface of that name"},
    {{"eth0"}, "eth1", false, "and no other"},
    {{"eth0"}, "eth00", false, "no prefix match"},
    {{"eth0"}, "veth0", false, "no suffix match"},
    {{"eth0"}, "Eth0", false, "case matters"},
    {{"eth."}, "eth0", false, "a dot in a name is no wildcard"},
    {{"eth*"}, "eth0", false, "nor is an asterisk"},
    {{"eth0.100"}, "eth0.100", true, "a name may contain a dot"},
    {{"eth0", "wg0"}, "wg0", true, "the second of two names is selected"},
    {{"eth0", "wg0"}, "eth0", true, "so is the first"},
    {{"eth0", "wg0"}, "tun0", false, "and no third one"},
    {{"/eth/"}, "eth0", true, "a regular expression matches at the start"},
    {{"/eth/"}, "veth0", true, "and elsewhere: it is not anchored"},
    {{"/eth/"}, "wlan0", false, "what it does not match is not selected"},
    {{"/ETH/"}, "eth0", false, "case matters"},
    {{"/^eth/"}, "veth0", false, "it may be anchored at the start"},
    {{"/^eth/"}, "eth0", true, "and matches there"},
    {{"/0$/"}, "eth0", true, "it may be anchored at the end"},
    {{"/0$/"}, "eth01", false, "and matches only there"},
    {{"/^(eth|wg)[0-9]+$/"}, "wg12", true, "it is extended: groups, alternatives, +"},
    {{"/^(eth|wg)[0-9]+$/"}, "wg", false, "+ requires one"},
    {{"/^eth0?$/"}, "eth", true, "? does not"},
    {{"/^a{3}$/"}, "aaa", true, "braces are a repetition"},
    {{"/eth0/", "wg0"}, "wg0", true, "regular expressions and names can be combined"},
    {{"wg0", "/eth/"}, "eth7", true, "in any order"},
    {{"/a/b/"}, "xa/by", true, "a slash inside is part of the expression"},
    {{"/./"}, "e", true, "the shortest regular expression has one character"},
    {{"/"}, "eth0", false, "a single slash is a name"},
    {{"/"}, "/", true, "and selects an interface of that name"},
    {{"//"}, "eth0", false, "two slashes are a name, not the empty expression"},
    {{"//"}, "//", true, "and selects an interface of that name"},
    {{"/eth0"}, "eth0", false, "a slash at the start only makes no expression"},
    {{"/eth0"}, "/eth0", true, "but is part of the name"},
    {{"eth0/"}, "eth0/", true, "so is a slash at the end"},
    {{" eth0"}, "eth0", false, "white space is part of the name"},
};

static struct selection *make(const char *const *patterns, bool ignore_selected) {
    struct selection *selection = selection_new();
    char reason[64];

    for (unsigned i = 0; i < 3 && patterns[i]; i++)
        if (selection_add(selection, patterns[i], reason, sizeof(reason)))
            diag("\"%s\" was refused: %s", patterns[i], reason);
    if (ignore_selected)
        selection_invert(selection, true);
    return selection;
}

static void test_wants(void) {
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct selection *selection = make(cases[i].patterns, false);
        struct selection *inverted = make(cases[i].patterns, true);

        ok(selection_wants(selection, cases[i].name, NULL) == cases[i].selected &&
               selection_wants(inverted, cases[i].name, NULL) == !cases[i].selected,
           "%s (\"%s\" by \"%s\"), the opposite with IgnoreSelected", cases[i].promise,
           cases[i].name, cases[i].patterns[0]);
        selection_free(selection);
        selection_free(inverted);
    }
}

static void test_empty(void) {
    struct selection *selection = selection_new();
    char reason[64] = "";

    ok(selection_is_empty(selection), "a new selection is empty");
    ok(selection_wants(selection, "eth0", NULL), "and selects everything");
    selection_invert(selection, true);
    ok(selection_is_empty(selection) && selection_wants(selection, "eth0", NULL),
       "with IgnoreSelected, too");
    ok(!selection_name(selection, 0), "and has no names");
    selection_invert(selection, false);
    selection_add(selection, "eth0", reason, sizeof(reason));
    ok(!selection_is_empty(selection), "with a name it is not empty");
    selection_free(selection);
    selection_free(NULL);
    ok(true, "selection_free(NULL) does nothing");
}

static void test_invert_order(void) {
    struct selection *selection = selection_new();
    char reason[64];

    selection_invert(selection, true);
    selection_add(selection, "eth0", reason, sizeof(reason));
    ok(!selection_wants(selection, "eth0", NULL) && selection_wants(selection, "eth1", NULL),
       "IgnoreSelected may precede the names");
    selection_invert(selection, false);
    ok(selection_wants(selection, "eth0", NULL) && !selection_wants(selection, "eth1", NULL),
       "and be reset");
    selection_free(selection);
}

static void test_refused(void) {
    static const char *const wrong[] = {"/eth[/", "/(/", "/*{/", "/[[:nonsense:]]/", "/a{2,1}/"};
    struct selection *selection = selection_new();
    char reason[64], tiny[4];

    for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        reason[0] = 0;
        ok(selection_add(selection, wrong[i], reason, sizeof(reason)) == -EINVAL && reason[0],
           "%s is refused, with a reason", wrong[i]);
        diag("%s", reason);
    }
    reason[0] = 0;
    ok(selection_add(selection, "", reason, sizeof(reason)) == -EINVAL, "an empty one is refused");
    is_text(reason, "empty", "with that reason");
    memset(tiny, 'x', sizeof(tiny));
    ok(selection_add(selection, "/(/", tiny, sizeof(tiny)) == -EINVAL &&
           memchr(tiny, 0, sizeof(tiny)),
       "a reason is truncated to the size of the buffer");
    ok(selection_is_empty(selection) && selection_wants(selection, "eth0", NULL),
       "refused patterns leave the selection unchanged");
    selection_add(selection, "wg0", reason, sizeof(reason));
    ok(selection_wants(selection, "wg0", NULL) && !selection_wants(selection, "eth0", NULL),
       "and valid ones can be added");
    selection_free(selection);
}

static void test_names(void) {
    struct selection *selection = selection_new();
    char reason[64], pattern[] = "eth0";

    selection_add(selection, "/^veth/", reason, sizeof(reason));
    selection_add(selection, pattern, reason, sizeof(reason));
    selection_add(selection, "/wg/", reason, sizeof(reason));
    selection_add(selection, "//", reason, sizeof(reason));
    pattern[0] = 'X';
    is_text(selection_name(selection, 0), "eth0", "the first plain name, a copy");
    is_text(selection_name(selection, 1), "//", "the second; regular expressions are skipped");
    is_text(selection_name(selection, 2), NULL, "NULL after the last");
    is_text(selection_name(selection, ~0u), NULL, "and for any larger number");
    selection_invert(selection, true);
    is_text(selection_name(selection, 0), NULL, "NULL if the selection is inverted");
    selection_free(selection);
}

int main(void) {
    test_wants();
    test_empty();
    test_invert_order();
    test_refused();
    test_names();
    return tap_end();
}
