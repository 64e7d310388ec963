/* SPDX-License-Identifier: BSD-2-Clause */
/* limits.c - how fast, and how badly formed, a client may speak.
 *
 * The token bucket is one number: the time at which it will be full again. Each message
 * moves that time on by the price of one token; a message that would move it
 * further away than the whole bucket is worth is refused.
 *
 *     now                full         now + depth
 *      ├───────missing─────┤─────left──────┤
 *
 * An idle client needs no refill, its `full` simply lies in the past. 48 bits of
 * microseconds since boot last for nine years. */
#include "session/session.h"

#include "conn/conn.h"
#include "worker/worker.h"

#define DEPTH_US_MAX ((uint64_t)1 << 46)

static uint64_t full_us(const struct conn *c)
{
	return (uint64_t)c->rate_full_hi << 16 | c->rate_full_lo;
}

static void set_full_us(struct conn *c, uint64_t us)
{
	c->rate_full_lo = (uint16_t)us;
	c->rate_full_hi = (uint32_t)(us >> 16);
}

static uint64_t price_us(const struct config_endpoint *ep)
{
	return MAX(1000000 / ep->rate_per_s, 1u);
}

static uint64_t depth_us(const struct config_endpoint *ep)
{
	return MIN(price_us(ep) * ep->rate_burst, DEPTH_US_MAX);
}

/* The bucket is empty for another wait_us. */
static enum session_rate refused(struct conn *c, uint32_t burst, uint64_t wait_us,
				 uint32_t *retry_ms)
{
	uint64_t bound = MIN((uint64_t)burst * SESSION_RATE_PATIENCE, UINT16_MAX);

	*retry_ms = (uint32_t)MIN((wait_us + 999) / 1000, UINT32_MAX);
	if (c->rate_refused < UINT16_MAX)
		c->rate_refused++;
	return c->rate_refused >= bound ? SESSION_RATE_END : SESSION_RATE_WAIT;
}

bool session_rate_left(const struct worker *w, const struct conn *c)
{
	const struct config_endpoint *ep = &w->cfg->endpoints[c->endpoint];
	uint64_t now = w->now_ns / 1000;

	return ep->rate_per_s == 0 || MAX(full_us(c), now) + price_us(ep) <= now + depth_us(ep);
}

enum session_rate session_rate_take(const struct worker *w, struct conn *c, uint32_t *retry_ms)
{
	const struct config_endpoint *ep = &w->cfg->endpoints[c->endpoint];
	uint64_t now = w->now_ns / 1000, full, price, depth;

	*retry_ms = 0;
	if (ep->rate_per_s == 0)
		return SESSION_RATE_OK;
	assert(ep->rate_burst > 0);
	price = price_us(ep);
	depth = depth_us(ep);
	full = MAX(full_us(c), now);
	if (full + price > now + depth)
		return refused(c, ep->rate_burst, full + price - now - depth, retry_ms);
	if (full - now <= depth / 2)
		c->rate_refused = 0;
	set_full_us(c, full + price);
	return SESSION_RATE_OK;
}

bool session_offence(const struct worker *w, struct conn *c)
{
	uint32_t bound = w->cfg->endpoints[c->endpoint].bad_format_per_min;
	uint16_t minute = (uint16_t)(w->now_ns / 60000000000u);

	if (c->offence_minute != minute) {
		c->offence_minute = minute;
		c->offences = 0;
	}
	if (c->offences < UINT16_MAX)
		c->offences++;
	return bound && c->offences >= bound; /* config's ceiling is UINT16_MAX */
}
