/* SPDX-License-Identifier: MIT */
#include "port_range.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const transport_names[PB_TRANSPORTS] = {"tcp", "udp", "sctp"};

/* The transport with this name of `length` bytes, in any case. PB_TRANSPORTS: none. */
static unsigned find_transport(const char *name, size_t length) {
    unsigned transport = 0;

    while (transport < PB_TRANSPORTS &&
           (strlen(transport_names[transport]) != length ||
            strncasecmp(name, transport_names[transport], length) != 0))
        transport++;
    return transport;
}

/* The decimal port number at *text, which is advanced to the first character behind it. 0: none. */
static __u32 parse_port(const char **text) {
    char *end;
    long port;

    if (!isdigit((unsigned char)**text)) /* strtol() accepts blanks and signs */
        return 0;
    port = strtol(*text, &end, 10);
    *text = end;
    return port >= 1 && port < (long)PB_PORTS ? (__u32)port : 0;
}

/* "443" or "8000-8999". */
static bool parse_numbers(struct port_range *range, const char *text) {
    range->first = range->last = parse_port(&text);
    if (range->first && *text == '-') {
        text++;
        range->last = parse_port(&text);
    }
    return !*text && range->first && range->last >= range->first;
}

/* `transport` NULL: any. */
static bool find_service(struct port_range *range, const char *name, const char *transport) {
    const struct servent *service = getservbyname(name, transport);

    if (!service)
        return false;
    range->first = range->last = ntohs((in_port_t)service->s_port);
    return true;
}

int port_range_parse(struct port_range *out, const char *text) {
    struct port_range range = {.transport = {[PB_TCP] = true, [PB_UDP] = true}};
    const char *slash = strchr(text, '/'), *transport_name = NULL;

    if (slash) {
        unsigned transport = find_transport(text, slash - text);

        if (transport == PB_TRANSPORTS)
            return -EINVAL;
        transport_name = transport_names[transport];
        for (unsigned t = 0; t < PB_TRANSPORTS; t++)
            range.transport[t] = t == transport;
        text = slash + 1;
    }
    if (isdigit((unsigned char)*text) ? !parse_numbers(&range, text)
                                      : !find_service(&range, text, transport_name))
        return -EINVAL;
    *out = range;
    return 0;
}

int port_range_from_numbers(struct port_range *out, double first, double last) {
    /* Any comparison with NaN is false. */
    if (!(first >= 1 && first <= last && last < PB_PORTS) || first != floor(first) ||
        last != floor(last))
        return -EINVAL;
    *out = (struct port_range){.first = (__u32)first,
                               .last = (__u32)last,
                               .transport = {[PB_TCP] = true, [PB_UDP] = true}};
    return 0;
}
