/* SPDX-License-Identifier: BSD-2-Clause */
/* body.c - request bodies.
 *
 *   by length:  ─► LENGTH ─► END
 *   chunked:    ─► SIZE ─► [EXTENSION] ─► SIZE_LF ─► DATA ─► DATA_CR ─► DATA_LF ─┐
 *                  ▲                        │ size 0                              │
 *                  └────────────────────────┼─────────────────────────────────────┘
 *                     TRAILER ◄─────────────┘
 *                     ─► TRAILER_NAME ─► TRAILER_VALUE ─► TRAILER_LF ─► TRAILER ─► END_LF ─► END
 *
 * One byte, one decision, except for the data itself, which is cut out in runs.
 * White space before a chunk's ';' is refused although RFC 9112 7.1.1 has a
 * grammar for it ("bad" white space): nobody sends it, and parsers that disagree
 * about where a chunk size ends are how requests are smuggled. */
#include <assert.h>

#include "http/body.h"
#include "http/chars.h"

enum state {
	LENGTH,
	SIZE,
	EXTENSION,
	SIZE_LF,
	DATA,
	DATA_CR,
	DATA_LF,
	TRAILER,
	TRAILER_NAME,
	TRAILER_VALUE,
	TRAILER_LF,
	END_LF,
	END,
	FAILED,
};

#define CHUNK_DIGITS 15 /* below 2^60: nothing can overflow */

static enum http_body_outcome bad(struct http_body *b, enum http_bad why)
{
	b->bad = (uint8_t)why;
	b->_state = FAILED;
	return HTTP_BODY_BAD;
}

enum http_body_outcome http_body_init(struct http_body *b, const struct http_head *h,
				      uint64_t max_bytes)
{
	*b = (struct http_body){.room = max_bytes, ._state = END};
	if (h->framing == HTTP_BODY_CHUNKED) {
		b->_state = SIZE;
		return HTTP_BODY_MORE;
	}
	if (h->framing == HTTP_NO_BODY || h->content_length == 0)
		return HTTP_BODY_END;
	if (h->content_length > max_bytes)
		return bad(b, HTTP_BAD_BODY_TOO_LONG);
	b->_state = LENGTH;
	b->left = h->content_length;
	return HTTP_BODY_MORE;
}

static enum http_bad size_byte(struct http_body *b, uint8_t c)
{
	if (char_is(c, CHAR_HEX)) {
		if (++b->_digits > CHUNK_DIGITS)
			return HTTP_BAD_CHUNK_SIZE;
		b->left = b->left << 4 | char_hex(c);
		return b->left > b->room ? HTTP_BAD_BODY_TOO_LONG : HTTP_BAD_NONE;
	}
	if (b->_digits == 0 || (c != '\r' && c != ';'))
		return c == '\n' ? HTTP_BAD_BARE_LF : HTTP_BAD_CHUNK_SIZE;
	b->_digits = 0;
	b->_state = c == ';' ? EXTENSION : SIZE_LF;
	return HTTP_BAD_NONE;
}

/* Unknown extensions are to be ignored (RFC 9112 7.1.1), so their inside is not parsed. */
static enum http_bad extension_byte(struct http_body *b, uint8_t c)
{
	if (c == '\r') {
		b->_state = SIZE_LF;
		return HTTP_BAD_NONE;
	}
	if (!char_is(c, CHAR_VALUE))
		return c == '\n' ? HTTP_BAD_BARE_LF : HTTP_BAD_CHUNK_EXTENSION;
	return ++b->_extra > HTTP_CHUNK_EXTENSION_BYTES ? HTTP_BAD_CHUNK_EXTENSION : HTTP_BAD_NONE;
}

static enum http_bad trailer_byte(struct http_body *b, uint8_t c)
{
	if (b->_state == TRAILER && c == '\r') {
		b->_state = END_LF;
		return HTTP_BAD_NONE;
	}
	if (++b->_trailer > HTTP_TRAILER_BYTES)
		return HTTP_BAD_TRAILER;
	if (b->_state == TRAILER_VALUE) {
		if (c == '\r')
			b->_state = TRAILER_LF;
		else if (!char_is(c, CHAR_VALUE))
			return c == '\n' ? HTTP_BAD_BARE_LF : HTTP_BAD_TRAILER;
		return HTTP_BAD_NONE;
	}
	if (b->_state == TRAILER_NAME && c == ':')
		b->_state = TRAILER_VALUE;
	else if (char_is(c, CHAR_TOKEN))
		b->_state = TRAILER_NAME;
	else
		return c == '\n' ? HTTP_BAD_BARE_LF : HTTP_BAD_TRAILER;
	return HTTP_BAD_NONE;
}

static enum http_bad expect(struct http_body *b, bool right, enum state next, enum http_bad why)
{
	if (!right)
		return why;
	b->_state = (uint8_t)next;
	return HTTP_BAD_NONE;
}

/* Everything that is not data. */
static enum http_bad frame_byte(struct http_body *b, uint8_t c)
{
	switch ((enum state)b->_state) {
	case SIZE: return size_byte(b, c);
	case EXTENSION: return extension_byte(b, c);
	case SIZE_LF: return expect(b, c == '\n', b->left ? DATA : TRAILER, HTTP_BAD_BARE_CR);
	case DATA_CR: return expect(b, c == '\r', DATA_LF, HTTP_BAD_CHUNK_END);
	case DATA_LF: return expect(b, c == '\n', SIZE, HTTP_BAD_CHUNK_END);
	case TRAILER:
	case TRAILER_NAME:
	case TRAILER_VALUE: return trailer_byte(b, c);
	case TRAILER_LF: return expect(b, c == '\n', TRAILER, HTTP_BAD_BARE_CR);
	case END_LF: return expect(b, c == '\n', END, HTTP_BAD_BARE_CR);
	case LENGTH:
	case DATA:
	case END:
	case FAILED: break;
	}
	assert(!"a byte in a state that takes none");
	return HTTP_BAD_NONE;
}

static void take_run(struct http_body *b, struct bytes *in, struct bytes *run)
{
	*run = BYTES(in->p, (size_t)MIN((uint64_t)in->n, b->left));
	in->p += run->n;
	in->n -= run->n;
	b->left -= run->n;
	b->room -= run->n;
	if (b->left == 0)
		b->_state = b->_state == LENGTH ? END : DATA_CR;
}

enum http_body_outcome http_body_next(struct http_body *b, struct bytes *in, struct bytes *run)
{
	if (b->_state == FAILED)
		return HTTP_BODY_BAD;
	while (b->_state != END) {
		if (in->n == 0)
			return HTTP_BODY_MORE;
		if (b->_state == LENGTH || b->_state == DATA) {
			take_run(b, in, run);
			return HTTP_BODY_RUN;
		}
		enum http_bad why = frame_byte(b, in->p[0]);
		if (why)
			return bad(b, why);
		in->p++;
		in->n--;
	}
	return HTTP_BODY_END;
}
