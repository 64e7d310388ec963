/* SPDX-License-Identifier: BSD-2-Clause */
/* field.h - what stands in the values of header fields: tokens, lists, hosts.
 * Slices in, slices out; nothing is copied. */
#ifndef SLUICE_HTTP_FIELD_H
#define SLUICE_HTTP_FIELD_H

#include "base/bytes.h"

/* Takes the next element of a comma-separated list (RFC 9110 5.6.1) off `list`,
 * trimmed of white space; empty elements are skipped. Commas inside quotes do
 * not part. False at the end. Allocates nothing and never fails. */
bool http_list_next(struct bytes *list, struct bytes *element);

/* RFC 9110 5.6.2: 1 or more token characters. */
bool http_is_token(struct bytes b);

/* "[::1]:443", "example.com", "a.b:8443" -> host and port (0: none named).
 * False if `text` is anything else: empty, user@, bad characters, a port that is
 * not 1 to 65535. Names: letters, digits, '-', '.', '_', at most 255 bytes. */
bool http_host_parse(struct bytes text, struct bytes *host, uint32_t *port);

#endif
