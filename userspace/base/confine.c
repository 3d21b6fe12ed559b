// SPDX-License-Identifier: MIT
/* Tables of what is allowed, libseccomp, and libcap. */
#include "base/confine.h"

#include <errno.h>
#include <linux/bpf.h>
#include <linux/sockios.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/log.h"
#include "base/util.h"

#define CONFINE_CALLS_MAX 1024 /* numbers of system calls are below */

/* Newer libbpf asks whether it is there; older headers do not have it. */
#define CONFINE_BPF_TOKEN_CREATE 36

#define CONFINE_WORKERS (CONFINE_SUPERVISOR | CONFINE_DAEMON | CONFINE_RUN)
#define CONFINE_PARENTS (CONFINE_SUPERVISOR | CONFINE_RUN)
#define CONFINE_ANY	(CONFINE_WORKERS | CONFINE_WATCHDOG)
#define CONFINE_SETTLED (CONFINE_ANY & ~CONFINE_SUPERVISOR)

/* clang-format off */

/* Calls with whatever arguments. A name that means nothing on this architecture is left out. */
static const struct confine_set {
	unsigned int who;
	const char *calls;
} confine_sets[] = {
	/* What the C library does by itself, of several versions: memory, threads, signals, time. */
	{ CONFINE_ANY,
	  "brk munmap mremap madvise mlock munlock mincore msync membarrier "
	  "futex futex_time64 futex_waitv set_robust_list get_robust_list set_tid_address rseq "
	  "rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigtimedwait sigaltstack "
	  "restart_syscall sigreturn tgkill exit exit_group sched_yield sched_getaffinity getcpu "
	  "clock_gettime clock_gettime64 clock_getres clock_getres_time64 clock_nanosleep "
	  "clock_nanosleep_time64 nanosleep gettimeofday time times getrandom uname sysinfo "
	  "getpid gettid getppid getpgrp getpgid getsid getuid geteuid getgid getegid getresuid "
	  "getresgid getgroups getrusage arch_prctl prctl capget capset seccomp "
	  "getrlimit setrlimit prlimit64" },
	/* Files. What may be opened the owner, the mounts and the capabilities say. */
	{ CONFINE_ANY,
	  "open openat openat2 close close_range read readv pread64 preadv write writev pwrite64 "
	  "pwritev lseek _llseek fcntl fcntl64 dup dup2 dup3 stat stat64 lstat lstat64 fstat fstat64 "
	  "newfstatat fstatat64 statx statfs statfs64 fstatfs fstatfs64 access faccessat faccessat2 "
	  "readlink readlinkat getdents getdents64 getcwd mkdir mkdirat rmdir unlink unlinkat "
	  "rename renameat renameat2 fadvise64" },
	{ CONFINE_WORKERS,
	  "link linkat symlink symlinkat chmod fchmod fchmodat fchmodat2 umask fsync fdatasync "
	  "ftruncate flock memfd_create pipe pipe2" },
	/* To wait, and to speak through sockets that are open. */
	{ CONFINE_ANY,
	  "poll ppoll ppoll_time64 select _newselect pselect6 pselect6_time64 recvfrom recvmsg "
	  "sendto sendmsg shutdown" },
	{ CONFINE_WORKERS,
	  "epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 eventfd eventfd2 "
	  "timerfd_create timerfd_settime timerfd_gettime signalfd signalfd4 "
	  "socketpair bind connect listen accept accept4 getsockname getpeername getsockopt "
	  "setsockopt recvmmsg recvmmsg_time64 sendmmsg sendmmsg_time64" },
	/* Children: the daemon of a supervisor, another watchdog; the command, which gets signals. */
	{ CONFINE_PARENTS, "wait4 waitid kill setsid" },
	{ CONFINE_RUN, "pidfd_open pidfd_send_signal" },
	/* The kubelet's cgroup, and when it ends: pod/kubelet.h. */
	{ CONFINE_SUPERVISOR | CONFINE_DAEMON, "inotify_init1 inotify_add_watch pidfd_open" },
	/* While a daemon starts, OpenSSL may load a library, as its configuration says. */
	{ CONFINE_SUPERVISOR, "mmap mmap2 mprotect" },
};

#define EXACTLY UINT32_MAX /* the kernel takes these for int: what is above does not count */
#define NEW_NAMESPACES \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | \
	 CLONE_NEWNET)

/* Calls with some arguments alone: one of the rows has to hold. */
static const struct confine_case {
	unsigned int who;
	unsigned int argument; /* counted from 0 */
	const char *call;
	uint64_t mask, value; /* argument & mask == value */
} confine_cases[] = {
	/* No memory that code of somebody else could be written into, or be mapped from a file. */
	{ CONFINE_SETTLED, 2, "mmap", PROT_EXEC, 0 },
	{ CONFINE_SETTLED, 2, "mmap2", PROT_EXEC, 0 },
	{ CONFINE_SETTLED, 2, "mprotect", PROT_EXEC, 0 },
	/* A thread (libcurl looks up names in one), or a child; no namespaces. */
	{ CONFINE_PARENTS, 0, "clone", NEW_NAMESPACES, 0 },
	{ CONFINE_DAEMON, 0, "clone", NEW_NAMESPACES | CLONE_THREAD, CLONE_THREAD },
	/* The network namespace of a pod, and no other kind. */
	{ CONFINE_WORKERS, 1, "setns", EXACTLY, CLONE_NEWNET },
	{ CONFINE_WORKERS, 0, "socket", EXACTLY, AF_UNIX },
	{ CONFINE_WORKERS, 0, "socket", EXACTLY, AF_INET },
	{ CONFINE_WORKERS, 0, "socket", EXACTLY, AF_INET6 },
	{ CONFINE_WORKERS, 0, "socket", EXACTLY, AF_NETLINK },
	/* What drivers and terminals can do is left out, such as TIOCSTI. */
	{ CONFINE_WORKERS, 1, "ioctl", EXACTLY, SIOCETHTOOL },
	{ CONFINE_WORKERS, 1, "ioctl", EXACTLY, SIOCGIFHWADDR },
	{ CONFINE_WORKERS, 1, "ioctl", EXACTLY, SIOCGIFINDEX },
	{ CONFINE_WORKERS, 1, "ioctl", EXACTLY, SIOCGIFNAME },
	{ CONFINE_WORKERS, 1, "ioctl", EXACTLY, FIONBIO },
	{ CONFINE_WORKERS, 1, "ioctl", EXACTLY, FIONREAD },
	{ CONFINE_ANY, 1, "ioctl", EXACTLY, TCGETS },
	/*
	 * Gates come and go with pods and interfaces. Objects of other programs, which have ids and
	 * paths (BPF_PROG_GET_FD_BY_ID, BPF_OBJ_GET), are out of reach, and nothing of ours is left behind
	 * (BPF_OBJ_PIN, BPF_PROG_ATTACH).
	 */
	{ CONFINE_WORKERS, 0, "bpf", EXACTLY, BPF_MAP_CREATE },
	{ CONFINE_WORKERS, 0, "bpf", EXACTLY, BPF_MAP_LOOKUP_ELEM },
	{ CONFINE_WORKERS, 0, "bpf", EXACTLY, BPF_MAP_UPDATE_ELEM },
	{ CONFINE_WORKERS, 0, "bpf", EXACTLY, BPF_MAP_DELETE_ELEM },
	{ CONFINE_WORKERS, 0, "bpf", EXACTLY, BPF_MAP_GET_NEXT_KEY },
	{ CONFINE_WORKERS, 0, "bpf", EXACTLY, BPF_MAP_LOOKUP_AND_DELETE_ELEM },
	{ CONFINE_WORKERS, 0, "bpf", EXACTLY, BPF_MAP_FREEZE },
	{ CONFINE_WORKERS, 0, "bpf", EXACTLY, BPF_PROG_LOAD },
	{ CONFINE_WORKERS, 0, "bpf", EXACTLY, BPF_PROG_TEST_RUN },
	{ CONFINE_WORKERS, 0, "bpf", EXACTLY, BPF_PROG_BIND_MAP },
	{ CONFINE_WORKERS, 0, "bpf", EXACTLY, BPF_PROG_QUERY },
	{ CONFINE_WORKERS, 0, "bpf", EXACTLY, BPF_OBJ_GET_INFO_BY_FD },
	{ CONFINE_WORKERS, 0, "bpf", EXACTLY, BPF_BTF_LOAD },
	{ CONFINE_WORKERS, 0, "bpf", EXACTLY, BPF_LINK_CREATE },
	{ CONFINE_WORKERS, 0, "bpf", EXACTLY, BPF_LINK_UPDATE },
	{ CONFINE_WORKERS, 0, "bpf", EXACTLY, BPF_LINK_DETACH },
	{ CONFINE_WORKERS, 0, "bpf", EXACTLY, BPF_ITER_CREATE },
	{ CONFINE_WORKERS, 0, "bpf", EXACTLY, CONFINE_BPF_TOKEN_CREATE },
};
/* clang-format on */

static bool confine_is_off;
static volatile uint64_t confine_count;

/* By its number; those that are allowed with some arguments are 'partly'. */
static struct {
	bool is_partly, is_told;
} confine_known[CONFINE_CALLS_MAX];

/* --- what is refused --- */

static void confine_tell(int call)
{
	char *name;

	if (confine_known[call].is_told)
		return;
	confine_known[call].is_told = true;
	name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, call);
	log_warn("a system call is refused: doze should not need it; --seccomp=off allows all",
		 "call=%s number=%d", name ? name : "unknown", call);
	free(name);
}

static void confine_set_result(ucontext_t *context, long result)
{
#if defined(__x86_64__)
	context->uc_mcontext.gregs[REG_RAX] = result;
#elif defined(__aarch64__)
	context->uc_mcontext.regs[0] = (unsigned long)result;
#else
	(void)context; /* confine_default() does not lead here */
	(void)result;
#endif
}

/*
 * The signal is raised by a system call of this thread, and the log's own are allowed. So it never
 * comes while a lock of the log or of the C library's memory is held.
 */
static void confine_on_refused(int signal, siginfo_t *info, void *context)
{
	int saved = errno, call = info->si_syscall;
	bool is_known = call >= 0 && call < CONFINE_CALLS_MAX;

	(void)signal;
	__atomic_add_fetch(&confine_count, 1, __ATOMIC_RELAXED);
	if (is_known && gettid() == getpid()) /* the log is for one thread */
		confine_tell(call);
	confine_set_result(context, is_known && confine_known[call].is_partly ? -EPERM : -ENOSYS);
	errno = saved;
}

uint64_t confine_refused(void)
{
	return __atomic_load_n(&confine_count, __ATOMIC_RELAXED);
}

/* --- the filter --- */

static uint32_t confine_default(void)
{
#if defined(__x86_64__) || defined(__aarch64__)
	return SCMP_ACT_TRAP;
#else
	return SCMP_ACT_ERRNO(ENOSYS);
#endif
}

/* 0 also for a name that means nothing here. */
static int confine_allow(scmp_filter_ctx filter, const char *name, const struct confine_case *only)
{
	int call = seccomp_syscall_resolve_name(name), r;

	if (call < 0)
		return 0;
	if (!only)
		return seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0);
	r = seccomp_rule_add(
		filter, SCMP_ACT_ALLOW, call, 1,
		SCMP_CMP64(only->argument, SCMP_CMP_MASKED_EQ, only->mask, only->value));
	if (call < CONFINE_CALLS_MAX)
		confine_known[call].is_partly = true;
	return r;
}

static int confine_allow_set(scmp_filter_ctx filter, const char *calls)
{
	char name[32];
	int r = 0;

	while (r == 0 && *calls) {
		size_t len = strcspn(calls, " ");

		snprintf(name, sizeof(name), "%.*s", (int)len, calls);
		r = confine_allow(filter, name, NULL);
		calls += len + (calls[len] == ' ');
	}
	return r;
}

static int confine_refuse_flags(scmp_filter_ctx filter, uint64_t mask, uint64_t value)
{
	return seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
				SCMP_CMP64(0, SCMP_CMP_MASKED_EQ, mask, value));
}

/*
 * The C library blocks all signals around clone(2), and a trap whose signal is blocked kills. So
 * this call is refused without a trap, and not logged.
 */
static int confine_refuse_clone(scmp_filter_ctx filter, enum confine_who who)
{
	int r = 0;

	if (who == CONFINE_WATCHDOG)
		return seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 0);
	for (uint64_t bit = 1; r == 0 && bit <= CLONE_NEWNET; bit <<= 1) {
		if (bit & NEW_NAMESPACES)
			r = confine_refuse_flags(filter, bit, bit);
	}
	if (r == 0 && who == CONFINE_DAEMON)
		r = confine_refuse_flags(filter, CLONE_THREAD, 0);
	return r;
}

static int confine_fill(scmp_filter_ctx filter, enum confine_who who)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(confine_sets); i++) {
		if (confine_sets[i].who & who)
			r = confine_allow_set(filter, confine_sets[i].calls);
	}
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(confine_cases); i++) {
		if (confine_cases[i].who & who)
			r = confine_allow(filter, confine_cases[i].call, &confine_cases[i]);
	}
	if (r == 0)
		r = confine_refuse_clone(filter, who);
	/* Its flags are in memory, where no filter sees them: the C library then takes clone(2). */
	if (r == 0)
		r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	return r;
}

static void confine_freep(scmp_filter_ctx *filter)
{
	if (*filter)
		seccomp_release(*filter);
}

static int confine_load(enum confine_who who)
{
	_cleanup_(confine_freep) scmp_filter_ctx filter = seccomp_init(confine_default());
	int r;

	if (!filter)
		return -ENOMEM;
	/* No 32-bit and no x32 call is ours. */
	seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	/* Our own code alone runs here: the kernel need not make it slower against itself. */
	seccomp_attr_set(filter, SCMP_FLTATR_CTL_SSB, 1);
	/* A search of some steps instead of a walk along the list. */
	seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	r = confine_fill(filter, who);
	return r < 0 ? r : seccomp_load(filter);
}

void confine_calls(enum confine_who who)
{
	const struct sigaction action = {
		.sa_sigaction = confine_on_refused,
		.sa_flags = SA_SIGINFO | SA_NODEFER | SA_RESTART,
	};
	int r;

	if (confine_is_off)
		return;
	sigaction(SIGSYS, &action, NULL);
	r = confine_load(who);
	if (r < 0)
		log_warn_err(r, "no seccomp filter here: every system call stays allowed");
}

void confine_set_off(void)
{
	confine_is_off = true;
}

/* --- capabilities --- */

static bool confine_is_kept(cap_value_t value, const int *kept, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (kept[i] == value)
			return true;
	}
	return false;
}

static int confine_copy_flag(cap_t to, cap_t from, cap_value_t value, cap_flag_t flag)
{
	cap_flag_value_t is_set = CAP_CLEAR;

	if (cap_get_flag(from, value, flag, &is_set) < 0 || is_set == CAP_CLEAR)
		return 0;
	return cap_set_flag(to, flag, 1, &value, CAP_SET);
}

/* Inheritable ones stay out, and with them the ambient ones. */
static int confine_set_capabilities(cap_t now, cap_t then, const int *kept, size_t len)
{
	for (cap_value_t value = 0; value < cap_max_bits(); value++) {
		if (!confine_is_kept(value, kept, len)) {
			cap_drop_bound(value); /* needs CAP_SETPCAP, which containers seldom have */
			continue;
		}
		if (confine_copy_flag(then, now, value, CAP_PERMITTED) < 0 ||
		    confine_copy_flag(then, now, value, CAP_EFFECTIVE) < 0)
			return -errno;
	}
	return cap_set_proc(then) < 0 ? -errno : 0;
}

void confine_capabilities(const int *kept, size_t len)
{
	cap_t now = cap_get_proc(), then = cap_init();
	int r = now && then ? confine_set_capabilities(now, then, kept, len) : -ENOMEM;

	if (r < 0)
		log_warn_err(r, "capabilities that doze does not need stay");
	cap_free(now);
	cap_free(then);
}
