/* SPDX-License-Identifier: MIT */
/*
 * Without memory: each allocation fails in turn, and nothing is lost, leaked or
 * half done. Run it under the leak sanitizer too.
 *
 * Links: plugin/slots.c, plugin/ledger.c, plugin/selection.c, plugin/config.c.
 * LDFLAGS: -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=mmap,--wrap=strdup,--wrap=strndup
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <collectd/liboconfig/oconfig.h>

#include "capture.h"
#include "config.h"
#include "ledger.h"
#include "selection.h"
#include "slots.h"
#include "tap.h"

/* How many allocations from now on succeed; negative: all. */
static int left = -1;
static bool failed;

static bool has_memory(void) {
    if (left == 0) {
        failed = true;
        return false;
    }
    if (left > 0)
        left--;
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

/* Only so many allocations succeed until memory_is_back. */
static void memory_for(int allocations) {
    left = allocations;
    failed = false;
}

static void memory_is_back(void) {
    left = -1;
}

/* ---- */

static void test_slots(void) {
    static struct pb_shared shared;
    struct slots *const untouched = (struct slots *)&shared, *slots = untouched;
    int error;

    memory_for(0);
    error = slots_new(&slots, &shared, 16, 4);
    memory_is_back();
    ok(error == -ENOMEM && slots == untouched, "no slots: -ENOMEM, the output untouched");
    is_u64(shared.tail, 0, "and nothing on the ring");
}

static void test_selection(void) {
    static const char *const patterns[] = {"eth0", "/eth/"};
    struct selection *selection;
    char reason[64];

    memory_for(0);
    selection = selection_new();
    memory_is_back();
    ok(!selection, "no selection: NULL");

    selection = selection_new();
    for (unsigned i = 0; i < 2; i++) {
        int allocations = 0, error, wrong = 0;

        do {
            memory_for(allocations++);
            error = selection_add(selection, patterns[i], reason, sizeof(reason));
            memory_is_back();
            wrong += failed && (error != -ENOMEM || !selection_is_empty(selection));
        } while (failed);
        ok(wrong == 0 && allocations > 2, "%s, at whichever allocation: -ENOMEM and no trace",
           patterns[i]);
        ok(error == 0 && selection_wants(selection, "eth0"), "%s, with memory: taken", patterns[i]);
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

    memory_for(0);
    error = config_defaults(&settings);
    memory_is_back();
    is_u64(-error, ENOMEM, "no settings: -ENOMEM");
    config_free(&settings);

    if (config_defaults(&settings))
        abort();
    memory_for(0);
    error = config_block(&settings, &block);
    memory_is_back();
    ok(error == -ENOMEM && selection_is_empty(settings.interfaces), "an Interface: -ENOMEM");
    config_free(&settings);

    value = (oconfig_value_t){.value.number = 443, .type = OCONFIG_TYPE_NUMBER};
    item.key = (char *)"Port";
    if (config_defaults(&settings))
        abort();
    memory_for(0);
    error = config_block(&settings, &block);
    memory_is_back();
    ok(error == -ENOMEM && settings.ports_number == 0, "a Port: -ENOMEM");
    config_free(&settings);
}

/* ---- the ledger: packets are counted, memory or not ---- */

static __u64 sum;
static unsigned words;

static void on_say(void *context, const char *instance, const struct pb_counters *total) {
    (void)context;
    (void)instance;
    sum += total->rx_bytes;
    words++;
}

static void book_ports(struct ledger *ledger, __u32 ports, __u64 *all) {
    for (__u32 port = 0; port < ports; port++) {
        struct pb_counters delta = {.rx_bytes = 1009 + port, .rx_packets = 1};

        ledger_account(ledger, PB_FIXED_SLOTS, PB_KEY(port % PB_TRANSPORTS, port), delta.rx_bytes,
                       &delta);
        *all += delta.rx_bytes;
    }
    ledger_update(ledger, 1);
}

static void say_all(struct ledger *ledger) {
    for (int reads = 0; reads < 2; reads++) {
        sum = words = 0;
        ledger_report(ledger, on_say, NULL);
    }
}

static void test_ledger(void) {
    static const struct ledger_policy policy = {
        .min_bytes = 0, .max_series = 1000, .idle_timeout = ~0ull};
    struct ledger *const untouched = (struct ledger *)&sum, *ledger = untouched;
    int allocations = 0, error, wrong = 0;

    do {
        memory_for(allocations++);
        error = ledger_new(&ledger, "eth0", &policy);
        memory_is_back();
        wrong += failed && (error != -ENOMEM || ledger != untouched);
    } while (failed);
    ok(wrong == 0 && allocations > 2,
       "no ledger, at whichever allocation: -ENOMEM, the output untouched");
    ledger_free(ledger);

    wrong = 0;
    allocations = 0;
    do {
        __u64 all = 0;

        if (ledger_new(&ledger, "eth0", &policy))
            abort();
        memory_for(allocations++);
        book_ports(ledger, 100, &all);
        memory_is_back();
        if (failed)
            book_ports(ledger, 100, &all); /* and life goes on */
        say_all(ledger);
        wrong += sum != all;
        /* Once more, so that those count that could not be before. */
        wrong += failed && words < 100;
        ledger_free(ledger);
    } while (failed);
    ok(wrong == 0 && allocations > 4,
       "ports that find no memory are counted in other until there is some again");
}

static void test_ledger_policy(void) {
    static const struct ledger_policy policy = {.max_series = 2, .idle_timeout = ~0ull};
    struct pb_counters delta = {.rx_bytes = 101, .rx_packets = 1};
    struct ledger *ledger;
    bool selected, listens;

    if (ledger_new(&ledger, "eth0", &policy))
        abort();
    memory_for(0);
    selected = ledger_select(ledger, PB_KEY(PB_TCP, 443));
    listens = ledger_listening(ledger, PB_KEY(PB_TCP, 22), 1);
    ledger_account(ledger, PB_FIXED_SLOTS, PB_KEY(PB_TCP, 443), 101, &delta);
    memory_is_back();
    ok(!selected && !listens, "a selected or listening port that finds no memory is refused");
    ledger_update(ledger, 1);
    say_all(ledger);
    ok(sum == 101 && words == 1, "its packets are in other");
    ok(ledger_select(ledger, PB_KEY(PB_TCP, 443)) &&
           ledger_listening(ledger, PB_KEY(PB_TCP, 22), 2) &&
           ledger_listening(ledger, PB_KEY(PB_TCP, 23), 2),
       "when there is memory again it is taken, and the limit has not moved");
    ledger_free(ledger);
}

int main(void) {
    test_slots();
    test_selection();
    test_config();
    test_ledger();
    test_ledger_policy();
    return tap_end();
}
