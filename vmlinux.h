/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The few kernel types that bpf/ uses, so that nothing has to be dumped from a running kernel. Most
 * of them are UAPI: their layout is fixed. The kernel's own, at the end, name only the fields that
 * are read, and libbpf looks up where the running kernel has them.
 */
#ifndef DOZE_VMLINUX_H
#define DOZE_VMLINUX_H

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef signed char __s8;
typedef short __s16;
typedef int __s32;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u64 __be64;
typedef __u32 __wsum;

typedef _Bool bool;
enum {
	false,
	true
};

/* linux/bpf.h: enum bpf_map_type */
enum bpf_map_type {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_LPM_TRIE = 11,
	BPF_MAP_TYPE_SOCKMAP = 15,
	BPF_MAP_TYPE_RINGBUF = 27,
};

enum {
	BPF_F_NO_PREALLOC = 1U << 0,
	BPF_F_MMAPABLE = 1U << 10,
};

enum xdp_action {
	XDP_DROP = 1,
	XDP_PASS = 2,
};

enum {
	TC_ACT_UNSPEC = -1,
	TC_ACT_SHOT = 2
};

/* linux/bpf.h: what bpf_fib_lookup() is asked, and answers */
struct bpf_fib_lookup {
	__u8 family;
	__u8 l4_protocol;
	__be16 sport;
	__be16 dport;
	__u16 tot_len; /* 0: not to be compared with an MTU */
	__u32 ifindex; /* where the packet has come in */
	__u32 flowinfo;
	__u32 src[4]; /* IPv4 in the first */
	__u32 dst[4];
	__u32 tbid;
	__u8 smac[6];
	__u8 dmac[6];
};
_Static_assert(sizeof(struct bpf_fib_lookup) == 64, "the kernel checks it");

enum {
	BPF_FIB_LKUP_RET_SUCCESS = 0,
	BPF_FIB_LKUP_RET_NO_NEIGH = 7,
};

struct xdp_md {
	__u32 data;
	__u32 data_end;
	__u32 data_meta;
	__u32 ingress_ifindex;
	__u32 rx_queue_index;
	__u32 egress_ifindex;
};

struct bpf_flow_keys;

/* linux/bpf.h: a socket that was looked up */
struct bpf_sock {
	__u32 bound_dev_if;
	__u32 family;
	__u32 type;
	__u32 protocol;
	__u32 mark;
	__u32 priority;
	__u32 src_ip4;
	__u32 src_ip6[4];
	__u32 src_port;
	__be16 dst_port;
	__u16 : 16;
	__u32 dst_ip4;
	__u32 dst_ip6[4];
	__u32 state;
	__s32 rx_queue_mapping;
};

/* linux/bpf.h: its length says which of the two it is */
struct bpf_sock_tuple {
	union {
		struct {
			__be32 saddr;
			__be32 daddr;
			__be16 sport;
			__be16 dport;
		} ipv4;
		struct {
			__be32 saddr[4];
			__be32 daddr[4];
			__be16 sport;
			__be16 dport;
		} ipv6;
	};
};

enum {
	BPF_F_CURRENT_NETNS = -1, /* the namespace of the packet's device */
};

/* net/tcp_states.h */
enum {
	TCP_TIME_WAIT = 6,
	TCP_CLOSE = 7,
	TCP_LAST_ACK = 9,
	TCP_LISTEN = 10,
	TCP_CLOSING = 11,
};

struct __sk_buff {
	__u32 len;
	__u32 pkt_type;
	__u32 mark;
	__u32 queue_mapping;
	__u32 protocol;
	__u32 vlan_present;
	__u32 vlan_tci;
	__u32 vlan_proto;
	__u32 priority;
	__u32 ingress_ifindex;
	__u32 ifindex;
	__u32 tc_index;
	__u32 cb[5];
	__u32 hash;
	__u32 tc_classid;
	__u32 data;
	__u32 data_end;
	__u32 napi_id;
	__u32 family;
	__u32 remote_ip4;
	__u32 local_ip4;
	__u32 remote_ip6[4];
	__u32 local_ip6[4];
	__u32 remote_port;
	__u32 local_port;
	__u32 data_meta;
	union {
		struct bpf_flow_keys *flow_keys;
		__u64 : 64;
	} __attribute__((aligned(8)));
	__u64 tstamp;
	__u32 wire_len;
	__u32 gso_segs;
	union {
		struct bpf_sock *sk;
		__u64 : 64;
	} __attribute__((aligned(8)));
	__u32 gso_size;
};

enum sk_action {
	SK_DROP = 0,
	SK_PASS,
};

struct bpf_sk_lookup {
	union {
		struct bpf_sock *sk;
		__u64 cookie;
	} __attribute__((aligned(8)));
	__u32 family;
	__u32 protocol;
	__u32 remote_ip4;    /* network order */
	__u32 remote_ip6[4]; /* network order */
	__u32 remote_port;   /* network order, in the lower half of a 4-byte load */
	__u32 local_ip4;     /* network order */
	__u32 local_ip6[4];  /* network order */
	__u32 local_port;    /* host order */
	__u32 ingress_ifindex;
};

struct bpf_sock_ops {
	__u32 op;
	__u32 args[4];
	__u32 family;
	__u32 remote_ip4; /* network order, as all addresses */
	__u32 local_ip4;
	__u32 remote_ip6[4];
	__u32 local_ip6[4];
	__u32 remote_port; /* network order, as a word */
	__u32 local_port;  /* host order */
};

/* linux/bpf.h: the TCP states, as /proc/net/tcp has them */
enum {
	BPF_TCP_ESTABLISHED = 1,
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

/* include/net/sock.h: enum sock_flags, unchanged since 2.6 */
enum {
	SOCK_KEEPOPEN = 3,
};

struct sock_common {
	volatile unsigned char skc_state;
	unsigned long skc_flags; /* bits of enum sock_flags */
	struct {
		__s64 counter;
	} skc_cookie;
};

struct inet_connection_sock {
	struct {
		__u32 lrcvtime; /* jiffies: the last payload */
	} icsk_ack;
};

struct tcp_sock {
	struct inet_connection_sock inet_conn;
	__u32 lsndtime;	       /* jiffies: data sent */
	__u32 rcv_tstamp;      /* jiffies: the last ACK */
	__u32 chrono_start;    /* jiffies: with nothing to send, since all of it was acknowledged */
	__u64 tcp_wstamp_ns;   /* the last segment sent, of any kind */
	__u64 first_tx_mstamp; /* us: when the data was sent that was acknowledged last */
	__u32 rcv_nxt;
	__u32 rcv_wup; /* rcv_nxt as the last segment sent has acknowledged it */
	__u32 snd_wl1; /* sequence number of the segment that told the window last */
};

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
};

struct bpf_iter__tcp {
	struct bpf_iter_meta *meta;
	struct sock_common *sk_common;
};

#pragma clang attribute pop

#endif
