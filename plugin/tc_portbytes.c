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

#include "config.h"
#include "monitor.h"

/* Part of the names of the series, on which dashboards and databases depend. */
#define PLUGIN "tc_portbytes"
#define TYPE   "port_traffic"

static struct settings settings;
static struct monitor *monitor;

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

static int on_config(oconfig_item_t *block) {
    return config_block(&settings, block);
}

/* If init fails, collectd unregisters the read callback of the same name. */
static int on_init(void) {
    return monitor_start(&monitor, &settings, plugin_thread_create);
}

static int on_read(void) {
    cdtime_t now = cdtime(); /* all series of a read have the same time */

    if (!monitor) /* collectd -T reads once, although init failed */
        return -1;
    monitor_read(monitor, CDTIME_T_TO_NS(plugin_get_interval()), dispatch, &now);
    return 0;
}

static int on_shutdown(void) {
    monitor_stop(monitor);
    monitor = NULL;
    config_free(&settings);
    return 0;
}

/* In module_register, while collectd has one thread: its table of data sets has no lock. */
static void register_data_set(void) {
    data_source_t sources[] = {
        {"rx_bytes", DS_TYPE_DERIVE, 0, NAN},
        {"rx_packets", DS_TYPE_DERIVE, 0, NAN},
        {"tx_bytes", DS_TYPE_DERIVE, 0, NAN},
        {"tx_packets", DS_TYPE_DERIVE, 0, NAN},
    };
    data_set_t set = {TYPE, STATIC_ARRAY_SIZE(sources), sources};

    plugin_register_data_set(&set); /* copies the set */
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
