/* SPDX-License-Identifier: MIT */
/* The driver, link type and address of an interface of the current network namespace. */
#ifndef DOZE_DRIVER_H
#define DOZE_DRIVER_H

#include <stdbool.h>
#include <stdint.h>

#define DRIVER_NAME_MAX	   32
#define DRIVER_ADDRESS_LEN 6

/* The driver's name, as `ethtool -i` shows it; empty where there is no driver, as for lo. */
void driver_name(char out[DRIVER_NAME_MAX], const char *interface);

/*
 * Whether the driver runs XDP before it builds an skb, and loses nothing by it. veth and virtio_net
 * do not count: with native XDP they lose offloads that are worth more.
 */
bool driver_has_fast_xdp(const char *driver);

/* ARPHRD_* of <net/if_arp.h>; -errno. */
int driver_link_type(const char *interface);

/*
 * The first bytes of its link address; of an IP tunnel that is the IP address of this end. Zeros if
 * it has none, or if it cannot be read: -errno.
 */
int driver_address(uint8_t out[DRIVER_ADDRESS_LEN], const char *interface);

#endif
