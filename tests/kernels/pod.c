// SPDX-License-Identifier: MIT
/*
 * A pod's cgroups in cgroup v2, on whatever kernel this is: found, throttled, frozen, reclaimed and
 * given back, by the code that doze node uses. Writes "ok NAME" and "not ok NAME", as guest.sh.
 *
 *	usage: pod MEMORY.RECLAIM	yes or no: whether this kernel has it
 */
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend/backend_pod.h"
#include "base/file.h"
#include "base/log.h"
#include "base/util.h"
#include "cgroup/cgroup_mounts.h"
#include "cgroup/pod_cgroups.h"

#define ROOT	     "/sys/fs/cgroup"
#define ID	     "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define POD	     ROOT "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podu1.slice"
#define CONTAINER    POD "/cri-containerd-" ID ".scope"
#define STATE	     "/tmp/u1.quota"
#define MEMORY_BYTES (64UL << 20)
#define LIMIT_S	     60

static struct {
	struct event_base *base;
	struct backend_pod *backend;
	pid_t application;
	int result; /* of the last resize; 1: it is under way */
} rig;

static void claim(bool is_so, const char *name)
{
	printf("%s pod: %s\n", is_so ? "ok" : "not ok", name);
	fflush(stdout);
}

static bool has(const char *path, const char *text)
{
	_cleanup_(freep) char *found = NULL;

	return file_read(path, &found) == 0 && strstr(found, text);
}

/* Each level hands its controllers down to the next. */
static void make_cgroups(void)
{
	static const char *const levels[] = {
		ROOT "/kubepods.slice",
		ROOT "/kubepods.slice/kubepods-burstable.slice",
		POD,
		CONTAINER,
	};

	file_write(ROOT "/cgroup.subtree_control", "+cpu +memory");
	for (size_t i = 0; i < ARRAY_LEN(levels); i++) {
		char path[512];

		mkdir(levels[i], 0755);
		snprintf(path, sizeof(path), "%s/cgroup.subtree_control", levels[i]);
		if (i + 1 < ARRAY_LEN(levels))
			file_write(path, "+cpu +memory");
	}
}

/* Uses its memory once, and then looks at it again and again. */
static void start_application(void)
{
	rig.application = fork();
	if (rig.application == 0) {
		unsigned char *memory = mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE,
					     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		file_write(CONTAINER "/cgroup.procs", "0");
		for (size_t i = 0; i < MEMORY_BYTES; i += 4096)
			memory[i] = (unsigned char)(i >> 12);
		for (;;)
			pause();
	}
}

static uint64_t memory_now(void)
{
	uint64_t bytes = 0;

	file_read_u64(CONTAINER "/memory.current", NULL, &bytes);
	return bytes;
}

static void on_done(void *arg, enum backend_size size, int r)
{
	(void)arg;
	(void)size;
	rig.result = r;
}

/* Until condition() holds; false: not in time. */
static bool loop_until(bool (*condition)(void))
{
	uint64_t until_ns = monotonic_ns() + LIMIT_S * NS_PER_S;
	const struct timeval step = { .tv_usec = 10000 };

	while (!condition() && monotonic_ns() < until_ns) {
		event_base_loopexit(rig.base, &step);
		event_base_dispatch(rig.base);
	}
	return condition();
}

static bool is_done(void)
{
	return rig.result <= 0;
}

static bool is_reclaimed(void)
{
	return memory_now() < MEMORY_BYTES / 2;
}

static bool is_frozen(void)
{
	return has(CONTAINER "/cgroup.events", "frozen 1");
}

static bool has_memory(void)
{
	return memory_now() >= MEMORY_BYTES;
}

static bool is_settled(void)
{
	return backend_pod_is_settled(rig.backend);
}

static bool resize(enum backend_size size)
{
	rig.result = 1;
	backend_resize(backend_pod_as_backend(rig.backend), size);
	return loop_until(is_done) && rig.result == 0;
}

static bool make_backend(void)
{
	static struct cgroup_mounts mounts;
	const struct backend_pod_settings settings = {
		.name = "shop/web",
		.depth = BACKEND_POD_RECLAIM,
		.reclaim_after_ns = NS_PER_MS,
		.state_file = STATE,
	};
	struct pod_cgroups *cgroups = NULL;

	if (cgroup_mounts_find(&mounts, ROOT) < 0 || pod_cgroups_new(&cgroups, &mounts, 10) < 0 ||
	    pod_cgroups_add(cgroups, "app", ID) < 0)
		return false;
	claim(pod_cgroups_process(cgroups) == rig.application, "its process is found");
	if (backend_pod_new(&rig.backend, rig.base, cgroups, NULL, &settings, false) < 0)
		return false;
	backend_pod_as_backend(rig.backend)->done = on_done;
	return true;
}

static void test_reclaim(bool has_reclaim)
{
	bool has_swap = has("/proc/swaps", "/dev/");

	if (!has_reclaim) {
		usleep(500000); /* to give it time to do the wrong thing */
		claim(has_memory(), "without memory.reclaim it keeps its memory");
	} else if (!has_swap) {
		puts("# no swap here: nothing of an application's memory can be reclaimed");
	} else {
		claim(loop_until(is_reclaimed), "its memory is given back while it is frozen");
		claim(backend_reclaimed_bytes(backend_pod_as_backend(rig.backend)) >=
			      MEMORY_BYTES / 4,
		      "and counted");
	}
}

static void test_pod(bool has_reclaim)
{
	claim(loop_until(has_memory), "it uses its memory");
	claim(resize(BACKEND_ASLEEP), "it falls asleep");
	claim(has(CONTAINER "/cpu.max", "1000 100000"), "its quota is the least there is");
	claim(has(CONTAINER "/cgroup.events", "frozen 1"), "it is frozen");
	claim(access(STATE, F_OK) == 0, "what full is has been written down");
	test_reclaim(has_reclaim);
	claim(file_write(CONTAINER "/cpu.weight", "1") == 0, "a kubelet makes it light as well");
	claim(resize(BACKEND_FULL), "it wakes");
	claim(has(CONTAINER "/cpu.max", "max 100000"), "its quota is what it was");
	claim(has(CONTAINER "/cpu.weight", "100"), "its weight is what it was");
	claim(has(CONTAINER "/cgroup.events", "frozen 0"), "it is thawed");
	claim(loop_until(is_settled) && access(STATE, F_OK) < 0, "nothing is kept of it");
}

static void test_depth(void)
{
	struct backend *b = backend_pod_as_backend(rig.backend);
	uint64_t throttled_us;

	backend_set_connected(b, true);
	claim(resize(BACKEND_ASLEEP), "it falls asleep with a client");
	claim(has(CONTAINER "/cgroup.events", "frozen 0"), "it is not frozen then");
	claim(has(CONTAINER "/cpu.max", "1000 100000"), "it is throttled");
	claim(backend_throttled_us(b, &throttled_us) == 0, "its throttled time is counted");
	backend_set_connected(b, false);
	claim(loop_until(is_frozen), "it is frozen when the client has gone");
	claim(resize(BACKEND_FULL), "it wakes again");
	claim(has(CONTAINER "/cgroup.events", "frozen 0"), "it is thawed again");
	claim(loop_until(is_settled), "its wake is over");
}

/* Kernel 5.14. */
static void test_burst(void)
{
	if (access(CONTAINER "/cpu.max.burst", F_OK) < 0)
		return;
	claim(file_write(CONTAINER "/cpu.max", "50000 100000") == 0 &&
		      file_write(CONTAINER "/cpu.max.burst", "40000") == 0,
	      "it gets a burst");
	claim(resize(BACKEND_ASLEEP), "it falls asleep with a burst");
	claim(has(CONTAINER "/cpu.max", "1000 100000"), "its quota is less than the burst was");
	claim(resize(BACKEND_FULL), "it wakes with a burst");
	claim(has(CONTAINER "/cpu.max", "50000 100000"), "it has that quota");
	claim(has(CONTAINER "/cpu.max.burst", "40000"), "it has that burst");
	claim(loop_until(is_settled), "its last wake is over");
}

int main(int argc, char **argv)
{
	log_set_level(LOG_LEVEL_DEBUG);
	make_cgroups();
	start_application();
	rig.base = event_base_new();
	/* In a real pod there is a process before anybody looks for it. */
	for (int i = 0; i < 1000 && memory_now() == 0; i++)
		usleep(10000);
	if (rig.base && make_backend())
		test_pod(argc > 1 && strcmp(argv[1], "yes") == 0);
	else
		claim(false, "its cgroups are found");
	if (rig.backend) {
		test_depth();
		test_burst();
	}
	backend_pod_free(&rig.backend);
	kill(rig.application, SIGKILL);
	return 0;
}
