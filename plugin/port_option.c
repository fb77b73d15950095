/* SPDX-License-Identifier: MIT */
#include "port_option.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const transport_names[PB_TRANSPORTS] = {"tcp", "udp", "sctp"};

const char *port_transport_name(enum pb_transport transport) {
    return transport_names[transport];
}

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
static bool parse_numbers(struct port_option *option, const char *text) {
    option->first = option->last = parse_port(&text);
    if (option->first && *text == '-') {
        text++;
        option->last = parse_port(&text);
    }
    return !*text && option->first && option->last >= option->first;
}

/* `transport` NULL: any. */
static bool find_service(struct port_option *option, const char *name, const char *transport) {
    const struct servent *service = getservbyname(name, transport);

    if (!service)
        return false;
    option->first = option->last = ntohs((in_port_t)service->s_port);
    return true;
}

int port_option_parse(struct port_option *out, const char *text) {
    struct port_option option = {.transport = {[PB_TCP] = true, [PB_UDP] = true}};
    const char *slash = strchr(text, '/'), *transport_name = NULL;

    if (slash) {
        unsigned transport = find_transport(text, slash - text);

        if (transport == PB_TRANSPORTS)
            return -EINVAL;
        transport_name = transport_names[transport];
        for (unsigned t = 0; t < PB_TRANSPORTS; t++)
            option.transport[t] = t == transport;
        text = slash + 1;
    }
    if (isdigit((unsigned char)*text) ? !parse_numbers(&option, text)
                                      : !find_service(&option, text, transport_name))
        return -EINVAL;
    *out = option;
    return 0;
}

int port_option_from_numbers(struct port_option *out, double first, double last) {
    /* Any comparison with NaN is false. */
    if (!(first >= 1 && first <= last && last < PB_PORTS) || first != floor(first) ||
        last != floor(last))
        return -EINVAL;
    *out = (struct port_option){.first = (__u32)first,
                                .last = (__u32)last,
                                .transport = {[PB_TCP] = true, [PB_UDP] = true}};
    return 0;
}
