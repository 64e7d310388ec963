/* SPDX-License-Identifier: BSD-2-Clause */
/* status.h - the keeper's pieces of KEEPER_STATUS become one object:
 *
 *   "keeper":{…},"listeners":[…],"shield":{…},"members":[…],"interfaces":[…],"rate":{…},
 *   "cookies":{…}
 *
 * Pieces come in that order; the lists open and close as the kind changes. */
#ifndef SLUICE_ADMIN_STATUS_H
#define SLUICE_ADMIN_STATUS_H

#include "base/json.h"

struct worker;
struct keeper_msg;

/* Begins zeroed. */
struct admin_status {
	unsigned _kind; /* of the last piece; 0: there was none */
};

/* Adds a piece to an object that is open in `o`; anything but a piece adds nothing. */
void admin_status_piece(struct json_out *o, struct admin_status *s, const struct worker *w,
			const struct keeper_msg *m);
/* No more pieces: closes what is open but for the object. */
void admin_status_end(struct json_out *o, const struct admin_status *s);

#endif
