// SPDX-License-Identifier: MIT
/* Which container we are in, by what the kubelet has mounted into it. */
#include <string.h>

#include "base/util.h"
#include "lib/test.h"
#include "pod/own_container.h"

#define ROOT_MOUNT "1234 1100 0:300 / / rw,relatime - overlay overlay rw,lowerdir=/var/lib/x\n"
#define HOSTS                                                                                      \
	"1250 1234 259:1 /var/lib/kubelet/pods/0a1b/etc-hosts /etc/hosts rw - ext4 /dev/vda1 rw\n"
#define LOG(path) "1251 1234 259:1 " path " /dev/termination-log rw,relatime - ext4 /dev/vda1 rw\n"

TEST(the_container_is_known_by_the_file_of_its_termination_message)
{
	static const struct {
		const char *mounts, *name;
	} rows[] = {
		{ ROOT_MOUNT HOSTS LOG("/var/lib/kubelet/pods/0a1b/containers/sleeper/1f2e3d4c"),
		  "sleeper" },
		{ LOG("/kubelet/pods/0a1b/containers/doze/1f2e3d4c"),
		  "doze" }, /* a disk of its own */
		{ ROOT_MOUNT HOSTS, "" },
		{ ROOT_MOUNT, "" }, /* no pod at all */
		{ "", "" },
		{ "1251", "" },
		{ LOG("/var/lib/kubelet/pods/0a1b/containers/"), "" },
		{ LOG("/var/lib/kubelet/pods/0a1b/containers/name"), "" },
		{ LOG("/srv/containers/web/data"), "" }, /* not the kubelet's */
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char name[OWN_CONTAINER_NAME_MAX];

		print_message("row %zu\n", i);
		assert_int_equal(own_container_find(rows[i].mounts, name), *rows[i].name != '\0');
		assert_string_equal(name, rows[i].name);
	}
}
