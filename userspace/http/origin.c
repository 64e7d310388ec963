/* SPDX-License-Identifier: BSD-2-Clause */
/* origin.c - see origin.h. A rule and a header are taken apart by the same
 * function and compared part by part; no string of one is ever searched in the
 * other but for the suffix of a wildcard, which begins with its dot. */
#include <errno.h>
#include <stdlib.h>

#include "http/chars.h"
#include "http/origin.h"

enum rule_kind { ANY, OPAQUE, SAME_HOST, EXACT, BELOW };

struct http_origin_rule {
	enum rule_kind kind;
	uint8_t *text;             /* owned; what the slices of `origin` point into */
	struct http_origin origin; /* BELOW: host is what names must end in, ".example.com" */
};

static uint32_t default_port(struct bytes scheme)
{
	if (bytes_ieq(scheme, BYTES_LIT("https")))
		return 443;
	if (bytes_ieq(scheme, BYTES_LIT("http")))
		return 80;
	return 0;
}

/* Takes "scheme://" off `text`. RFC 3986 3.1 */
static bool scheme_parse(struct bytes *text, struct bytes *scheme)
{
	const uint8_t *colon = text->n ? memchr(text->p, ':', text->n) : NULL;
	if (!colon || colon == text->p)
		return false;
	*scheme = BYTES(text->p, colon - text->p);
	for (size_t i = 0; i < scheme->n; i++) {
		uint8_t c = scheme->p[i];
		if (!char_is(c, CHAR_ALNUM) && (i == 0 || (c != '+' && c != '-' && c != '.')))
			return false;
	}
	if (scheme->p[0] <= '9') /* a letter first */
		return false;
	size_t rest = text->n - scheme->n;
	if (rest < 3 || memcmp(colon, "://", 3) != 0)
		return false;
	*text = BYTES(colon + 3, rest - 3);
	return true;
}

bool http_origin_parse(struct http_origin *o, struct bytes text)
{
	*o = (struct http_origin){.scheme = BYTES(text.p, 0), .host = BYTES(text.p, 0)};
	if (bytes_eq(text, BYTES_LIT("null")))
		return true;
	if (!scheme_parse(&text, &o->scheme) || !http_host_parse(text, &o->host, &o->port))
		return false;
	if (o->port == 0)
		o->port = default_port(o->scheme);
	return true;
}

void http_origin_list_init(struct http_origin_list *l)
{
	*l = (struct http_origin_list){0};
}

/* A star and a dot in front of a host: taken apart as usual behind them, then the
 * host takes its dot back. "*.example.com" matches what ends in ".example.com". */
static bool wildcard_parse(struct http_origin *o, struct bytes text)
{
	if (!scheme_parse(&text, &o->scheme) || text.n < 3 || text.p[0] != '*' || text.p[1] != '.')
		return false;
	struct bytes base = BYTES(text.p + 2, text.n - 2);
	if (base.p[0] == '[' || !http_host_parse(base, &o->host, &o->port))
		return false;
	o->host = BYTES(o->host.p - 1, o->host.n + 1);
	if (o->port == 0)
		o->port = default_port(o->scheme);
	return true;
}

static int rule_parse(struct http_origin_rule *r, struct bytes text)
{
	if (bytes_eq(text, BYTES_LIT("*")))
		r->kind = ANY;
	else if (bytes_eq(text, BYTES_LIT("null")))
		r->kind = OPAQUE;
	else if (bytes_eq(text, BYTES_LIT("same-host")))
		r->kind = SAME_HOST;
	else if (http_origin_parse(&r->origin, text))
		r->kind = EXACT;
	else if (wildcard_parse(&r->origin, text))
		r->kind = BELOW;
	else
		return -EINVAL;
	return 0;
}

int http_origin_list_add(struct http_origin_list *l, struct bytes rule)
{
	struct http_origin_rule r = {0};
	struct http_origin_rule *rules;
	int err = -ENOMEM;

	r.text = malloc(rule.n + 1);
	if (!r.text)
		return err;
	memcpy(r.text, rule.n ? rule.p : (const uint8_t *)"", rule.n);
	err = rule_parse(&r, BYTES(r.text, rule.n));
	if (err)
		goto free_text;
	err = -ENOMEM;
	rules = reallocarray(l->_rules, l->_n + 1u, sizeof(*rules));
	if (!rules)
		goto free_text;
	l->_rules = rules;
	rules[l->_n++] = r;
	return 0;

free_text:
	free(r.text);
	return err;
}

void http_origin_list_fini(struct http_origin_list *l)
{
	for (uint32_t i = 0; i < l->_n; i++)
		free(l->_rules[i].text);
	free(l->_rules);
	*l = (struct http_origin_list){0};
}

/* Behind a terminator we cannot see the client's scheme: a Host without a port
 * then means the default port of whatever scheme the origin has. */
static bool same_host(const struct http_origin *o, const struct http_head *h, bool tls)
{
	if (!h->host.p || !bytes_ieq(o->host, h->host) || !default_port(o->scheme))
		return false;
	if (tls && !bytes_ieq(o->scheme, BYTES_LIT("https")))
		return false;
	return o->port == (h->port ? h->port : default_port(o->scheme));
}

static bool below(struct bytes host, struct bytes suffix)
{
	return host.n > suffix.n && bytes_ieq(BYTES(host.p + host.n - suffix.n, suffix.n), suffix);
}

static bool matches(const struct http_origin_rule *r, const struct http_origin *o,
		    const struct http_head *h, bool tls)
{
	bool opaque = o->scheme.n == 0;

	switch (r->kind) {
	case ANY: return true;
	case OPAQUE: return opaque;
	case SAME_HOST: return !opaque && same_host(o, h, tls);
	case EXACT:
	case BELOW: break;
	}
	return !opaque && bytes_ieq(o->scheme, r->origin.scheme) && o->port == r->origin.port &&
	       (r->kind == EXACT ? bytes_ieq(o->host, r->origin.host) :
				   below(o->host, r->origin.host));
}

enum http_origin_verdict http_origin_check(const struct http_origin_list *l,
					   const struct http_head *h, bool tls)
{
	struct bytes text = h->known[HTTP_ORIGIN];
	struct http_origin o;

	if (!text.p)
		return HTTP_ORIGIN_ABSENT;
	bool good = http_origin_parse(&o, text);
	for (uint32_t i = 0; i < l->_n; i++)
		if (l->_rules[i].kind == ANY || (good && matches(&l->_rules[i], &o, h, tls)))
			return HTTP_ORIGIN_ALLOWED;
	return good ? HTTP_ORIGIN_REFUSED : HTTP_ORIGIN_BAD;
}
