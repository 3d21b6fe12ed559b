// SPDX-License-Identifier: MIT
/*
 * Fuzzes the parser of what sock_diag tells of a connection. The first byte of an input chooses
 * how the rest is taken: as a message, as what is behind its header, or as attributes behind a
 * tcp_info of the length that the second byte says.
 */
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "activity/sockdiag_message.h"
#include "base/util.h"

#define FUZZ_MESSAGE_MAX 1024
#define FUZZ_INFO_LEN                                                                              \
	(offsetof(struct tcp_info, tcpi_data_segs_out) +                                           \
	 sizeof(((struct tcp_info *)0)->tcpi_data_segs_out))

#define FUZZ_CHECK(claim)                                                                          \
	do {                                                                                       \
		if (!(claim))                                                                      \
			__builtin_trap();                                                          \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A message that is being put together. */
struct fuzz_message {
	_Alignas(8) uint8_t bytes[FUZZ_MESSAGE_MAX];
	size_t len;
	bool has_info;
	struct tcp_info info; /* what its first attribute says */
};

static void fuzz_put(struct fuzz_message *m, const void *bytes, size_t len)
{
	len = min_u64(len, sizeof(m->bytes) - m->len);
	if (len)
		memcpy(m->bytes + m->len, bytes, len);
	m->len += len;
}

/* The bytes of the input, over and over. */
static void fuzz_put_cycle(struct fuzz_message *m, const uint8_t *data, size_t size, size_t len)
{
	for (size_t i = 0; i < len; i++)
		fuzz_put(m, size ? &data[i % size] : (const uint8_t *)"", 1);
}

static void fuzz_put_header(struct fuzz_message *m)
{
	const struct nlmsghdr header = { .nlmsg_type = SOCK_DIAG_BY_FAMILY };

	fuzz_put(m, &header, sizeof(header));
}

static void fuzz_put_connection(struct fuzz_message *m, const uint8_t *data, size_t size)
{
	fuzz_put_cycle(m, data, size, sizeof(struct inet_diag_msg));
	m->bytes[MNL_NLMSG_HDRLEN] = size && data[0] & 1 ? AF_INET6 : AF_INET;
}

static void fuzz_put_info(struct fuzz_message *m, const uint8_t *data, size_t size, uint8_t len)
{
	const struct nlattr attribute = { (uint16_t)(MNL_ATTR_HDRLEN + len), INET_DIAG_INFO };

	fuzz_put(m, &attribute, sizeof(attribute));
	fuzz_put_cycle(m, data, size, len);
	m->has_info = len >= FUZZ_INFO_LEN;
	if (m->has_info)
		memcpy(&m->info, m->bytes + m->len - len, FUZZ_INFO_LEN);
	while (m->len % MNL_ALIGNTO)
		fuzz_put(m, "", 1);
}

static void fuzz_check_answer(const struct busy_socket *socket)
{
	FUZZ_CHECK(socket->answer <= BUSY_ANSWER_UNKNOWN);
	if (socket->answer == BUSY_NOT_ANSWERED)
		FUZZ_CHECK(socket->has_received &&
			   socket->since_received_ms < socket->since_sent_ms);
}

/* In doubt a request is not answered yet: no other field than its own may say that it is. */
static void fuzz_check_info(const struct busy_socket *socket, const struct tcp_info *info)
{
	FUZZ_CHECK(socket->since_received_ms == info->tcpi_last_data_recv);
	if (info->tcpi_bytes_received > 1 && !info->tcpi_data_segs_out)
		FUZZ_CHECK(socket->answer == BUSY_NOT_ANSWERED);
	if (info->tcpi_bytes_received > 1 && info->tcpi_data_segs_out)
		FUZZ_CHECK((socket->answer == BUSY_ANSWERED) ==
			   (info->tcpi_last_data_sent < info->tcpi_last_data_recv));
}

static void fuzz_check_socket(const struct busy_socket *socket, const struct inet_diag_msg *diag)
{
	static const uint8_t mapped[12] = { [10] = 0xff, 0xff };

	FUZZ_CHECK(socket->flow.protocol == IPPROTO_TCP);
	FUZZ_CHECK(!socket->flow.pad[0] && !socket->flow.pad[1] && !socket->flow.pad[2]);
	FUZZ_CHECK(socket->flow.sport_be == diag->id.idiag_dport);
	FUZZ_CHECK(socket->flow.dport_be == diag->id.idiag_sport);
	FUZZ_CHECK(socket->unread == diag->idiag_rqueue && socket->unacked == diag->idiag_wqueue);
	if (diag->idiag_family == AF_INET)
		FUZZ_CHECK(memcmp(&socket->flow.saddr, mapped, sizeof(mapped)) == 0 &&
			   memcmp(&socket->flow.daddr, mapped, sizeof(mapped)) == 0);
	fuzz_check_answer(socket);
}

static void fuzz_parse(const struct fuzz_message *m)
{
	/* What the kernel's buffer has, so that the address sanitizer sees each read beyond it. */
	_cleanup_(freep) uint8_t *copy = calloc(1, MNL_ALIGN(m->len));
	struct nlmsghdr *message = (struct nlmsghdr *)copy;
	const struct inet_diag_msg *diag;
	struct busy_socket socket, untouched;
	uint64_t cookie = 77;
	int r;

	FUZZ_CHECK(copy);
	memcpy(copy, m->bytes, m->len);
	message->nlmsg_len = (uint32_t)m->len;
	memset(&socket, 0xa5, sizeof(socket));
	untouched = socket;
	r = sockdiag_message_parse(message, &socket, &cookie);
	FUZZ_CHECK(r == 0 || r == -EBADMSG);
	if (r < 0) {
		FUZZ_CHECK(memcmp(&socket, &untouched, sizeof(socket)) == 0 && cookie == 77);
		FUZZ_CHECK(!m->has_info);
		return;
	}
	diag = mnl_nlmsg_get_payload(message);
	fuzz_check_socket(&socket, diag);
	FUZZ_CHECK(cookie >> 32 == diag->id.idiag_cookie[1]);
	FUZZ_CHECK((uint32_t)cookie == diag->id.idiag_cookie[0]);
	if (m->has_info)
		fuzz_check_info(&socket, &m->info);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_message m = { .len = 0 };

	if (size < 2)
		return 0;
	if (data[0] % 3 > 0)
		fuzz_put_header(&m);
	if (data[0] % 3 > 1) {
		fuzz_put_connection(&m, data + 2, size - 2);
		fuzz_put_info(&m, data + 2, size - 2, data[1]);
	}
	fuzz_put(&m, data + 2, size - 2);
	if (m.len >= sizeof(struct nlmsghdr)) /* mnl_nlmsg_ok() has seen to that */
		fuzz_parse(&m);
	return 0;
}
