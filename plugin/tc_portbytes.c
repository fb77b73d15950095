/* SPDX-License-Identifier: MIT */
/*
 * The collectd side of the plugin: callbacks, data set, dispatch. But for
 * log.c the only file that uses collectd's plugin API.
 *
 * collectd calls, in this order: module_register, the config callback once per block, init, read
 * once per interval, shutdown. Init and shutdown run in the main thread, read in a thread of
 * collectd's pool, never concurrently with itself. Shutdown is called after a failed init, too.
 */
#include <collectd/core/daemon/collectd.h>

#include <collectd/core/daemon/plugin.h>
#include <collectd/core/utils/common/common.h>

#include <errno.h>
#include <string.h>

#include "config.h"
#include "log.h"
#include "monitor.h"

/* Part of the names of the series, on which dashboards and databases depend. */
#define PLUGIN "tc_portbytes"
#define TYPE   "port_traffic"

static struct settings settings;
static struct monitor *monitor;

/* ---- data sets ---- */

struct type {
    const char *name;
    size_t number;
    const char *sources[4];
};

static const struct type port_traffic = {
    TYPE, 4, {"rx_bytes", "rx_packets", "tx_bytes", "tx_packets"}};
/* In types.db(5). */
static const struct type if_octets = {"if_octets", 2, {"rx", "tx"}};
static const struct type if_packets = {"if_packets", 2, {"rx", "tx"}};

/* In module_register, while collectd has one thread: its table of data sets has no lock. */
static void register_data_set(void) {
    data_source_t sources[STATIC_ARRAY_SIZE(port_traffic.sources)];
    data_set_t set = {TYPE, port_traffic.number, sources};

    for (size_t i = 0; i < port_traffic.number; i++) {
        sources[i] = (data_source_t){.type = DS_TYPE_DERIVE, .min = 0, .max = NAN};
        sstrncpy(sources[i].name, port_traffic.sources[i], sizeof(sources[i].name));
    }
    plugin_register_data_set(&set); /* copies the set */
}

/*
 * The last definition that collectd reads is the one that it has, and a TypesDB line below
 * LoadPlugin comes later than register_data_set. With other sources collectd would refuse each
 * value list with a line of its own in the log.
 */
static bool is_usable(const struct type *type) {
    const data_set_t *set = plugin_get_ds(type->name);

    if (!set || set->ds_num != type->number)
        return false;
    for (size_t i = 0; i < type->number; i++)
        if (strcmp(set->ds[i].name, type->sources[i]) != 0 ||
            (set->ds[i].type != DS_TYPE_DERIVE && set->ds[i].type != DS_TYPE_COUNTER))
            return false;
    return true;
}

static bool has_types(void) {
    if (settings.standard_types) {
        if (is_usable(&if_octets) && is_usable(&if_packets))
            return true;
        pb_log(LOG_ERR, "nothing is counted: StandardTypes needs if_octets and if_packets as in "
                        "collectd's types.db; add a TypesDB line with that file.");
        return false;
    }
    if (is_usable(&port_traffic))
        return true;
    pb_log(LOG_ERR,
           "nothing is counted: a file that TypesDB names has another " TYPE "; remove that, or "
           "make it as in tc_portbytes.db, or set StandardTypes true.");
    return false;
}

/* ---- callbacks ---- */

static void dispatch_as(value_list_t *list, const char *type, value_t *values, size_t number) {
    sstrncpy(list->type, type, sizeof(list->type));
    list->values = values;
    list->values_len = number;
    plugin_dispatch_values(list); /* copies the list */
}

static void dispatch(void *context, const char *interface, const char *instance,
                     const struct pb_counters *total) {
    value_t octets[] = {{.derive = (derive_t)total->rx_bytes},
                        {.derive = (derive_t)total->tx_bytes}};
    value_t packets[] = {{.derive = (derive_t)total->rx_packets},
                         {.derive = (derive_t)total->tx_packets}};
    value_t all[] = {octets[0], packets[0], octets[1], packets[1]};
    value_list_t list = VALUE_LIST_INIT;

    list.time = *(const cdtime_t *)context;
    sstrncpy(list.plugin, PLUGIN, sizeof(list.plugin));
    sstrncpy(list.plugin_instance, interface, sizeof(list.plugin_instance));
    sstrncpy(list.type_instance, instance, sizeof(list.type_instance));
    if (settings.standard_types) { /* both are in types.db(5), with the data sources rx, tx */
        dispatch_as(&list, "if_octets", octets, STATIC_ARRAY_SIZE(octets));
        dispatch_as(&list, "if_packets", packets, STATIC_ARRAY_SIZE(packets));
    } else {
        dispatch_as(&list, TYPE, all, STATIC_ARRAY_SIZE(all));
    }
}

static const char *main_type(void) {
    return settings.standard_types ? "if_octets" : TYPE;
}

static void notify(const char *interface, const char *instance, const char *message) {
    notification_t notification = {.severity = NOTIF_OKAY, .time = cdtime()};

    sstrncpy(notification.host, hostname_g, sizeof(notification.host));
    sstrncpy(notification.plugin, PLUGIN, sizeof(notification.plugin));
    sstrncpy(notification.plugin_instance, interface, sizeof(notification.plugin_instance));
    sstrncpy(notification.type, main_type(), sizeof(notification.type));
    sstrncpy(notification.type_instance, instance, sizeof(notification.type_instance));
    sstrncpy(notification.message, message, sizeof(notification.message));
    plugin_dispatch_notification(&notification);
}

/*
 * After the read, as collectd calls whoever is notified in this thread: one that sends mail may
 * take seconds, in which links can still be attached.
 */
static void notify_new_ports(void) {
    char message[NEW_PORT_MESSAGE];
    struct new_ports found;

    monitor_new_ports(monitor, &found);
    for (unsigned i = 0; i < found.number; i++) {
        new_port_message(message, &found.port[i]);
        notify(found.port[i].interface, found.port[i].instance, message);
    }
    if (found.left_out) {
        snprintf(message, sizeof(message), "%u more ports became series in this read",
                 found.left_out);
        notify("", "", message);
    }
}

static int on_config(oconfig_item_t *block) {
    return config_block(&settings, block);
}

/* If init fails, collectd unregisters the read callback of the same name. */
static int on_init(void) {
    if (!has_types())
        return -EINVAL;
    return monitor_start(&monitor, &settings, plugin_thread_create);
}

static int on_read(void) {
    cdtime_t now = cdtime(); /* all series of a read have the same time */

    if (!monitor) /* collectd -T reads once, although init failed */
        return -1;
    monitor_read(monitor, CDTIME_T_TO_NS(plugin_get_interval()), dispatch, &now);
    if (settings.notify_new_ports)
        notify_new_ports();
    return 0;
}

static int on_shutdown(void) {
    monitor_stop(monitor);
    monitor = NULL;
    config_free(&settings);
    return 0;
}

void module_register(void) {
    if (config_defaults(&settings)) {
        ERROR(PLUGIN " plugin: out of memory.");
        return;
    }
    register_data_set();
    plugin_register_complex_config(PLUGIN, on_config);
    plugin_register_init(PLUGIN, on_init);
    plugin_register_read(PLUGIN, on_read);
    plugin_register_shutdown(PLUGIN, on_shutdown);
}
