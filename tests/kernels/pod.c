// SPDX-License-Identifier: MIT
/*
 * A pod's cgroups in cgroup v2, on whatever kernel this is, as a kubelet lays them out: found,
 * throttled, frozen, reclaimed and given back, by the code that doze node uses. Writes "ok NAME"
 * and "not ok NAME", as guest.sh.
 *
 *	usage: pod systemd|cgroupfs FILE TEST...
 *
 * The first is the kubelet's cgroup driver. FILE is on a disk; the application reads it. The tests
 * are in the table at the end.
 */
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backend/backend_pod.h"
#include "base/file.h"
#include "base/log.h"
#include "base/util.h"
#include "cgroup/cgroup_mounts.h"
#include "cgroup/pod_cgroups.h"
#include "cgroup/pod_place.h"
#include "pod/kubelet_place.h"

#define ROOT	     "/sys/fs/cgroup"
#define UID	     "0a1b2c3d-0001-0002-0003-00a1b2c3d4e5"
#define ID	     "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define STATE	     "/tmp/" UID ".quota"
#define MEMORY_BYTES (32UL << 20)
#define FILE_BYTES   (32UL << 20)
#define LIMIT_S	     300

/* From the top down, without the root. */
struct driver {
	const char *name;
	const char *kubelet;
	const char *levels[4]; /* the last is the container's, the one before it the pod's */
};

static const struct driver drivers[] = {
	{ "systemd",
	  "system.slice/kubelet.service",
	  { "kubepods.slice", "kubepods.slice/kubepods-burstable.slice",
	    "kubepods.slice/kubepods-burstable.slice/"
	    "kubepods-burstable-pod0a1b2c3d_0001_0002_0003_00a1b2c3d4e5.slice",
	    "kubepods.slice/kubepods-burstable.slice/"
	    "kubepods-burstable-pod0a1b2c3d_0001_0002_0003_00a1b2c3d4e5.slice/"
	    "cri-containerd-" ID ".scope" } },
	{ "cgroupfs",
	  "kubelet",
	  { "kubepods", "kubepods/burstable", "kubepods/burstable/pod" UID,
	    "kubepods/burstable/pod" UID "/" ID } },
};

/* What the application says about itself. */
struct application {
	volatile bool has_memory;
	volatile unsigned int looks, intact_looks;
};

static struct {
	const struct driver *driver;
	const char *file;
	struct event_base *base;
	struct backend_pod *backend;
	struct application *application; /* shared with it */
	pid_t pid;
	int result; /* of the last resize; 1: it is under way */
} rig;

static void claim(bool is_so, const char *name)
{
	printf("%s pod, %s: %s\n", is_so ? "ok" : "not ok", rig.driver->name, name);
	fflush(stdout);
}

static const char *in_level(int level, const char *file)
{
	static char path[PATH_MAX];

	snprintf(path, sizeof(path), ROOT "/%s/%s", rig.driver->levels[level], file);
	return path;
}

static const char *in_pod(const char *file)
{
	return in_level(2, file);
}

static const char *in_container(const char *file)
{
	return in_level(3, file);
}

static bool has(const char *path, const char *text)
{
	_cleanup_(freep) char *found = NULL;

	return file_read(path, &found) == 0 && strstr(found, text);
}

/* Each level hands its controllers down to the next. */
static void make_cgroups(void)
{
	file_write(ROOT "/cgroup.subtree_control", "+cpu +memory");
	for (int i = 0; i < 4; i++) {
		mkdir(in_level(i, ""), 0755);
		if (i < 3)
			file_write(in_level(i, "cgroup.subtree_control"), "+cpu +memory");
	}
}

static void remove_cgroups(void)
{
	for (int i = 3; i >= 0; i--)
		rmdir(in_level(i, ""));
}

/* --- the application: it has memory, and pages of a file; asked by SIGUSR1 it looks at them --- */

static unsigned char *memory;

static void on_look(int signal)
{
	bool is_intact = true;

	(void)signal;
	for (size_t i = 0; i < MEMORY_BYTES; i += 4096)
		is_intact = is_intact && memory[i] == (unsigned char)(i >> 12);
	rig.application->intact_looks += is_intact;
	rig.application->looks++;
}

static void read_file(void)
{
	static char bytes[1 << 16];
	int fd = open(rig.file, O_RDONLY | O_CLOEXEC);

	while (fd >= 0 && read(fd, bytes, sizeof(bytes)) > 0)
		continue;
	close(fd);
}

static void be_the_application(void)
{
	memory = mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		      0);
	file_write(in_container("cgroup.procs"), "0");
	for (size_t i = 0; i < MEMORY_BYTES; i += 4096)
		memory[i] = (unsigned char)(i >> 12);
	read_file();
	signal(SIGUSR1, on_look);
	rig.application->has_memory = true;
	for (;;)
		pause();
}

static void start_application(void)
{
	rig.application = mmap(NULL, sizeof(*rig.application), PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	rig.pid = fork();
	if (rig.pid == 0)
		be_the_application();
}

static void end_application(void)
{
	kill(rig.pid, SIGKILL);
	waitpid(rig.pid, NULL, 0);
}

static uint64_t memory_of(const char *name)
{
	_cleanup_(freep) char *text = NULL;
	const char *line;

	if (file_read(in_container("memory.stat"), &text) < 0)
		return 0;
	line = strstr(text, name);
	return line ? strtoull(line + strlen(name), NULL, 10) : 0;
}

/* --- conditions, and waiting for them --- */

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

static bool has_memory(void)
{
	return rig.application->has_memory;
}

/* The kernel counts late, and old ones more so. */
static bool keeps_memory(void)
{
	return memory_of("anon ") >= MEMORY_BYTES / 8 * 7;
}

static bool keeps_file(void)
{
	return memory_of("\nfile ") >= FILE_BYTES / 8 * 7;
}

static bool is_memory_reclaimed(void)
{
	return memory_of("anon ") < MEMORY_BYTES / 2;
}

static bool is_file_reclaimed(void)
{
	return memory_of("\nfile ") < FILE_BYTES / 2;
}

static bool has_looked(void)
{
	return rig.application->looks > 0;
}

static bool is_frozen(void)
{
	return has(in_container("cgroup.events"), "frozen 1");
}

static bool is_settled(void)
{
	return backend_pod_is_settled(rig.backend);
}

/* --- the backend --- */

static void on_done(void *arg, enum backend_size size, int r)
{
	(void)arg;
	(void)size;
	rig.result = r;
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
	claim(pod_cgroups_process(cgroups) == rig.pid,
	      "its process is found by its container's id");
	if (backend_pod_new(&rig.backend, rig.base, cgroups, NULL, &settings, false) < 0)
		return false;
	backend_pod_as_backend(rig.backend)->done = on_done;
	return true;
}

/* --- the tests --- */

static void test_place(void)
{
	claim(pod_place_has_pod(ROOT, UID), "its cgroup is found by its uid");
	claim(!pod_place_has_pod(ROOT, "ffffffff-0001-0002-0003-00a1b2c3d4e5"),
	      "another uid has no cgroup");
}

/* A process of that name, in a cgroup of its own beside the pods'. */
static void test_kubelet(void)
{
	char directory[PATH_MAX], path[PATH_MAX + 32], text[16];
	struct kubelet_place found = { .pid = 0 };
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_NAME, "kubelet");
		for (;;)
			pause();
	}
	snprintf(directory, sizeof(directory), ROOT "/%s", rig.driver->kubelet);
	mkdir(ROOT "/system.slice", 0755);
	mkdir(directory, 0755);
	snprintf(path, sizeof(path), "%s/cgroup.procs", directory);
	snprintf(text, sizeof(text), "%d", (int)pid);
	claim(file_write(path, text) == 0, "there is a kubelet");
	for (int i = 0; i < 1000 && kubelet_place_find(&found, "/proc", ROOT) < 0; i++)
		usleep(10000); /* until it has its name */
	claim(found.pid == pid && strcmp(found.directory, directory) == 0,
	      "the kubelet is found in its own cgroup");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	rmdir(directory);
	rmdir(ROOT "/system.slice");
}

static void test_memory_is_intact(void)
{
	kill(rig.pid, SIGUSR1);
	claim(loop_until(has_looked) && rig.application->intact_looks == rig.application->looks,
	      "its memory is as it was");
}

static void test_cycle(void)
{
	claim(resize(BACKEND_ASLEEP), "it falls asleep");
	claim(has(in_container("cpu.max"), "1000 100000"), "its quota is the least there is");
	claim(is_frozen(), "it is frozen");
	claim(has(in_pod("cpu.max"), "max 100000"), "its pod's quota is as it was");
	claim(access(STATE, F_OK) == 0, "what full is has been written down");
	claim(file_write(in_container("cpu.weight"), "1") == 0, "a kubelet makes it light as well");
	claim(resize(BACKEND_FULL), "it wakes");
	claim(has(in_container("cpu.max"), "max 100000"), "its quota is what it was");
	claim(has(in_container("cpu.weight"), "100"), "its weight is what it was");
	claim(has(in_container("cgroup.events"), "frozen 0"), "it is thawed");
	claim(loop_until(is_settled) && access(STATE, F_OK) < 0, "nothing is kept of it");
}

static void test_depth(void)
{
	struct backend *b = backend_pod_as_backend(rig.backend);
	uint64_t throttled_us;

	backend_set_connected(b, true);
	claim(resize(BACKEND_ASLEEP), "it falls asleep with a client");
	claim(has(in_container("cgroup.events"), "frozen 0"), "it is not frozen then");
	claim(has(in_container("cpu.max"), "1000 100000"), "it is throttled");
	claim(backend_throttled_us(b, &throttled_us) == 0, "its throttled time is counted");
	backend_set_connected(b, false);
	claim(loop_until(is_frozen), "it is frozen when the client has gone");
	claim(resize(BACKEND_FULL), "it wakes again");
	claim(has(in_container("cgroup.events"), "frozen 0"), "it is thawed again");
	claim(loop_until(is_settled), "its wake is over");
}

/* As a kubelet writes a limit of 500m: the pod's bounds the container's. */
static void test_limit(void)
{
	claim(file_write(in_pod("cpu.max"), "50000 100000") == 0 &&
		      file_write(in_container("cpu.max"), "50000 100000") == 0,
	      "it gets a limit");
	claim(resize(BACKEND_ASLEEP), "it falls asleep with a limit");
	claim(has(in_container("cpu.max"), "1000 100000"), "its quota is the least");
	claim(resize(BACKEND_FULL), "it wakes with a limit");
	claim(has(in_container("cpu.max"), "50000 100000"), "it has its limit");
	claim(has(in_pod("cpu.max"), "50000 100000"), "its pod has its limit");
	claim(loop_until(is_settled), "its wake with a limit is over");
}

static void test_burst(void)
{
	claim(file_write(in_container("cpu.max"), "50000 100000") == 0 &&
		      file_write(in_container("cpu.max.burst"), "40000") == 0,
	      "it gets a burst");
	claim(resize(BACKEND_ASLEEP), "it falls asleep with a burst");
	claim(has(in_container("cpu.max"), "1000 100000"), "its quota is less than the burst was");
	claim(has(in_container("cpu.max.burst"), "0"), "it has no burst asleep");
	claim(resize(BACKEND_FULL), "it wakes with a burst");
	claim(has(in_container("cpu.max"), "50000 100000"), "it has that quota");
	claim(has(in_container("cpu.max.burst"), "40000"), "it has that burst");
	claim(loop_until(is_settled), "its wake with a burst is over");
}

static void test_no_burst(void)
{
	claim(access(in_container("cpu.max.burst"), F_OK) < 0, "this kernel has no burst");
}

/* Asleep, then what condition says, and awake again. */
static void test_reclaimed(bool (*condition)(void), const char *name)
{
	uint64_t reclaimed_bytes;

	claim(keeps_memory() && keeps_file(), "it has memory and pages of a file");
	claim(resize(BACKEND_ASLEEP), "it falls asleep with them");
	claim(loop_until(condition), name);
	reclaimed_bytes = backend_reclaimed_bytes(backend_pod_as_backend(rig.backend));
	claim(resize(BACKEND_FULL), "it wakes without them");
	claim(reclaimed_bytes >= FILE_BYTES / 4, "what was given back is counted");
	test_memory_is_intact();
	claim(loop_until(is_settled), "its wake without them is over");
}

static void test_reclaim(void)
{
	test_reclaimed(is_file_reclaimed, "without swap its pages are given back");
	claim(keeps_memory(), "its memory has stayed");
}

static void test_reclaim_swap(void)
{
	test_reclaimed(is_memory_reclaimed, "its memory goes to the swap");
}

static void test_no_reclaim(void)
{
	claim(resize(BACKEND_ASLEEP), "it falls asleep where nothing is reclaimed");
	usleep(500000); /* to give it time to do the wrong thing */
	claim(keeps_memory() && keeps_file(), "it keeps its memory");
	claim(resize(BACKEND_FULL), "it wakes with its memory");
	claim(loop_until(is_settled), "its wake with its memory is over");
}

/* --- the whole --- */

static const struct {
	const char *name;
	void (*run)(void);
} tests[] = {
	{ "place", test_place },
	{ "kubelet", test_kubelet },
	{ "cycle", test_cycle },
	{ "depth", test_depth },
	{ "limit", test_limit },
	{ "burst", test_burst },
	{ "no-burst", test_no_burst },
	{ "reclaim", test_reclaim },
	{ "reclaim-swap", test_reclaim_swap },
	{ "no-reclaim", test_no_reclaim },
};

static void run_test(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(tests); i++) {
		if (strcmp(tests[i].name, name) == 0) {
			tests[i].run();
			return;
		}
	}
	claim(false, "there is no such test");
}

static bool set_up(char **argv)
{
	for (size_t i = 0; i < ARRAY_LEN(drivers); i++) {
		if (strcmp(drivers[i].name, argv[1]) == 0)
			rig.driver = &drivers[i];
	}
	rig.file = argv[2];
	rig.base = event_base_new();
	return rig.driver && rig.base;
}

int main(int argc, char **argv)
{
	log_set_level(LOG_LEVEL_DEBUG);
	if (argc < 4 || !set_up(argv))
		return 2;
	make_cgroups();
	start_application();
	/* In a real pod there is a process before anybody looks for it. */
	claim(loop_until(has_memory), "its application runs");
	claim(make_backend(), "its cgroups are found");
	for (int i = 3; rig.backend && i < argc; i++)
		run_test(argv[i]);
	backend_pod_free(&rig.backend);
	end_application();
	remove_cgroups();
	return 0;
}
