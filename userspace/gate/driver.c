// SPDX-License-Identifier: MIT
/* netdevice(7) ioctls, and a table of drivers. */
#include "gate/driver.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/util.h"

static int driver_ioctl(const char *interface, unsigned long request, struct ifreq *ifr)
{
	_cleanup_(closep) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	snprintf(ifr->ifr_name, sizeof(ifr->ifr_name), "%s", interface);
	return ioctl(fd, request, ifr) < 0 ? -errno : 0;
}

void driver_name(char out[DRIVER_NAME_MAX], const char *interface)
{
	struct ethtool_drvinfo info = { .cmd = ETHTOOL_GDRVINFO };
	struct ifreq ifr = { .ifr_data = (char *)&info };

	out[0] = '\0';
	if (driver_ioctl(interface, SIOCETHTOOL, &ifr) == 0)
		snprintf(out, DRIVER_NAME_MAX, "%s", info.driver);
}

int driver_link_type(const char *interface)
{
	struct ifreq ifr = { 0 };
	int r = driver_ioctl(interface, SIOCGIFHWADDR, &ifr);

	return r < 0 ? r : ifr.ifr_hwaddr.sa_family;
}

int driver_address(uint8_t out[DRIVER_ADDRESS_LEN], const char *interface)
{
	struct ifreq ifr = { 0 };
	int r = driver_ioctl(interface, SIOCGIFHWADDR, &ifr);

	memcpy(out, ifr.ifr_hwaddr.sa_data, DRIVER_ADDRESS_LEN);
	return r;
}

bool driver_has_fast_xdp(const char *driver)
{
	static const char *const drivers[] = {
		"bnxt_en", "i40e",    "ice",	   "igb", "igc",  "ixgbe",
		"ixgbevf", "mlx4_en", "mlx5_core", "nfp", "qede", "sfc",
	};

	for (size_t i = 0; i < ARRAY_LEN(drivers); i++) {
		if (strcmp(drivers[i], driver) == 0)
			return true;
	}
	return false;
}
