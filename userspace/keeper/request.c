/* SPDX-License-Identifier: BSD-2-Clause */
/* request.c - the checks, one kind after the other, and the bucket.
 *
 * The bucket stores one time instead of a level and a time: each token taken moves the moment at
 * which the bucket would be full again by one interval, and a bucket is empty when that moment
 * lies a whole burst ahead. */
#include "keeper/request.h"

#include <string.h>
#include <sys/socket.h>

#include "base/bytes.h"
#include "bpf/abi.h"

static bool all_zero(const void *p, size_t n)
{
	const uint8_t *b = p;
	for (size_t i = 0; i < n; i++)
		if (b[i])
			return false;
	return true;
}

/* No bit below the prefix: 192.0.2.1/24 would hide which of the two was meant. */
static bool host_bits_clear(const uint8_t addr[16], unsigned bits)
{
	uint8_t first = addr[bits / 8 < 16 ? bits / 8 : 15];
	if (bits >= 128)
		return true;
	if (first & (0xffu >> (bits % 8)))
		return false;
	return all_zero(addr + bits / 8 + 1, 16 - bits / 8 - 1);
}

static enum request_verdict check_prefix(const struct keeper_msg *m, const char **why)
{
	if (m->family != AF_INET && m->family != AF_INET6) {
		*why = "the family is neither IPv4 nor IPv6";
		return REQUEST_REFUSED;
	}
	if (m->bits > (m->family == AF_INET ? 32 : 128)) {
		*why = "the prefix is longer than the address";
		return REQUEST_REFUSED;
	}
	if (m->family == AF_INET && !all_zero(m->addr + 4, 12)) {
		*why = "bytes after an IPv4 address";
		return REQUEST_LIE;
	}
	if (!host_bits_clear(m->addr, m->bits)) {
		*why = "the address has bits beyond the prefix";
		return REQUEST_REFUSED;
	}
	return REQUEST_OK;
}

/* Text that ends where it says, and that a terminal may be shown. */
static enum request_verdict check_text(const struct keeper_msg *m, size_t max, const char **why)
{
	size_t n = strnlen(m->text, sizeof(m->text));
	if (!all_zero(m->text + n, sizeof(m->text) - n) || n == sizeof(m->text)) {
		*why = "bytes after the end of a text";
		return REQUEST_LIE;
	}
	if (n > max) {
		*why = "a note of more than 63 bytes";
		return REQUEST_REFUSED;
	}
	for (size_t i = 0; i < n; i++) {
		if ((uint8_t)m->text[i] < 0x20 || m->text[i] == 0x7f) {
			*why = "a control character in the note";
			return REQUEST_REFUSED;
		}
	}
	return REQUEST_OK;
}

static enum request_verdict check_note(const struct keeper_msg *m, const char **why)
{
	return check_text(m, KEEPER_NOTE_MAX, why);
}

static bool prefix_unused(const struct keeper_msg *m)
{
	return !m->bits && !m->family && all_zero(m->addr, sizeof(m->addr));
}

/* Behind the fields of requests: an answer may be longer. */
#define BEYOND                                                                                     \
	(sizeof(struct keeper_msg) - offsetof(struct keeper_msg, text) -                           \
	 sizeof(((struct keeper_msg *)0)->text))

static const void *end_of(const struct keeper_msg *m)
{
	return (const uint8_t *)m + sizeof(*m) - BEYOND;
}

static bool is_denial(const struct keeper_msg *m)
{
	return m->kind == KEEPER_DENY_ADD || m->kind == KEEPER_DENY_DEL;
}

static bool is_list(const struct keeper_msg *m)
{
	return m->kind == KEEPER_LIST_LOAD || m->kind == KEEPER_LIST_DROP;
}

static bool may_force(const struct keeper_msg *m)
{
	return m->kind == KEEPER_DENY_ADD || m->kind == KEEPER_LIST_LOAD;
}

static bool is_fingerprint(const struct keeper_msg *m)
{
	return m->kind == KEEPER_FINGERPRINT_ADD || m->kind == KEEPER_FINGERPRINT_DEL;
}

static bool has_note(const struct keeper_msg *m)
{
	return m->kind == KEEPER_DENY_ADD || m->kind == KEEPER_POLICY_TRY || is_list(m) ||
	       is_fingerprint(m);
}

static enum request_verdict check_fingerprint(const struct keeper_msg *m, const char **why)
{
	struct tls_ja4 j;
	if (!tls_ja4_parse(bytes_str(m->text), &j)) {
		*why = "a fingerprint looks like t13d1516h2_8daaf6152771_e5627efa2ab1";
		return REQUEST_REFUSED;
	}
	if (m->value > KEEPER_DENY_MAX_S) {
		*why = "a denial of more than a year: leave the time out instead";
		return REQUEST_REFUSED;
	}
	return REQUEST_OK;
}

/* A set's name, and behind a blank what the file is called. */
static enum request_verdict check_set(const struct keeper_msg *m, const char **why)
{
	size_t n = strspn(m->text, "abcdefghijklmnopqrstuvwxyz0123456789._-");
	if (!n || n > KEEPER_SET_MAX || (m->text[n] && m->text[n] != ' ') ||
	    (m->text[n] && m->kind == KEEPER_LIST_DROP) ||
	    (n == 1 && *m->text == '-' && m->kind != KEEPER_LIST_DROP)) {
		*why = "a set's name is 1 to 31 of a-z 0-9 . _ - and not - alone";
		return REQUEST_REFUSED;
	}
	return REQUEST_OK;
}

bool request_brings(uint16_t kind)
{
	return kind == KEEPER_POLICY_CHECK || kind == KEEPER_POLICY_TRY || kind == KEEPER_LIST_LOAD;
}

enum request_verdict request_check(const void *datagram, size_t n, bool from_admin,
				   struct keeper_msg *msg, const char **why)
{
	if (n != sizeof(*msg)) {
		*why = "a message of the wrong size";
		return REQUEST_LIE;
	}
	memcpy(msg, datagram, sizeof(*msg));
	enum request_verdict verdict;

	/* What no request uses. */
	if (msg->status || (msg->kind != KEEPER_BAD_PEER && (msg->member || msg->incarnation)) ||
	    !all_zero(msg->_zero, sizeof(msg->_zero)) || !all_zero(end_of(msg), BEYOND) ||
	    msg->list >= LISTS || (msg->list && !is_denial(msg) && !is_list(msg)) ||
	    msg->force > 1 || (msg->force && !may_force(msg)) ||
	    (!has_note(msg) && !all_zero(msg->text, sizeof(msg->text)))) {
		*why = "something in a field that requests leave empty";
		return REQUEST_LIE;
	}
	if (!from_admin && msg->kind != KEEPER_READY && msg->kind != KEEPER_FULL &&
	    msg->kind != KEEPER_BAD_PEER && msg->kind != KEEPER_OFFENCE) {
		*why = "a request that only the admin worker may make";
		return REQUEST_LIE;
	}

	switch (msg->kind) {
	case KEEPER_READY:
		if (!msg->value && !msg->ask && prefix_unused(msg))
			return REQUEST_OK;
		break;
	case KEEPER_FULL:
		if (msg->value <= 1 && !msg->ask && prefix_unused(msg))
			return REQUEST_OK;
		break;
	case KEEPER_BAD_PEER:
		if (msg->incarnation && !msg->value && !msg->ask && prefix_unused(msg))
			return REQUEST_OK;
		break;
	case KEEPER_STATUS:
		if (msg->value <= UINT16_MAX && prefix_unused(msg))
			return REQUEST_OK;
		break;
	case KEEPER_DENY_ADD:
		verdict = check_note(msg, why);
		if (verdict != REQUEST_OK)
			return verdict;
		if (msg->value > KEEPER_DENY_MAX_S) {
			*why = "a denial of more than a year: leave the time out instead";
			return REQUEST_REFUSED;
		}
		return check_prefix(msg, why);
	case KEEPER_DENY_DEL:
		if (msg->value)
			break;
		return check_prefix(msg, why);
	case KEEPER_OFFENCE: /* no honest worker writes anything else: there is no mistake to forgive */
		if (!from_admin && !msg->ask && msg->value >= 1 &&
		    msg->value <= KEEPER_OFFENCE_MAX &&
		    msg->bits == (msg->family == AF_INET ? 32 : 128) &&
		    check_prefix(msg, why) == REQUEST_OK)
			return REQUEST_OK;
		break;
	case KEEPER_POLICY_TRY:
		if (!prefix_unused(msg))
			break;
		if (msg->value < 1 || msg->value > KEEPER_TRY_MAX_S) {
			*why = "a trial lasts a second to a day";
			return REQUEST_REFUSED;
		}
		return check_note(msg, why);
	case KEEPER_LIST_LOAD:
	case KEEPER_LIST_DROP:
		if (msg->value || !prefix_unused(msg))
			break;
		verdict = check_text(msg, sizeof(msg->text) - 1, why);
		return verdict == REQUEST_OK ? check_set(msg, why) : verdict;
	case KEEPER_FINGERPRINT_ADD:
	case KEEPER_FINGERPRINT_DEL:
		if (!prefix_unused(msg) || (msg->value && msg->kind == KEEPER_FINGERPRINT_DEL))
			break;
		verdict = check_text(msg, sizeof(msg->text) - 1, why);
		return verdict == REQUEST_OK ? check_fingerprint(msg, why) : verdict;
	case KEEPER_CERT_RELOAD:
	case KEEPER_POLICY_CHECK:
	case KEEPER_POLICY_CONFIRM:
	case KEEPER_POLICY_REVERT:
		if (!msg->value && prefix_unused(msg))
			return REQUEST_OK;
		break;
	default: *why = "a message of no known kind"; return REQUEST_LIE;
	}
	*why = "something in a field that this request leaves empty";
	return REQUEST_LIE;
}

static uint64_t interval_ns(const struct request_bucket *b)
{
	return 1000000000u / b->per_s;
}

void request_bucket_init(struct request_bucket *b, uint32_t per_s, uint32_t burst)
{
	assert(per_s > 0 && burst > 0);
	*b = (struct request_bucket){.per_s = per_s, .burst = burst};
}

uint64_t request_bucket_wait_ns(const struct request_bucket *b, uint64_t now_ns)
{
	uint64_t full = MAX(b->_spent_until_ns, now_ns) + interval_ns(b);
	uint64_t depth = now_ns + b->burst * interval_ns(b);
	return full > depth ? full - depth : 0;
}

bool request_bucket_take(struct request_bucket *b, uint64_t now_ns)
{
	if (request_bucket_wait_ns(b, now_ns))
		return false;
	b->_spent_until_ns = MAX(b->_spent_until_ns, now_ns) + interval_ns(b);
	return true;
}
