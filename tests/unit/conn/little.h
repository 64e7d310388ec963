/* SPDX-License-Identifier: BSD-2-Clause */
/* little.h - one real worker inside the test's own process, with a clock that the test moves.
 *
 *   test ─ socketpair ─► conn, tls, http, ws, echo, batch ... ─► test
 *
 * Nothing is played: loop.c is included as it is, so init() wires the worker and a turn is a real
 * one. Only time is ours (little_wait), so that thirty seconds of silence take no
 * time. There is an admin member in the mailbox that nobody runs, unless a test does.
 *
 * Clients are `struct far`: the other end of a conn's transport, plain or with a TLS of its own
 * kind (far_tls). A test may include this once, before anything that includes loop.c. */
#ifndef SLUICE_TESTS_CONN_LITTLE_H
#define SLUICE_TESTS_CONN_LITTLE_H

#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

static uint64_t little_ns, little_step; /* what each look at the clock takes */
#define clock_mono_ns() (little_ns += little_step)
#include "worker/loop.c"
#undef clock_mono_ns

#define LITTLE_SLAB 64

struct little {
	struct worker *w; /* the one; NULL between tests */
	struct config *cfg;
	struct tls_material *tls;
	struct mailbox_plan plan;
	struct mailbox_ends ends[2];
	struct mailbox *admin; /* the other end of its mailbox; NULL: somebody has taken it */
	int keeper;            /* our end of its channel */
	int listener_fds[CONFIG_MAX_LISTENERS];
	char dir[64];
};
static struct little little;

enum { LITTLE_PLAIN, LITTLE_TLS };

#define LITTLE_LISTENERS                                                                           \
	"listeners = ( { name = \"plain\"; address = \"127.0.0.1\"; port = 1; },"                  \
	"              { name = \"tls\"; address = \"127.0.0.1\"; port = 2; tls = true; } );"      \
	"certificates = ( { name = \"dev\"; dev = true; } );"
#define LITTLE_ECHO "endpoints = ( { path = \"/echo\"; protocol = \"echo\"; rate = 0; } );"

static inline void little_die(const char *what)
{
	perror(what);
	abort();
}

static inline struct mailbox *little_attach(unsigned self)
{
	static const uint32_t generation[2] = {1, 1};
	struct mailbox *mb = mailbox_attach(&little.plan, self, generation, little.ends,
					    little.cfg->memory.mailbox_overflow_bytes);
	if (mb == NULL)
		little_die("mailbox");
	return mb;
}

static inline void little_config(const char *settings)
{
	struct config_errors errs = {0};
	char text[8192];
	strcpy(little.dir, "/tmp/sluice-little-XXXXXX");
	if (mkdtemp(little.dir) == NULL)
		little_die("mkdtemp");
	snprintf(text, sizeof(text), "state_dir = \"%s\"; runtime_dir = \"%s\"; workers = 1; %s",
		 little.dir, little.dir, settings);
	little.cfg = config_load_string(text, "/", &errs);
	if (little.cfg == NULL) {
		config_error_print(&errs, stderr);
		abort();
	}
	log_init("little", LOG_ERROR, false);
	little.tls = tls_material_load(little.cfg);
	if (little.tls == NULL)
		abort();
}

/* Sockets for the listeners, at ports of the kernel's choice; never more than the slab. */
static inline void little_listeners(void)
{
	for (uint32_t i = 0; i < little.cfg->n_listeners; i++) {
		struct config_listener l = little.cfg->listeners[i];
		((struct sockaddr_in *)&l.addr)->sin_port = 0;
		if (listener_open_group(&l, &little.listener_fds[i], 1) != 0)
			abort();
	}
}

/* `slots`: of the slab. `settings` are those of sluice.conf. */
static inline void little_open_sized(const char *settings, uint32_t slots)
{
	static const bool up[2] = {true, true};
	int pair[2];
	memset(&little, 0, sizeof(little));
	little_config(settings);
	little_listeners();
	if (mailbox_plan(&little.plan, 2, 4 << 20, 4 << 20) != 0)
		little_die("plan");
	for (unsigned k = 0; k < 2; k++)
		if (mailbox_ends_open(&little.plan, &little.ends[k]) != 0 ||
		    mailbox_outbox_reset(&little.plan, &little.ends[k]) != 0)
			little_die("ends");
	int slab = memfd_create("slab", MFD_CLOEXEC);
	if (slab < 0 || ftruncate(slab, (off_t)conn_slab_bytes(slots)) != 0 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		little_die("little");
	little.keeper = pair[0];
	little_ns = clock_mono_ns();
	struct worker_start start = {
		.n_workers = 1,
		.incarnation = 1,
		.cfg = little.cfg,
		.slab_fd = slab,
		.slab_max = slots,
		.keeper_fd = pair[1],
		.listener_fds = little.listener_fds,
		.mailbox = little_attach(0),
		.control_fd = -1,
		.tls = little.tls,
		.member_up = up,
	};
	little.admin = little_attach(1);
	little.w = calloc(1, sizeof(*little.w));
	if (little.w == NULL || !init(little.w, &start))
		abort();
	close(slab);
}

static inline void little_open(const char *settings)
{
	little_open_sized(settings, LITTLE_SLAB);
}

static inline void little_turn(void)
{
	turn(little.w, true);
	work(little.w);
}

/* Enough turns for whatever is under way on the machine itself. */
static inline void little_settle(void)
{
	for (int i = 0; i < 12; i++)
		little_turn();
}

/* Time passes, some ticks at once, and the worker lives through it. */
static inline void little_wait(uint64_t ms)
{
	uint64_t end = little_ns + ms * 1000000;
	while (little_ns < end) {
		little_ns = MIN(end, little_ns + (uint64_t)WORKER_TICK_MS * 1000000);
		little_turn();
	}
}

/* All of a worker, ours or another that a test has made with init(). */
static inline void little_free_worker(struct worker *w)
{
	for (uint32_t i = 0; i < w->slab.high; i++)
		if (w->slab.conns[i].state != CONN_FREE && w->slab.conns[i].state != CONN_HELD)
			conn_end(w, &w->slab.conns[i], CLOSE_SHUTDOWN);
	listener_stop(w);
	struct event *events[] = {w->_set_event, w->_mailbox_event, w->_keeper_event,
				  w->_tick_event};
	for (size_t i = 0; i < ARRAY_SIZE(events); i++)
		event_free(events[i]);
	door_free(w->door);
	event_base_free(w->base);
	close(w->set_fd);
	if (w->_keeper_fd >= 0)
		close(w->_keeper_fd);
	if (w->engine != NULL)
		w->engine_ops->free(w->engine);
	census_free(w->census);
	hub_free(w->hub);
	batch_free(w->batch);
	fanout_free(w->fanout);
	backlogs_free(w->backlogs);
	free(w->skipped);
	ws_deflate_free(w->deflate);
	http_site_free(w->site);
	conn_list_free(w->partials);
	conn_list_free(w->waiting);
	tls_free(w->tls);
	pool_free(w->pool);
	pool_free(w->tails);
	pool_free(w->subs);
	pool_free(w->identities);
	conn_slab_fini(&w->slab);
	free(w->scratch_in - WORKER_HEADROOM);
	free(w->scratch_plain - WORKER_HEADROOM);
	free(w->scratch_record - WORKER_HEADROOM);
	mailbox_detach(w->mailbox);
	free(w);
}

static inline void little_close(void)
{
	little_free_worker(little.w);
	if (little.admin != NULL)
		mailbox_detach(little.admin);
	close(little.keeper);
	for (unsigned k = 0; k < 2; k++)
		mailbox_ends_close(&little.ends[k]);
	tls_material_free(little.tls);
	config_free(little.cfg);
	char path[96];
	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/dev.%s", little.dir, i ? "key" : "crt");
		unlink(path);
	}
	rmdir(little.dir);
	little.w = NULL;
}

/* Is every borrowed buffer back? */
static inline bool little_is_clean(void)
{
	struct pool_stats a, b, s;
	pool_stats(little.w->pool, &a);
	pool_stats(little.w->tails, &b);
	pool_stats(little.w->subs, &s);
	return a.lent_count == 0 && b.lent_count == 0 && s.lent_count == 0 &&
	       conn_list_count(little.w->partials) == 0 && conn_list_count(little.w->waiting) == 0;
}

/* ── the other ends ── */

struct far {
	int fd;
	uint32_t index, gen; /* of its conn */
	SSL *ssl;            /* NULL: plain */
	SSL_CTX *ctx;
	BIO *in, *out; /* owned by ssl */
};

/* The conn, or NULL when it has ended. */
static inline struct conn *far_conn(const struct far *f)
{
	return conn_deref(&little.w->slab, f->index, f->gen);
}

/* A conn over a socketpair whose buffers hold about `room` bytes (0: what is usual). */
static inline struct far far_open(unsigned listener, int room)
{
	struct sockaddr_in6 peer = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
		little_die("socketpair");
	if (room)
		setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	update_clock(little.w);
	struct conn *c = conn_open(little.w, pair[1], (uint16_t)listener, (struct sockaddr *)&peer);
	if (c == NULL)
		return (struct far){.fd = pair[0], .index = CONN_NONE};
	return (struct far){.fd = pair[0], .index = conn_index(&little.w->slab, c), .gen = c->gen};
}

static inline void far_close(struct far *f)
{
	if (f->fd >= 0)
		close(f->fd);
	SSL_free(f->ssl);
	SSL_CTX_free(f->ctx);
	*f = (struct far){.fd = -1, .index = CONN_NONE};
}

/* All n bytes onto the wire as they are, and read if the worker reads at all. */
static inline void far_put(struct far *f, const void *p, size_t n)
{
	for (int tries = 0; n > 0 && tries < 100000; tries++) {
		ssize_t r = send(f->fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (r < 0 && errno != EAGAIN)
			break;
		if (r > 0) {
			p = (const uint8_t *)p + r;
			n -= (size_t)r;
		}
		little_turn();
	}
	int unread = 1;
	for (int tries = 0; unread > 0 && tries < 20; tries++) {
		little_turn();
		ioctl(f->fd, SIOCOUTQ, &unread);
	}
}

static inline void far_puts(struct far *f, const char *s)
{
	far_put(f, s, strlen(s));
}

/* What lies on the wire now; 0: nothing, -1: the end. */
static inline ssize_t far_take(struct far *f, void *p, size_t cap)
{
	ssize_t r = recv(f->fd, p, cap, MSG_DONTWAIT);
	if (r > 0)
		return r;
	return r == 0 || errno != EAGAIN ? -1 : 0;
}

/* ── the other ends' TLS ── */

static inline void far_tls(struct far *f, uint16_t version)
{
	f->ctx = SSL_CTX_new(TLS_method());
	if (version) {
		SSL_CTX_set_min_proto_version(f->ctx, version);
		SSL_CTX_set_max_proto_version(f->ctx, version);
	}
	f->ssl = SSL_new(f->ctx);
	f->in = BIO_new(BIO_s_mem());
	f->out = BIO_new(BIO_s_mem());
	BIO_set_mem_eof_return(f->in, -1);
	SSL_set_bio(f->ssl, f->in, f->out);
	SSL_set_connect_state(f->ssl);
}

/* What its TLS wants to say, `cut` bytes at a time (0: all at once). */
static inline void far_say(struct far *f, size_t cut)
{
	const uint8_t *p;
	size_t n;
	uint8_t copy[70000];
	while (BIO_mem_contents(f->out, &p, &n) && n > 0) {
		n = MIN(n, sizeof(copy));
		if (cut)
			n = MIN(n, cut);
		if (BIO_read(f->out, copy, (int)n) != (int)n)
			abort();
		far_put(f, copy, n);
	}
}

/* What came, into its TLS. False: the transport is at its end. */
static inline bool far_hear(struct far *f)
{
	uint8_t buf[65536];
	ssize_t n;
	while ((n = far_take(f, buf, sizeof(buf))) > 0) {
		BIO_write(f->in, buf, (int)n);
		little_turn();
	}
	return n == 0;
}

static inline bool far_shake_cut(struct far *f, size_t cut)
{
	for (int i = 0; i < 20; i++) {
		int r = SSL_do_handshake(f->ssl);
		far_say(f, cut);
		if (r == 1)
			return true;
		if (SSL_get_error(f->ssl, r) != SSL_ERROR_WANT_READ)
			return false;
		far_hear(f);
	}
	return false;
}

/* ── both ── */

static inline void far_send(struct far *f, const void *p, size_t n)
{
	if (f->ssl == NULL) {
		far_put(f, p, n);
	} else if (n > 0) {
		if (SSL_write(f->ssl, p, (int)n) != (int)n)
			abort();
		far_say(f, 0);
	}
}

/* What has come for the application: n bytes of it, 0: nothing now, -1: it is over. */
static inline ssize_t far_recv(struct far *f, void *p, size_t cap)
{
	if (f->ssl == NULL)
		return far_take(f, p, cap);
	bool more = far_hear(f);
	int n = SSL_read(f->ssl, p, (int)cap);
	if (n > 0)
		return n;
	bool over = !more || SSL_get_error(f->ssl, n) != SSL_ERROR_WANT_READ;
	ERR_clear_error();
	return over ? -1 : 0;
}

/* All that comes until it is silent for a few turns or over, as text with a NUL. *over says which. */
static inline size_t far_recv_all(struct far *f, char *p, size_t cap, bool *over)
{
	size_t n = 0;
	ssize_t r = 0;
	for (int idle = 0; idle < 4 && n + 1 < cap; idle++) {
		little_turn();
		while ((r = far_recv(f, p + n, cap - 1 - n)) > 0 && (n += (size_t)r) + 1 < cap) {
			little_turn();
			idle = 0;
		}
		if (r < 0)
			break;
	}
	p[n] = '\0';
	if (over)
		*over = r < 0;
	return n;
}

/* An open WebSocket at the path; `more`: lines of the request's head. */
static inline struct far far_upgrade_with(unsigned listener, const char *path, const char *more,
					  int room)
{
	char text[1024];
	struct far f = far_open(listener, room);
	if (listener == LITTLE_TLS) {
		far_tls(&f, 0);
		if (!far_shake_cut(&f, 0))
			abort();
	}
	int n = snprintf(
		text, sizeof(text),
		"GET %s HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
		"Sec-WebSocket-Version: 13\r\n%s\r\n",
		path, more);
	far_send(&f, text, (size_t)n);
	far_recv_all(&f, text, sizeof(text), NULL);
	if (strncmp(text, "HTTP/1.1 101 ", 13) != 0 || far_conn(&f) == NULL)
		abort();
	return f;
}

static inline struct far far_upgrade(unsigned listener, const char *path, int room)
{
	return far_upgrade_with(listener, path, "", room);
}

/* A client's frame, masked. Returns its length; `out` has room. */
static inline size_t far_frame(uint8_t *out, size_t cap, unsigned first, const char *text)
{
	static const uint8_t mask[4] = {1, 2, 3, 4};
	size_t n = ws_frame_write(out, cap, first, bytes_str(text), mask);
	if (n == 0)
		abort();
	return n;
}

static inline void far_text(struct far *f, const char *text)
{
	uint8_t frame[4096];
	far_send(f, frame, far_frame(frame, sizeof(frame), WS_TEXT | WS_FIN, text));
}

#endif
