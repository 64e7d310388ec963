/* SPDX-License-Identifier: BSD-2-Clause */
/* frame.c - frames in, frames out (RFC 6455 section 5).
 *
 *        0        1        2 .. 3 or 9      4 bytes     n bytes
 *   | F RSV op | M len7 | [len16 or len64] | [mask] | payload ... |
 *
 * Decoding keeps no half-read header: headers are at most 14 bytes and control
 * frames at most 131, so an incomplete one stays with the caller, and what is
 * kept here starts with the payload of a data frame. read_head() looks at as many
 * bytes as there are, in order, and refuses at the first that is wrong; called
 * again with more it decides the same. */
#include "ws/frame.h"
#include "ws/mask.h"
#include "ws/utf8.h"

/* rx->_flags, above WS_RX_* */
enum {
	RX_FIN = 16,      /* the open frame is the last of its message */
	RX_DEFLATED = 32, /* the open message is compressed */
	RX_CLOSED = 64,   /* a close frame has come */
};

#define ALWAYS_ZERO 0x30 /* RSV2 and RSV3 */

static const struct {
	const char *word, *help;
	uint16_t close_code;
} reasons[] = {
	[WS_BAD_NONE] = {"none", "nothing was wrong", WS_CLOSE_NORMAL},
#define REASON(name, word, code, help) [WS_BAD_##name] = {word, help, code},
#include "ws/bad_reason.def"
#undef REASON
};

const char *ws_bad_word(enum ws_bad b)
{
	assert(b < WS_BAD_COUNT);
	return reasons[b].word;
}

const char *ws_bad_help(enum ws_bad b)
{
	assert(b < WS_BAD_COUNT);
	return reasons[b].help;
}

uint16_t ws_bad_close_code(enum ws_bad b)
{
	assert(b < WS_BAD_COUNT);
	return reasons[b].close_code;
}

void ws_frame_init(struct ws_rx *rx, unsigned flags)
{
	assert((flags & ~(unsigned)(WS_RX_CLIENT | WS_RX_DEFLATE)) == 0);
	*rx = (struct ws_rx){._flags = (uint8_t)flags};
}

/* ---- reading a header ---------------------------------------------------------------------- */

struct head {
	uint8_t first, opcode;
	bool fin, control;
	size_t n; /* length of the header */
	uint64_t payload;
	uint32_t key;
};

static bool is_control(uint8_t opcode)
{
	return opcode & 8;
}

/* The first byte: does such a frame make sense here? */
static enum ws_bad check_first(const struct ws_rx *rx, const struct ws_limits *l, uint8_t first)
{
	uint8_t opcode = first & 0x0f;
	bool fin = first & WS_FIN, starts = opcode == WS_TEXT || opcode == WS_BINARY;

	if (first & ALWAYS_ZERO || (first & WS_RSV1 && !(starts && rx->_flags & WS_RX_DEFLATE)))
		return WS_BAD_RSV;
	if ((opcode & 7) > 2)
		return WS_BAD_OPCODE;
	if (is_control(opcode))
		return fin ? WS_BAD_NONE : WS_BAD_CONTROL_FRAGMENT;
	if (starts && rx->opcode)
		return WS_BAD_INTERLEAVED;
	if (!starts && !rx->opcode)
		return WS_BAD_CONTINUATION;
	/* a frame that is not the last announces one more */
	uint64_t frames = (starts ? 0u : (uint64_t)rx->fragments) + 1u + !fin;
	return frames > l->fragments ? WS_BAD_FRAGMENTS : WS_BAD_NONE;
}

/* The second byte: mask bit and short length. */
static enum ws_bad check_second(const struct ws_rx *rx, const struct head *h, uint8_t second)
{
	bool masked = second & 0x80, client = rx->_flags & WS_RX_CLIENT;
	uint8_t len = second & 0x7f;

	if (masked == client)
		return client ? WS_BAD_MASK_PRESENT : WS_BAD_MASK_MISSING;
	if (h->control && len > WS_CONTROL_MAX)
		return WS_BAD_CONTROL_LENGTH;
	if (h->opcode == WS_CLOSE && len == 1)
		return WS_BAD_CLOSE_LENGTH;
	return WS_BAD_NONE;
}

/* The length: shortest form (RFC 6455 5.2), and room in the message. */
static enum ws_bad check_length(const struct ws_rx *rx, const struct ws_limits *l,
				const struct head *h, uint8_t len7)
{
	if (len7 == 126 ? h->payload < 126 : len7 == 127 && h->payload <= UINT16_MAX)
		return WS_BAD_LENGTH_MINIMAL;
	uint32_t before = h->opcode == WS_CONTINUATION ? rx->message : 0;
	if (!h->control &&
	    (h->payload > l->message_bytes || before > l->message_bytes - (uint32_t)h->payload))
		return WS_BAD_MESSAGE_TOO_LONG;
	return WS_BAD_NONE;
}

/* WS_FRAME: `h` is filled. WS_BAD: *why. */
static enum ws_outcome read_head(const struct ws_rx *rx, const struct ws_limits *l,
				 const uint8_t *p, size_t n, struct head *h, enum ws_bad *why)
{
	if (n < 1)
		return WS_MORE;
	*h = (struct head){.first = p[0],
			   .opcode = p[0] & 0x0f,
			   .fin = p[0] & WS_FIN,
			   .control = is_control(p[0])};
	*why = check_first(rx, l, p[0]);
	if (*why)
		return WS_BAD;
	if (n < 2)
		return WS_MORE;
	*why = check_second(rx, h, p[1]);
	if (*why)
		return WS_BAD;

	uint8_t len7 = p[1] & 0x7f;
	h->n = len7 < 126 ? 2 : len7 == 126 ? 4 : 10;
	if (len7 == 127 && n > 2 && p[2] & 0x80) {
		*why = WS_BAD_LENGTH_SIGN;
		return WS_BAD;
	}
	if (n < h->n)
		return WS_MORE;
	h->payload = len7 < 126 ? len7 : len7 == 126 ? load_be16(p + 2) : load_be64(p + 2);
	*why = check_length(rx, l, h, len7);
	if (*why)
		return WS_BAD;

	if (p[1] & 0x80) {
		if (n < h->n + 4)
			return WS_MORE;
		memcpy(&h->key, p + h->n, 4);
		h->n += 4;
	}
	return WS_FRAME;
}

/* ---- taking payload ------------------------------------------------------------------------ */

static enum ws_outcome refuse(struct ws_rx *rx, struct ws_frame *f, enum ws_bad why)
{
	rx->bad = (uint8_t)why;
	f->bad = (uint8_t)why;
	f->close_code = ws_bad_close_code(why);
	return WS_BAD;
}

static enum ws_outcome take_close(struct ws_rx *rx, struct ws_frame *f)
{
	f->close_code = WS_CLOSE_NO_CODE;
	if (f->n) {
		f->close_code = load_be16(f->data);
		f->data += 2;
		f->n -= 2;
		if (!ws_close_valid(f->close_code))
			return refuse(rx, f, WS_BAD_CLOSE_CODE);
		if (!utf8_valid(BYTES(f->data, f->n)))
			return refuse(rx, f, WS_BAD_CLOSE_UTF8);
	}
	rx->_flags |= RX_CLOSED;
	return WS_FRAME;
}

static enum ws_outcome take_control(struct ws_rx *rx, const struct head *h, uint8_t *p, size_t n,
				    struct ws_frame *f)
{
	if (n - h->n < h->payload)
		return WS_MORE; /* control frames come whole */
	f->opcode = h->opcode;
	f->begins = f->ends = true;
	f->data = p + h->n;
	f->n = (size_t)h->payload;
	f->used = h->n + f->n;
	if (h->key)
		ws_mask(f->data, f->n, h->key);
	return h->opcode == WS_CLOSE ? take_close(rx, f) : WS_FRAME;
}

/* The next `n` bytes lie at `p` and belong to the open frame, as far as it goes. */
static enum ws_outcome take_data(struct ws_rx *rx, uint8_t *p, size_t n, struct ws_frame *f)
{
	f->opcode = rx->opcode;
	f->deflated = rx->_flags & RX_DEFLATED;
	f->data = p;
	f->n = MIN(n, rx->left);
	f->used += f->n;
	f->message = rx->message;
	rx->left -= (uint32_t)f->n;
	f->left = rx->left;
	if (rx->_key)
		rx->_key = ws_mask(f->data, f->n, rx->_key);
	f->ends = rx->left == 0 && rx->_flags & RX_FIN;

	if (f->opcode == WS_TEXT && !f->deflated &&
	    (!utf8_check(&rx->_utf8, BYTES(f->data, f->n)) || (f->ends && rx->_utf8 != UTF8_WHOLE)))
		return refuse(rx, f, WS_BAD_UTF8);
	if (f->ends)
		rx->opcode = 0;
	return f->begins && f->ends && rx->fragments == 1 ? WS_FRAME : WS_DATA;
}

/* A data frame begins. */
static void open_frame(struct ws_rx *rx, const struct head *h, struct ws_frame *f)
{
	if (h->opcode != WS_CONTINUATION) {
		rx->opcode = h->opcode;
		rx->message = 0;
		rx->fragments = 0;
		rx->_utf8 = UTF8_WHOLE;
		rx->_flags &= (uint8_t)~RX_DEFLATED;
		if (h->first & WS_RSV1)
			rx->_flags |= RX_DEFLATED;
		f->begins = true;
	}
	rx->_flags &= (uint8_t)~RX_FIN;
	if (h->fin)
		rx->_flags |= RX_FIN;
	rx->fragments++;
	rx->left = (uint32_t)h->payload;
	rx->message += rx->left;
	rx->_key = h->key;
	f->used = h->n;
}

enum ws_outcome ws_frame_next(struct ws_rx *rx, const struct ws_limits *l, uint8_t *p, size_t n,
			      struct ws_frame *f)
{
	struct head h;
	enum ws_bad why;

	*f = (struct ws_frame){.data = p};
	if (rx->bad)
		return refuse(rx, f, rx->bad);
	if (rx->_flags & RX_CLOSED) {
		f->used = n;
		return WS_MORE;
	}
	if (rx->left)
		return n ? take_data(rx, p, n, f) : WS_MORE;

	switch (read_head(rx, l, p, n, &h, &why)) {
	case WS_BAD: return refuse(rx, f, why);
	case WS_MORE: return WS_MORE;
	default: break;
	}
	if (h.control)
		return take_control(rx, &h, p, n, f);
	open_frame(rx, &h, f);
	return take_data(rx, p + h.n, n - h.n, f);
}

/* ---- writing ------------------------------------------------------------------------------- */

size_t ws_frame_head(uint8_t out[WS_HEAD_MAX], unsigned first, uint64_t n, const uint8_t *mask)
{
	uint8_t bit = mask ? 0x80 : 0;
	size_t k = 2;

	assert(n >> 63 == 0);
	assert((first & 0x07) <= 2 && (first & 0xff) == first && !(first & ALWAYS_ZERO));
	assert(!is_control((uint8_t)first) || (first & WS_FIN && n <= WS_CONTROL_MAX));
	out[0] = (uint8_t)first;
	if (n < 126) {
		out[1] = bit | (uint8_t)n;
	} else if (n <= UINT16_MAX) {
		out[1] = bit | 126;
		store_be16(out + 2, (uint16_t)n);
		k = 4;
	} else {
		out[1] = bit | 127;
		store_be64(out + 2, n);
		k = 10;
	}
	if (mask) {
		memcpy(out + k, mask, 4);
		k += 4;
	}
	return k;
}

size_t ws_frame_write(uint8_t *out, size_t cap, unsigned first, struct bytes payload,
		      const uint8_t *mask)
{
	uint8_t head[WS_HEAD_MAX];
	uint32_t key;
	size_t k = ws_frame_head(head, first, payload.n, mask);

	if (cap < k || cap - k < payload.n)
		return 0;
	memcpy(out, head, k);
	if (payload.n)
		memcpy(out + k, payload.p, payload.n);
	if (mask) {
		memcpy(&key, mask, 4);
		ws_mask(out + k, payload.n, key);
	}
	return k + payload.n;
}

size_t ws_frame_close(uint8_t out[WS_CONTROL_MAX], uint16_t code, struct bytes reason)
{
	if (code == WS_CLOSE_NO_CODE)
		return 0;
	assert(ws_close_valid(code));
	assert(utf8_valid(reason));
	size_t n = utf8_cut(reason, WS_CONTROL_MAX - 2);
	store_be16(out, code);
	if (n)
		memcpy(out + 2, reason.p, n);
	return 2 + n;
}
