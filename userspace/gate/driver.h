/* SPDX-License-Identifier: MIT */
/* What kind of interface it is: its driver and its link type. In the current network namespace. */
#ifndef DOZE_DRIVER_H
#define DOZE_DRIVER_H

#include <stdbool.h>
#include <stdint.h>

#define DRIVER_NAME_MAX	   32
#define DRIVER_ADDRESS_LEN 6

/* As `ethtool -i` shows it; empty where there is none (lo). */
void driver_name(char out[DRIVER_NAME_MAX], const char *interface);

/*
 * A network card whose driver runs XDP before it builds an skb, and pays for it with nothing.
 * veth and virtio_net do not count: with native XDP they lose offloads worth more than that.
 */
bool driver_has_fast_xdp(const char *driver);

/* ARPHRD_* of <net/if_arp.h>; -errno. */
int driver_link_type(const char *interface);

/*
 * The first bytes of its address, whatever that is: of an IP tunnel, the IP address of this end;
 * zeros where it has none. -errno, and zeros.
 */
int driver_address(uint8_t out[DRIVER_ADDRESS_LEN], const char *interface);

#endif
