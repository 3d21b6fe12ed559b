// SPDX-License-Identifier: MIT
/* Opens the edges of one target in their order, and takes them down in the reverse. */
#include "target/target_seat.h"

#include <errno.h>
#include <netinet/in.h>

#include "base/log.h"
#include "base/util.h"
#include "target/portlock.h"
#include "target/target_probes.h"

static int target_seat_on_interface(void *arg, unsigned int ifindex, const char *name)
{
	const struct target_seat *s = arg;

	return hooks_attach(datapath_hooks(s->daemon->datapath), s->ns.id, ifindex, name,
			    s->has_udp);
}

static void target_seat_on_interface_gone(void *arg, unsigned int ifindex, const char *name)
{
	const struct target_seat *s = arg;

	log_info("interface is gone", "interface=%s", name);
	hooks_forget(datapath_hooks(s->daemon->datapath), s->ns.id, ifindex);
}

static void target_seat_on_interface_released(void *arg, unsigned int ifindex, const char *name)
{
	const struct target_seat *s = arg;

	(void)name;
	hooks_detach(datapath_hooks(s->daemon->datapath), s->ns.id, ifindex);
}

static int target_seat_lock_ports(struct target_seat *s,
				  const struct target_seat_settings *settings)
{
	int r = netns_enter(&s->ns);

	if (r < 0)
		return r;
	for (size_t i = 0; i < settings->ports_len && r >= 0; i++) {
		r = portlock_take(settings->ports[i].port, settings->ports[i].protocol);
		if (r >= 0)
			s->portlock_fds[s->portlocks_len++] = r;
		s->has_udp = s->has_udp || settings->ports[i].protocol == IPPROTO_UDP;
	}
	netns_leave(&s->ns);
	return r < 0 ? r : 0;
}

int target_seat_open(struct target_seat *s, struct daemon *d,
		     const struct target_seat_settings *settings)
{
	int r = netns_open(&s->ns, settings->netns_pid);

	s->daemon = d;
	if (r == 0)
		r = target_seat_lock_ports(s, settings);
	if (r == 0 && d->replay)
		r = replay_new(&s->replay, d->replay, &s->ns);
	return r;
}

static struct steer *target_seat_find_steer(const struct target_seat *s,
					    const struct target_settings *settings)
{
	bool is_needed = settings->probes == GATE_PROBES_ANSWER &&
			 target_probes_may_come(&settings->activity);

	return is_needed ? daemon_steer(s->daemon) : NULL;
}

static int target_seat_make_target(struct target_seat *s, const struct target_seat_target *what)
{
	const struct target_edges edges = {
		.base = s->daemon->base,
		.datapath = s->daemon->datapath,
		.replay = s->replay,
		.backend = what->backend,
		.http = s->daemon->http,
		.heartbeat = s->daemon->heartbeat,
		.answered = s->daemon->answered,
		.steer = target_seat_find_steer(s, what->settings),
		.wakes = what->wakes,
		.ns = &s->ns,
	};
	struct target_settings settings = *what->settings;
	int r = daemon_find_id(s->daemon, &s->id);

	if (r < 0)
		return r;
	settings.id = s->id;
	r = target_new(&s->target, &edges, &settings);
	if (r < 0)
		datapath_remove_target(s->daemon->datapath, s->id);
	else
		daemon_add_target(s->daemon, s->id, s->target);
	return r;
}

int target_seat_open_target(struct target_seat *s, const struct target_seat_target *what)
{
	const struct interfaces_settings settings = {
		.names = what->interfaces,
		.names_len = what->interfaces_len,
		.appeared = target_seat_on_interface,
		.gone = target_seat_on_interface_gone,
		.released = target_seat_on_interface_released,
		.arg = s,
	};
	int r = target_seat_make_target(s, what);

	return r < 0 ? r : interfaces_new(&s->interfaces, s->daemon->base, &s->ns, &settings);
}

void target_seat_close(struct target_seat *s)
{
	if (s->target)
		target_stop(s->target);
	interfaces_free(&s->interfaces);
	if (s->target)
		daemon_remove_target(s->daemon, s->id);
	target_free(&s->target);
	replay_free(&s->replay);
	for (size_t i = 0; i < s->portlocks_len; i++)
		closep(&s->portlock_fds[i]);
	s->portlocks_len = 0;
	netns_close(&s->ns);
}
