/* SPDX-License-Identifier: BSD-2-Clause */
/* offload.c - see offload.h. */
#include "tls/offload.h"

#include <errno.h>
#include <linux/tls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/mem.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "tls/internal.h"
#include "worker/worker.h"

#ifndef TCP_ULP
#define TCP_ULP 31
#endif
#ifndef SOL_TLS
#define SOL_TLS 282
#endif

bool tls_offload_there(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	/* It is for connections, and says so only where it is at all. */
	bool there = fd >= 0 && setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", 4) != 0 &&
		     errno == ENOTCONN;
	if (fd >= 0)
		close(fd);
	return there;
}

/* The keys as the kernel wants them; its size. */
union info {
	struct tls_crypto_info head;
	struct tls12_crypto_info_aes_gcm_128 aes128;
	struct tls12_crypto_info_aes_gcm_256 aes256;
	struct tls12_crypto_info_chacha20_poly1305 chacha;
};

static socklen_t info_of(enum tls_suite s, const struct tls_key *k, union info *out)
{
	uint64_t seq = htobe64(k->seq);
	*out = (union info){.head.version = TLS_1_3_VERSION};
	switch (s) {
	case TLS_SUITE_AES_128_GCM:
		out->head.cipher_type = TLS_CIPHER_AES_GCM_128;
		memcpy(out->aes128.salt, k->iv, 4);
		memcpy(out->aes128.iv, k->iv + 4, 8);
		memcpy(out->aes128.key, k->key, 16);
		memcpy(out->aes128.rec_seq, &seq, 8);
		return sizeof(out->aes128);
	case TLS_SUITE_AES_256_GCM:
		out->head.cipher_type = TLS_CIPHER_AES_GCM_256;
		memcpy(out->aes256.salt, k->iv, 4);
		memcpy(out->aes256.iv, k->iv + 4, 8);
		memcpy(out->aes256.key, k->key, 32);
		memcpy(out->aes256.rec_seq, &seq, 8);
		return sizeof(out->aes256);
	default:
		out->head.cipher_type = TLS_CIPHER_CHACHA20_POLY1305;
		memcpy(out->chacha.iv, k->iv, 12);
		memcpy(out->chacha.key, k->key, 32);
		memcpy(out->chacha.rec_seq, &seq, 8);
		return sizeof(out->chacha);
	}
}

static bool give_key(const struct conn *c)
{
	union info info;
	socklen_t n = info_of(c->suite, &c->tx_key, &info);
	bool ok = setsockopt(conn_fd(c), SOL_TLS, TLS_TX, &info, n) == 0;
	OPENSSL_cleanse(&info, sizeof(info));
	return ok;
}

bool tls_offloaded(struct worker *w, struct conn *c)
{
	if (c->flags & CONN_F_KTLS)
		return true;
	/* What waits in the tail is sealed by us already. */
	if (!w->tls->offload || !c->suite || c->tail != 0 || conn_fd(c) < 0)
		return false;
	if (setsockopt(conn_fd(c), IPPROTO_TCP, TCP_ULP, "tls", 4) == 0 && give_key(c)) {
		c->flags |= CONN_F_KTLS;
		return true;
	}
	/* A peer that has gone is no reason to do without it. */
	if (errno != ENOTCONN && errno != EPIPE && errno != EBUSY) {
		log_warn("tls: ktls: the kernel refuses a connection (%s): from now on we seal",
			 strerror(errno));
		w->tls->offload = false;
	}
	return false;
}

bool tls_offload_say(const struct conn *c, uint8_t type, struct bytes content)
{
	union {
		struct cmsghdr head;
		uint8_t room[CMSG_SPACE(1)];
	} control = {.head = {.cmsg_level = SOL_TLS,
			      .cmsg_type = TLS_SET_RECORD_TYPE,
			      .cmsg_len = CMSG_LEN(1)}};
	struct iovec v = {.iov_base = (void *)content.p, .iov_len = content.n};
	struct msghdr m = {.msg_iov = &v,
			   .msg_iovlen = 1,
			   .msg_control = control.room,
			   .msg_controllen = sizeof(control.room)};
	*CMSG_DATA(&control.head) = type;
	return conn_fd(c) >= 0 &&
	       sendmsg(conn_fd(c), &m, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)content.n;
}

bool tls_offload_content(struct worker *w, struct conn *c, struct tls_asleep *a, size_t bytes)
{
	/* Behind a tail there is nothing to be said but content, and it goes on with the old key. */
	if (c->tail == 0 && (a->owes || a->tx->seq >= a->key_records)) {
		const uint8_t message[] = {24, 0, 0, 1, a->rx->seq >= a->key_records};
		if (!tls_offload_say(c, TLS_HANDSHAKE, BYTES(message, sizeof(message))))
			return false;
		tls_key_update(a->suite, a->secrets->tx, a->tx);
		a->updates++;
		a->owes = false;
		if (!give_key(c)) {
			log_debug("conn %u: tls: ktls: the kernel takes no second key: %s",
				  conn_index(&w->slab, c), strerror(errno));
			return false;
		}
	}
	a->tx->seq += 1 + bytes / TLS_CONTENT_MAX; /* as the kernel cuts it, or fewer */
	return true;
}
