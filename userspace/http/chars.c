/* SPDX-License-Identifier: BSD-2-Clause */
/* chars.c - the table of chars.h, computed by the compiler from one predicate
 * per class, so that each class can be read beside its RFC. */
#include "http/chars.h"

#define UPPER(c) ((c) >= 'A' && (c) <= 'Z')
#define LOWER(c) ((c) >= 'a' && (c) <= 'z')
#define DIGIT(c) ((c) >= '0' && (c) <= '9')
#define ALNUM(c) (UPPER(c) || LOWER(c) || DIGIT(c))

#define TOKEN(c)                                                                                   \
	(ALNUM(c) || (c) == '!' || (c) == '#' || (c) == '$' || (c) == '%' || (c) == '&' ||         \
	 (c) == '\'' || (c) == '*' || (c) == '+' || (c) == '-' || (c) == '.' || (c) == '^' ||      \
	 (c) == '_' || (c) == '`' || (c) == '|' || (c) == '~')

#define VALUE(c) ((c) == '\t' || ((c) >= ' ' && (c) != 0x7f))

#define UNRESERVED(c) (ALNUM(c) || (c) == '-' || (c) == '.' || (c) == '_' || (c) == '~')
#define SUB_DELIM(c)                                                                               \
	((c) == '!' || (c) == '$' || (c) == '&' || (c) == '\'' || (c) == '(' || (c) == ')' ||      \
	 (c) == '*' || (c) == '+' || (c) == ',' || (c) == ';' || (c) == '=')
#define PATH(c)                                                                                    \
	(UNRESERVED(c) || SUB_DELIM(c) || (c) == ':' || (c) == '@' || (c) == '/' || (c) == '|' ||  \
	 (c) == '^' || (c) == '[' || (c) == ']')
#define QUERY(c) (PATH(c) || (c) == '?' || (c) == '\\' || (c) == '`' || (c) == '{' || (c) == '}')

#define HOST(c) (ALNUM(c) || (c) == '-' || (c) == '.' || (c) == '_')
#define HEX(c)  (DIGIT(c) || ((c) >= 'A' && (c) <= 'F') || ((c) >= 'a' && (c) <= 'f'))

#define CLASS(c)                                                                                   \
	((TOKEN(c) ? CHAR_TOKEN : 0) | (VALUE(c) ? CHAR_VALUE : 0) |                               \
	 (UPPER(c) || (c) == '-' ? CHAR_METHOD : 0) | (PATH(c) ? CHAR_PATH : 0) |                  \
	 (QUERY(c) ? CHAR_QUERY : 0) | (HOST(c) ? CHAR_HOST : 0) | (HEX(c) ? CHAR_HEX : 0) |       \
	 (ALNUM(c) ? CHAR_ALNUM : 0))

#define CLASS4(c)  CLASS(c), CLASS((c) + 1), CLASS((c) + 2), CLASS((c) + 3)
#define CLASS16(c) CLASS4(c), CLASS4((c) + 4), CLASS4((c) + 8), CLASS4((c) + 12)
#define CLASS64(c) CLASS16(c), CLASS16((c) + 16), CLASS16((c) + 32), CLASS16((c) + 48)

const uint8_t http_chars[256] = {CLASS64(0), CLASS64(64), CLASS64(128), CLASS64(192)};
