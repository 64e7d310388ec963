/* SPDX-License-Identifier: BSD-2-Clause */
/* frame.h - the frames of RFC 6455 section 5, both ways, for both sides.
 *
 * The decoder works in place on whatever buffer the bytes were read into and
 * keeps 20 bytes per connection. Each call takes one thing off the front:
 *
 *	while (n) switch (ws_frame_next(&rx, &limits, p, n, &f)) {
 *	case WS_FRAME:  one whole frame, not fragmented: f.opcode TEXT, BINARY,
 *	                PING, PONG or CLOSE, f.data its payload, unmasked, in place.
 *	                This is nearly all of life.            p += f.used, n -= f.used
 *	case WS_DATA:   a piece of a message that is fragmented, or longer than
 *	                what has arrived: append f.data to what you keep if
 *	                f.begins is false, else start; deliver if f.ends.    likewise
 *	case WS_MORE:   p[0..n) is the beginning of a header or of a control frame
 *	                (at most WS_REST_MAX bytes): keep it, untouched, in front of
 *	                what comes next.
 *	case WS_BAD:    close with f.close_code; f.bad says why.
 *	}
 *
 * A control frame between the fragments of a message comes as WS_FRAME and
 * leaves the message as it was. Control frames come whole or not at all.
 *
 * Everything is refused at the first byte that shows it, sizes at the header
 * that announces them, text at the first byte that is not UTF-8; what comes out
 * does not depend on how the bytes were cut. After WS_BAD the answer stays
 * WS_BAD; after a CLOSE frame everything more is swallowed as WS_MORE with
 * f.used = n (RFC 6455 1.4: ignore it). */
#ifndef SLUICE_WS_FRAME_H
#define SLUICE_WS_FRAME_H

#include <assert.h>

#include "base/bytes.h"
#include "ws/close_code.h"

#define WS_HEAD_MAX    14                       /* header of a frame, with mask */
#define WS_CONTROL_MAX 125                      /* payload of a control frame */
#define WS_REST_MAX    (6 + WS_CONTROL_MAX - 1) /* what WS_MORE can leave */
#define WS_MESSAGE_MAX UINT32_MAX

enum ws_opcode {
	WS_CONTINUATION = 0,
	WS_TEXT = 1,
	WS_BINARY = 2,
	WS_CLOSE = 8,
	WS_PING = 9,
	WS_PONG = 10,
};

enum ws_outcome { WS_FRAME, WS_DATA, WS_MORE, WS_BAD };

enum ws_bad {
	WS_BAD_NONE,
#define REASON(name, word, code, help) WS_BAD_##name,
#include "ws/bad_reason.def"
#undef REASON
	WS_BAD_COUNT
};

const char *ws_bad_word(enum ws_bad b);
const char *ws_bad_help(enum ws_bad b);
uint16_t ws_bad_close_code(enum ws_bad b);

/* Of an endpoint; shared by all its connections. */
struct ws_limits {
	uint32_t message_bytes; /* payload of one message as it comes over the wire */
	uint32_t fragments;     /* frames of one message, empty ones too; 1 forbids fragments */
};

/* ws_frame_init() */
enum {
	WS_RX_SERVER = 0,  /* we are the server: frames must be masked */
	WS_RX_CLIENT = 1,  /* we are the client: frames must not be masked */
	WS_RX_DEFLATE = 2, /* permessage-deflate was agreed: RSV1 on a first frame is allowed */
};

/* The decoder's whole memory of a connection; no pointers, may lie in a conn. */
struct ws_rx {
	uint32_t left;      /* payload bytes of the open frame that have not come yet */
	uint32_t message;   /* payload bytes of the open message announced so far */
	uint32_t _key;      /* mask, turned to fit the next byte */
	uint32_t fragments; /* frames of the open message so far */
	uint8_t _flags;     /* WS_RX_* and RX_* in frame.c */
	uint8_t opcode;     /* of the open message: TEXT, BINARY; 0: none is open */
	uint8_t _utf8;
	uint8_t bad; /* enum ws_bad */
};
static_assert(sizeof(struct ws_rx) == 20, "lies in every conn");

/* What one call took off. */
struct ws_frame {
	size_t used;         /* bytes taken off the front, header included */
	uint8_t *data;       /* payload or a piece of it, unmasked, inside the buffer */
	size_t n;            /* its length; 0 is possible everywhere */
	uint32_t left;       /* WS_DATA: bytes of this frame still to come */
	uint32_t message;    /* WS_DATA: bytes of the message announced so far, for sizing */
	uint16_t close_code; /* WS_BAD: to send. CLOSE: received, WS_CLOSE_NO_CODE if none */
	uint8_t opcode;      /* of the message for WS_DATA, never CONTINUATION */
	uint8_t bad;         /* WS_BAD: enum ws_bad */
	bool begins;         /* first piece of its message (WS_FRAME: true) */
	bool ends;           /* last piece of its message (WS_FRAME: true) */
	bool deflated;       /* the message is compressed; its text is not yet checked */
};

void ws_frame_init(struct ws_rx *rx, unsigned flags);

/* p[0..n) is changed (unmasked) only where f->data points. `f` is filled for
 * every outcome. For CLOSE, f->data is the reason, without the code. n may be 0. */
enum ws_outcome ws_frame_next(struct ws_rx *rx, const struct ws_limits *l, uint8_t *p, size_t n,
			      struct ws_frame *f);

/* Is nothing half-read: no frame, no message? (Leftovers of WS_MORE are the caller's to know.) */
static inline bool ws_frame_idle(const struct ws_rx *rx)
{
	return rx->left == 0 && rx->opcode == 0;
}

/* ws_frame_head() */
enum {
	WS_FIN = 0x80,
	WS_RSV1 = 0x40, /* compressed: on the first frame of a message */
};

/* Writes the header of a frame with n bytes of payload: opcode | WS_FIN | WS_RSV1.
 * `mask`: four random bytes, for clients; NULL for servers. Returns 2 to 14. The
 * payload follows, a client's masked by ws_mask(). Whole messages go out as
 * ws_frame_head(out, WS_TEXT | WS_FIN, n, NULL); fragments as TEXT, then
 * CONTINUATION, the last with WS_FIN. */
size_t ws_frame_head(uint8_t out[WS_HEAD_MAX], unsigned first, uint64_t n, const uint8_t *mask);

/* Writes a whole frame, payload included and masked if `mask`; returns its length,
 * 0 if it does not fit cap. `payload` may not overlap `out`. */
size_t ws_frame_write(uint8_t *out, size_t cap, unsigned first, struct bytes payload,
		      const uint8_t *mask);

/* The payload of a close frame: code and reason, which must be UTF-8 and is cut
 * at a character to fit. WS_CLOSE_NO_CODE gives the empty payload. Other codes
 * must be valid (ws_close_valid). Returns its length. */
size_t ws_frame_close(uint8_t out[WS_CONTROL_MAX], uint16_t code, struct bytes reason);

#endif
