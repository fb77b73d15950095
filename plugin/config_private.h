/* SPDX-License-Identifier: MIT */
/* What config.c and config_ports.c share; no other file includes it. */
#ifndef PB_CONFIG_PRIVATE_H
#define PB_CONFIG_PRIVATE_H

#include "config.h"

/* The options Port and <Group>. As config_block, but an option that is refused changes nothing. */
int on_port(struct settings *settings, const struct oconfig_item_s *item);
int on_group(struct settings *settings, const struct oconfig_item_s *item);

#endif
