/* SPDX-License-Identifier: MIT */
/*
 * Out of memory: each allocation fails in turn. Packets are counted all the same, nothing leaks,
 * outputs are unchanged. To be run with the leak sanitizer, too.
 *
 * Links: libcore.la.
 * LDFLAGS: -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=mmap,--wrap=mmap64,
 * --wrap=strdup,--wrap=strndup
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <collectd/liboconfig/oconfig.h>

#include "capture.h"
#include "config.h"
#include "ledger.h"
#include "libc_names.h"
#include "selection.h"
#include "slots.h"
#include "slots_short.h"
#include "tap.h"

/* How many more allocations succeed; negative: all. */
static int allocations_left = -1;
static bool failed;

static bool has_memory(void) {
    if (allocations_left == 0) {
        failed = true;
        return false;
    }
    if (allocations_left > 0)
        allocations_left--;
    return true;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t number, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t number, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t size);

void *__wrap_malloc(size_t size) {
    return has_memory() ? __real_malloc(size) : NULL;
}

void *__wrap_calloc(size_t number, size_t size) {
    return has_memory() ? __real_calloc(number, size) : NULL;
}

void *__wrap_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset) {
    return has_memory() ? __real_mmap(address, size, protection, flags, fd, offset) : MAP_FAILED;
}

void *__wrap_realloc(void *old, size_t size) {
    return has_memory() ? __real_realloc(old, size) : NULL;
}

char *__wrap_strdup(const char *text) {
    return has_memory() ? __real_strdup(text) : NULL;
}

char *__wrap_strndup(const char *text, size_t size) {
    return has_memory() ? __real_strndup(text, size) : NULL;
}

/* This number of allocations succeeds; then all fail until memory_returns(). */
static void memory_ends_after(int allocations) {
    allocations_left = allocations;
    failed = false;
}

static void memory_returns(void) {
    allocations_left = -1;
}

/* ---- */

static void test_slots(void) {
    static struct pb_shared shared;
    struct slots *const unchanged = (struct slots *)&shared, *slots = unchanged;
    struct tally *const no_tally = (struct tally *)&shared, *tally = no_tally;
    int allocations = 0, error, wrong = 0;

    do {
        memory_ends_after(allocations++);
        error = slots_new(&slots, &shared, layout_of(16, 4));
        memory_returns();
        wrong += failed && (error != -ENOMEM || slots != unchanged || shared.tail != 0);
    } while (failed);
    ok(wrong == 0 && allocations > 2,
       "slots_new, whichever allocation fails: -ENOMEM, the output and the ring unchanged");
    memory_ends_after(0);
    error = tally_new(&tally, slots);
    memory_returns();
    ok(error == -ENOMEM && tally == no_tally, "tally_new: -ENOMEM, the output unchanged");
    slots_free(slots);
}

static void on_port(void *context, __u32 key, __u64 busy) {
    (void)key;
    (void)busy;
    ++*(unsigned *)context;
}

static void test_restore(void) {
    static const char *const group[] = {"group-rtp"};
    static const struct ledger_policy policy = {
        .max_ports = 2, .idle_timeout = ~0ull, .selected = 2, .groups = 1, .group = group};
    static struct pb_shared shared;
    struct slots *const unchanged = (struct slots *)&shared, *restored = unchanged, *slots;
    struct tally *const no_tally = (struct tally *)&shared, *restored_tally = no_tally, *tally;
    void *saved_slots = malloc(slots_saved_size(layout_of(16, 4)));
    void *saved_tally = malloc(tally_saved_size(layout_of(16, 4)));
    void *saved_ledger = malloc(ledger_saved_size(&policy));
    struct ledger *ledger, *empty;
    unsigned active = 0;
    int allocations = 0, error, wrong = 0;

    if (!saved_slots || !saved_tally || !saved_ledger ||
        slots_new(&slots, &shared, layout_of(16, 4)) || tally_new(&tally, slots) ||
        ledger_new(&ledger, "eth0", &policy) || ledger_new(&empty, "eth0", &policy))
        abort();
    slots_save(slots, saved_slots);
    memory_ends_after(0);
    error = slots_restore(&restored, &shared, layout_of(16, 4), saved_slots);
    memory_returns();
    ok(error == -ENOMEM && restored == unchanged, "slots_restore: -ENOMEM, the output unchanged");

    tally_save(tally, saved_tally);
    memory_ends_after(0);
    error = tally_restore(&restored_tally, slots, saved_tally);
    memory_returns();
    ok(error == -ENOMEM && restored_tally == no_tally,
       "tally_restore: -ENOMEM, the output unchanged");

    ledger_select(ledger, PB_KEY(PB_TCP, 443));
    ledger_save(ledger, saved_ledger);
    do {
        memory_ends_after(allocations++);
        error = ledger_restore(empty, saved_ledger);
        memory_returns();
        active = 0;
        ledger_for_each_port(empty, on_port, &active);
        wrong += failed && (error != -ENOMEM || active != 0);
    } while (failed);
    ok(wrong == 0 && allocations > 2 && active == 1,
       "ledger_restore, whichever allocation fails: -ENOMEM, the ledger unchanged");
    tally_free(tally);
    slots_free(slots);
    ledger_free(ledger);
    ledger_free(empty);
    free(saved_slots);
    free(saved_tally);
    free(saved_ledger);
}

static void test_selection(void) {
    static const char *const patterns[] = {"eth0", "/eth/"};
    struct selection *selection;
    char reason[64];

    memory_ends_after(0);
    selection = selection_new();
    memory_returns();
    ok(!selection, "selection_new: NULL");

    selection = selection_new();
    for (unsigned i = 0; i < 2; i++) {
        int allocations = 0, error, wrong = 0;

        do {
            memory_ends_after(allocations++);
            error = selection_add(selection, patterns[i], reason, sizeof(reason));
            memory_returns();
            wrong += failed && (error != -ENOMEM || !selection_is_empty(selection));
        } while (failed);
        ok(wrong == 0 && allocations > 2,
           "selection_add of %s, whichever allocation fails: -ENOMEM, the selection unchanged",
           patterns[i]);
        ok(error == 0 && selection_wants(selection, "eth0", NULL),
           "selection_add of %s, with memory: added", patterns[i]);
        selection_free(selection);
        selection = selection_new();
    }
    selection_free(selection);
}

static void test_config(void) {
    oconfig_value_t value = {.value.string = (char *)"/eth/", .type = OCONFIG_TYPE_STRING};
    oconfig_item_t item = {.key = (char *)"Interface", .values = &value, .values_num = 1};
    oconfig_item_t block = {.key = (char *)"Plugin", .children = &item, .children_num = 1};
    struct settings settings;
    int error;

    memory_ends_after(0);
    error = config_defaults(&settings);
    memory_returns();
    is_u64(-error, ENOMEM, "config_defaults: -ENOMEM");
    config_free(&settings);

    if (config_defaults(&settings))
        abort();
    memory_ends_after(0);
    error = config_block(&settings, &block);
    memory_returns();
    ok(error == -ENOMEM && selection_is_empty(settings.interfaces),
       "an Interface option: -ENOMEM, the selection unchanged");
    config_free(&settings);

    value = (oconfig_value_t){.value.number = 443, .type = OCONFIG_TYPE_NUMBER};
    item.key = (char *)"Port";
    if (config_defaults(&settings))
        abort();
    memory_ends_after(0);
    error = config_block(&settings, &block);
    memory_returns();
    ok(error == -ENOMEM && settings.ports_number == 0,
       "a Port option: -ENOMEM, the ports unchanged");
    config_free(&settings);
}

/* ---- the ledger: packets are counted without memory, too ---- */

static __u64 sum;
static unsigned reports;

static void on_report(void *context, const char *instance, const struct pb_counters *total) {
    (void)context;
    (void)instance;
    sum += total->rx_bytes;
    reports++;
}

static void account_ports(struct ledger *ledger, __u32 ports, __u64 *all) {
    for (__u32 port = 0; port < ports; port++) {
        struct pb_counters delta = {.rx_bytes = 1009 + port, .rx_packets = 1};

        ledger_account(ledger, PB_FIXED_SLOTS, PB_KEY(port % PB_TRANSPORTS, port), delta.rx_bytes,
                       &delta);
        *all += delta.rx_bytes;
    }
    ledger_update(ledger, 1);
}

static void report_all(struct ledger *ledger) {
    for (int reads = 0; reads < 2; reads++) {
        sum = reports = 0;
        ledger_report(ledger, on_report, NULL);
    }
}

static void test_ledger(void) {
    static const char *const group[] = {"group-rtp"};
    static const struct ledger_policy policy = {
        .min_bytes = 0, .max_ports = 1000, .idle_timeout = ~0ull, .groups = 1, .group = group};
    struct ledger *const unchanged = (struct ledger *)&sum, *ledger = unchanged;
    int allocations = 0, error, wrong = 0;

    do {
        memory_ends_after(allocations++);
        error = ledger_new(&ledger, "eth0", &policy);
        memory_returns();
        wrong += failed && (error != -ENOMEM || ledger != unchanged);
    } while (failed);
    ok(wrong == 0 && allocations > 2, "ledger_new without memory: -ENOMEM, the output unchanged");
    ledger_free(ledger);

    wrong = 0;
    allocations = 0;
    do {
        __u64 all = 0;

        if (ledger_new(&ledger, "eth0", &policy))
            abort();
        memory_ends_after(allocations++);
        account_ports(ledger, 100, &all);
        memory_returns();
        if (failed)
            account_ports(ledger, 100, &all); /* and counting continues */
        report_all(ledger);
        wrong += sum != all;
        /* The ports that were counted in other meanwhile have become series. */
        wrong += failed && reports < 100;
        ledger_free(ledger);
    } while (failed);
    ok(wrong == 0 && allocations > 4,
       "without memory for more series, ports are counted in other until there is");
}

static bool is_listening(const void *context, __u32 key) {
    (void)context;
    return key == PB_KEY(PB_TCP, 22);
}

static void test_ledger_policy(void) {
    static const char *const group[] = {"group-rtp"};
    static const struct ledger_policy policy = {
        .max_ports = 2, .idle_timeout = ~0ull, .selected = 2, .groups = 1, .group = group};
    struct pb_counters delta = {.rx_bytes = 101, .rx_packets = 1};
    struct ledger *ledger;
    bool selected, group_selected;
    unsigned active = 0;

    if (ledger_new(&ledger, "eth0", &policy))
        abort();
    ledger_set_listeners(ledger, is_listening, NULL);
    memory_ends_after(0);
    selected = ledger_select(ledger, PB_KEY(PB_TCP, 443));
    group_selected = ledger_select(ledger, PB_KEYS);
    ledger_account(ledger, PB_FIXED_SLOTS, PB_KEY(PB_TCP, 443), 101, &delta);
    ledger_account(ledger, PB_FIXED_SLOTS, PB_KEY(PB_TCP, 22), 101, &delta);
    ledger_account(ledger, PB_FIXED_SLOTS, PB_KEYS, 101, &delta);
    ledger_update(ledger, 1);
    memory_returns();
    ledger_for_each_port(ledger, on_port, &active);
    ok(!selected && active == 0,
       "without memory a port cannot be selected or become a listening series");
    ok(group_selected, "a group can");
    report_all(ledger);
    ok(sum == 303 && reports == 2, "their packets are counted in other, the group's in the group");
    ledger_account(ledger, PB_FIXED_SLOTS, PB_KEY(PB_TCP, 22), 1, &delta);
    ok(ledger_select(ledger, PB_KEY(PB_TCP, 443)), "with memory a port can be selected");
    ledger_update(ledger, 1);
    ledger_for_each_port(ledger, on_port, &active);
    ok(active == 2, "and one that listens is a series");
    ledger_free(ledger);
}

int main(void) {
    test_slots();
    test_restore();
    test_selection();
    test_config();
    test_ledger();
    test_ledger_policy();
    return tap_end();
}
