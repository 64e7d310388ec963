/* SPDX-License-Identifier: BSD-2-Clause */
/* request.c - what a line of the control socket asks for, and what is wrong with it. */
#include "admin/request.h"

#include <sys/socket.h>

#include "base/addr.h"
#include "base/json.h"
#include "bpf/abi.h"
#include "config/config.h"

/* A denial of a shorter prefix is more likely a slip than a wish. */
#define DENY_BITS_V4 8
#define DENY_BITS_V6 16
#define STR_(x)      #x
#define LOCKS_OUT(bits)                                                                            \
	"a prefix shorter than /" STR_(bits) " would lock out nearly everybody, perhaps you too: " \
					     "if that is meant, say `force yes`"

enum {
	F_ASK,
	F_MEMBER,
	F_CURSOR,
	F_LIMIT,
	F_ID,
	F_NAME,
	F_ADDR,
	F_BITS,
	F_SECONDS,
	F_NOTE,
	F_FORCE,
	F_SET,
	F_TO,
	F_SPACE,
	F_DATA,
	F_COUNT
};

static const struct json_field wanted[F_COUNT] = {
	[F_ASK] = JSON_FIELD("ask"),         [F_MEMBER] = JSON_FIELD("member"),
	[F_CURSOR] = JSON_FIELD("cursor"),   [F_LIMIT] = JSON_FIELD("limit"),
	[F_ID] = JSON_FIELD("id"),           [F_NAME] = JSON_FIELD("name"),
	[F_ADDR] = JSON_FIELD("addr"),       [F_BITS] = JSON_FIELD("bits"),
	[F_SECONDS] = JSON_FIELD("seconds"), [F_NOTE] = JSON_FIELD("note"),
	[F_FORCE] = JSON_FIELD("force"),     [F_SET] = JSON_FIELD("set"),
	[F_TO] = JSON_FIELD("to"),           [F_SPACE] = JSON_FIELD("space"),
	[F_DATA] = JSON_FIELD("data"),
};

/* A number field within bounds, or `absent` if it is not there; -1: it is wrong. */
static int64_t number(const struct json_field *f, int64_t max, int64_t absent)
{
	int64_t v;
	if (f->value.type == JSON_IS_ABSENT)
		return absent;
	if (f->value.type != JSON_IS_NUMBER || !json_int64(f->value.raw, 0, max, &v))
		return -1;
	return v;
}

/* A string field into buf with its NUL; false if it is there but wrong. */
static bool text(const struct json_field *f, char *buf, size_t cap)
{
	size_t n = 0;
	buf[0] = 0;
	if (f->value.type == JSON_IS_ABSENT)
		return true;
	if (f->value.type != JSON_IS_STRING ||
	    !json_string_unescape(f->value.raw, (uint8_t *)buf, cap - 1, &n))
		return false;
	buf[n] = 0;
	return strlen(buf) == n;
}

static bool parse_uuid(const char *s, uint8_t id[16])
{
	unsigned n = 0;
	for (; *s; s++) {
		if (*s == '-')
			continue;
		uint8_t ch = byte_lower((uint8_t)*s);
		unsigned v = ch >= '0' && ch <= '9' ? ch - '0' :
			     ch >= 'a' && ch <= 'f' ? ch - 'a' + 10u :
						      16;
		if (v == 16 || n >= 32)
			return false;
		id[n / 2] = (uint8_t)(n % 2 ? id[n / 2] | v : v << 4);
		n++;
	}
	return n == 32;
}

static bool parse_member(const struct json_field *f, enum query_kind kind, struct admin_request *r)
{
	struct query q = {.kind = (uint8_t)kind};
	char buf[QUERY_NAME_MAX + 1];
	int64_t member = number(&f[F_MEMBER], CONFIG_MAX_WORKERS, -1);
	int64_t cursor = number(&f[F_CURSOR], UINT32_MAX - 1, 0);
	int64_t limit = number(&f[F_LIMIT], QUERY_LIMIT_MAX, 200);
	if (member < 0 || cursor < 0 || limit < 1) {
		r->why = "member, cursor or limit is missing or out of bounds";
		return false;
	}
	if (kind == QUERY_CONN || kind == QUERY_CLOSE) {
		if (!text(&f[F_ID], buf, sizeof(buf)) || !parse_uuid(buf, q.id)) {
			r->why = "id must be a client id (32 hexadecimal digits, dashes are fine)";
			return false;
		}
	} else if (!text(&f[F_NAME], buf, sizeof(buf))) {
		r->why = kind >= QUERY_COUNT ? "space must be a string of 1 to 100 bytes" :
					       "name must be a string of at most 100 bytes";
		return false;
	} else {
		q.name_n = (uint8_t)strlen(buf);
		memcpy(q.name, buf, q.name_n);
	}
	q.cursor = (uint32_t)cursor;
	q.limit = (uint16_t)limit;
	r->whom = ADMIN_ASK_MEMBER;
	r->member = (unsigned)member;
	r->query = q;
	return true;
}

/* The packed expression, from its text. */
static bool parse_to(const struct json_field *f, struct admin_request *r)
{
	uint8_t words[EXPRESSION_TEXT_MAX];
	struct expression x;
	struct expression_error e;
	size_t n;
	if (f->value.type != JSON_IS_STRING ||
	    !json_string_unescape(f->value.raw, words, sizeof(words), &n)) {
		r->why = "to must be a string of at most 4096 bytes: any(a,b) all(c) except(d)";
		return false;
	}
	if (!expression_from_text(BYTES(words, n), &x, &e)) {
		snprintf(r->_why, sizeof(r->_why), "to, byte %zu: %s", e.at + 1, e.why);
		r->why = r->_why;
		return false;
	}
	r->to = expression_pack(&x, r->_to);
	return true;
}

static bool parse_data(const struct json_field *f, struct admin_request *r)
{
	static const struct json_limits limits = {.max_depth = JSON_MAX_DEPTH};
	struct json_value v;
	size_t n;
	if (f->value.type != JSON_IS_STRING ||
	    !json_string_unescape(f->value.raw, r->_data, sizeof(r->_data), &n) ||
	    json_check(BYTES(r->_data, n), &limits, &v) != JSON_OK) {
		r->why = "data must be JSON of at most 4096 bytes, written as a string";
		return false;
	}
	r->data = v.raw;
	return true;
}

static bool parse_select(const struct json_field *f, enum query_kind kind, struct admin_request *r)
{
	struct json_field g[F_COUNT];
	memcpy(g, f, sizeof(g));
	g[F_NAME] = f[F_SPACE];
	if (!parse_member(g, kind, r) || !parse_to(&f[F_TO], r) ||
	    (kind == QUERY_PUBLISH && !parse_data(&f[F_DATA], r)))
		return false;
	bool named = f[F_SPACE].value.type != JSON_IS_ABSENT;
	if ((named || kind == QUERY_PUBLISH) && r->query.name_n == 0) {
		r->why = "space must be a string of 1 to 100 bytes";
		return false;
	}
	r->query.to_n = (uint16_t)r->to.n;
	r->query.data_n = (uint16_t)r->data.n;
	return true;
}

static bool parse_deny(const struct json_field *f, enum shield_list_id list, bool add,
		       struct admin_request *r)
{
	struct keeper_msg m = {.kind = add ? KEEPER_DENY_ADD : KEEPER_DENY_DEL, .list = list};
	char addr[ADDR_TEXT_MAX], note[KEEPER_NOTE_MAX + 1];
	struct addr a;
	int64_t bits = number(&f[F_BITS], 128, -1);
	int64_t seconds = number(&f[F_SECONDS], KEEPER_DENY_MAX_S, 0);
	if (!text(&f[F_ADDR], addr, sizeof(addr)) || addr_parse(bytes_str(addr), &a) != 0 ||
	    bits < 0 || (addr_is_v4(&a) && bits > 32)) {
		r->why = "addr and bits must be an address and a prefix length";
		return false;
	}
	if (seconds < 0) {
		r->why = "seconds must be 0 (until taken away) to 31622400 (366 days)";
		return false;
	}
	if (!text(&f[F_NOTE], note, sizeof(note))) {
		r->why = "note must be a string of at most 63 bytes";
		return false;
	}
	if (add && bits < (addr_is_v4(&a) ? DENY_BITS_V4 : DENY_BITS_V6) &&
	    f[F_FORCE].value.type != JSON_IS_TRUE) {
		r->why = addr_is_v4(&a) ? LOCKS_OUT(DENY_BITS_V4) : LOCKS_OUT(DENY_BITS_V6);
		return false;
	}
	m.family = addr_is_v4(&a) ? AF_INET : AF_INET6;
	m.bits = (uint8_t)bits;
	memcpy(m.addr, addr_is_v4(&a) ? a.ip + 12 : a.ip, addr_is_v4(&a) ? 4 : 16);
	if (add) {
		m.value = (uint64_t)seconds;
		m.force = f[F_FORCE].value.type == JSON_IS_TRUE;
		snprintf(m.text, sizeof(m.text), "%s", note);
	}
	r->whom = ADMIN_ASK_KEEPER;
	r->msg = m;
	return true;
}

/* The keeper looks at the name. */
static bool parse_set(const struct json_field *f, enum shield_list_id list, bool load,
		      struct admin_request *r)
{
	char set[KEEPER_SET_MAX + 1], note[KEEPER_NOTE_MAX + 1];
	if (!text(&f[F_SET], set, sizeof(set)) || !*set) {
		r->why = "set must be the name of a set, 1 to 31 of a-z 0-9 . _ -";
		return false;
	}
	if (!text(&f[F_NOTE], note, sizeof(note))) {
		r->why = "note must be a string of at most 63 bytes";
		return false;
	}
	r->whom = ADMIN_ASK_KEEPER;
	r->hands = load;
	r->msg = (struct keeper_msg){.kind = load ? KEEPER_LIST_LOAD : KEEPER_LIST_DROP,
				     .list = list};
	r->msg.force = load && f[F_FORCE].value.type == JSON_IS_TRUE;
	snprintf(r->msg.text, sizeof(r->msg.text), "%s%s%s", set, load && *note ? " " : "",
		 load ? note : "");
	return true;
}

/* The keeper looks at it. */
static bool parse_fingerprint(const struct json_field *f, bool add, struct admin_request *r)
{
	int64_t seconds = number(&f[F_SECONDS], KEEPER_DENY_MAX_S, 0);
	char name[64];
	if (!text(&f[F_NAME], name, sizeof(name)) || !*name) {
		r->why = "name must be a JA4 fingerprint";
		return false;
	}
	if (seconds < 0) {
		r->why = "seconds must be 0 (until taken away) to 31622400 (366 days)";
		return false;
	}
	r->whom = ADMIN_ASK_KEEPER;
	r->msg = (struct keeper_msg){
		.kind = add ? KEEPER_FINGERPRINT_ADD : KEEPER_FINGERPRINT_DEL,
		.value = add ? (uint64_t)seconds : 0,
	};
	snprintf(r->msg.text, sizeof(r->msg.text), "%s", name);
	return true;
}

static bool parse_try(const struct json_field *f, struct admin_request *r)
{
	int64_t seconds = number(&f[F_SECONDS], KEEPER_TRY_MAX_S, -1);
	char note[KEEPER_NOTE_MAX + 1];
	if (seconds < 1) {
		r->why = "seconds must be 1 to 86400 (a day)";
		return false;
	}
	if (!text(&f[F_NOTE], note, sizeof(note))) {
		r->why = "note must be a string of at most 63 bytes";
		return false;
	}
	r->msg = (struct keeper_msg){.kind = KEEPER_POLICY_TRY, .value = (uint64_t)seconds};
	snprintf(r->msg.text, sizeof(r->msg.text), "%s", note);
	return true;
}

static bool parse_policy(struct bytes ask, const struct json_field *f, struct admin_request *r)
{
	r->whom = ADMIN_ASK_KEEPER;
	if (json_string_eq(ask, BYTES_LIT("policy-try"))) {
		r->hands = true;
		return parse_try(f, r);
	}
	if (json_string_eq(ask, BYTES_LIT("policy-check"))) {
		r->hands = true;
		r->msg.kind = KEEPER_POLICY_CHECK;
	} else if (json_string_eq(ask, BYTES_LIT("policy-confirm"))) {
		r->msg.kind = KEEPER_POLICY_CONFIRM;
	} else if (json_string_eq(ask, BYTES_LIT("policy-revert"))) {
		r->msg.kind = KEEPER_POLICY_REVERT;
	}
	return r->msg.kind != 0;
}

static bool parse_ask(struct bytes ask, const struct json_field *f, struct admin_request *r)
{
	static const struct {
		const char *word;
		enum query_kind kind;
	} selects[] = {{"count", QUERY_COUNT},
		       {"select", QUERY_SELECT},
		       {"kick", QUERY_KICK},
		       {"publish", QUERY_PUBLISH}},
	  queries[] = {{"worker", QUERY_WORKER},     {"conns", QUERY_CONNS},
		       {"conn", QUERY_CONN},         {"close", QUERY_CLOSE},
		       {"channels", QUERY_CHANNELS}, {"homes", QUERY_HOMES},
		       {"certs", QUERY_CERTS},       {"fingerprints", QUERY_FINGERPRINTS},
		       {"purge", QUERY_PURGE},       {"purge_from", QUERY_PURGE_FROM},
		       {"members", QUERY_MEMBERS}};
	for (size_t i = 0; i < ARRAY_SIZE(queries); i++)
		if (json_string_eq(ask, bytes_str(queries[i].word)))
			return parse_member(f, queries[i].kind, r);
	for (size_t i = 0; i < ARRAY_SIZE(selects); i++)
		if (json_string_eq(ask, bytes_str(selects[i].word)))
			return parse_select(f, selects[i].kind, r);
	if (json_string_eq(ask, BYTES_LIT("deny-add")))
		return parse_deny(f, LIST_DENY, true, r);
	if (json_string_eq(ask, BYTES_LIT("deny-del")))
		return parse_deny(f, LIST_DENY, false, r);
	if (json_string_eq(ask, BYTES_LIT("deny-load")))
		return parse_set(f, LIST_DENY, true, r);
	if (json_string_eq(ask, BYTES_LIT("deny-drop")))
		return parse_set(f, LIST_DENY, false, r);
	if (json_string_eq(ask, BYTES_LIT("allow-add")))
		return parse_deny(f, LIST_ALLOW, true, r);
	if (json_string_eq(ask, BYTES_LIT("allow-del")))
		return parse_deny(f, LIST_ALLOW, false, r);
	if (json_string_eq(ask, BYTES_LIT("allow-load")))
		return parse_set(f, LIST_ALLOW, true, r);
	if (json_string_eq(ask, BYTES_LIT("allow-drop")))
		return parse_set(f, LIST_ALLOW, false, r);
	if (json_string_eq(ask, BYTES_LIT("fingerprint-add")))
		return parse_fingerprint(f, true, r);
	if (json_string_eq(ask, BYTES_LIT("fingerprint-del")))
		return parse_fingerprint(f, false, r);
	if (json_string_eq(ask, BYTES_LIT("cert-reload"))) {
		r->whom = ADMIN_ASK_KEEPER;
		r->msg = (struct keeper_msg){.kind = KEEPER_CERT_RELOAD};
		return true;
	}
	if (parse_policy(ask, f, r))
		return true;
	if (r->why)
		return false;
	r->whom = ADMIN_ASK_STATUS;
	r->why = "unknown \"ask\"";
	return json_string_eq(ask, BYTES_LIT("keeper"));
}

bool admin_request_parse(struct bytes line, struct admin_request *r)
{
	struct json_field f[F_COUNT];
	memcpy(f, wanted, sizeof(f));
	memset(r, 0, sizeof(*r));
	enum json_result result = json_object_scan(line, NULL, f, F_COUNT);
	if (result == JSON_OK && f[F_ASK].value.type == JSON_IS_STRING)
		return parse_ask(f[F_ASK].value.raw, f, r);
	r->why = result != JSON_OK ? json_result_str(result) : "\"ask\" is missing";
	return false;
}
