// SPDX-License-Identifier: MIT
/* Follows the names of members through a kernel's types. */
#include "gate/gate_offsets.h"

#include <bpf/btf.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/util.h"

/* Levels of anonymous structs and unions that are searched; the kernel has three at most. */
#define GATE_OFFSETS_DEPTH_MAX 8

/*
 * Looks for the member in the struct *type, and in the anonymous structs and unions within. Returns
 * its offset in bits, with its type in *type; or -ENOENT.
 */
static int gate_offsets_find_member(const struct btf *btf, __u32 *type, const char *name, int depth)
{
	const struct btf_type *t = btf__type_by_id(btf, *type);
	const struct btf_member *members = t && btf_is_composite(t) ? btf_members(t) : NULL;

	for (__u16 i = 0; members && depth < GATE_OFFSETS_DEPTH_MAX && i < btf_vlen(t); i++) {
		const char *found = btf__name_by_offset(btf, members[i].name_off);
		int bits = (int)btf_member_bit_offset(t, i);
		int within;

		*type = members[i].type;
		if (found && strcmp(found, name) == 0)
			return bits;
		within = found && *found ? -ENOENT
					 : gate_offsets_find_member(btf, type, name, depth + 1);
		if (within >= 0)
			return bits + within;
	}
	return -ENOENT;
}

/* path: a member, a member of that, and so on, separated by dots. */
static int gate_offsets_find_offset(const struct btf *btf, const char *name, const char *path,
				    __u32 *out)
{
	__s32 id = btf__find_by_name_kind(btf, name, BTF_KIND_STRUCT);
	int bits = 0;
	char rest[64];
	char *state = NULL;

	strncpy(rest, path, sizeof(rest) - 1);
	rest[sizeof(rest) - 1] = '\0';
	for (char *part = strtok_r(rest, ".", &state); part; part = strtok_r(NULL, ".", &state)) {
		__s32 resolved = id < 0 ? id : btf__resolve_type(btf, (__u32)id);
		__u32 type = (__u32)resolved;
		int more = resolved < 0 ? -ENOENT : gate_offsets_find_member(btf, &type, part, 0);

		if (more < 0)
			return -ENOENT;
		bits += more;
		id = (__s32)type;
	}
	*out = (__u32)bits / 8;
	return 0;
}

int gate_offsets_find(struct gate_offsets *out)
{
	const struct {
		const char *type, *path;
		__u32 *offset;
	} wanted[] = {
		{ "sk_buff", "dev", &out->sk_buff_dev },
		{ "xdp_buff", "rxq", &out->xdp_buff_rxq },
		{ "xdp_rxq_info", "dev", &out->xdp_rxq_info_dev },
		{ "net_device", "nd_net.net", &out->net_device_net },
		{ "net", "ns.inum", &out->net_inum },
		{ "tcp_sock", "rcv_nxt", &out->tcp_sock_rcv_nxt },
	};
	struct btf *btf = btf__load_vmlinux_btf();
	int r = btf ? 0 : -errno;

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(wanted); i++)
		r = gate_offsets_find_offset(btf, wanted[i].type, wanted[i].path, wanted[i].offset);
	btf__free(btf);
	return r;
}
