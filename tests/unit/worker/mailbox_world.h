/* SPDX-License-Identifier: BSD-2-Clause */
/* mailbox_world.h - some members in one process, for the tests of the mailbox.
 *
 * All of them work through one mapping per outbox. Ordinary members map each other's outboxes
 * separately, but ThreadSanitizer follows addresses: only where writer and reader use the
 * same ones can it see that two accesses meet. */
#ifndef SLUICE_TEST_MAILBOX_WORLD_H
#define SLUICE_TEST_MAILBOX_WORLD_H

#include "worker/mailbox_state.h"

#include <string.h>

#define WORLD_MAX 8
#define KIB       ((uint64_t)1 << 10)
#define MIB       ((uint64_t)1 << 20)

struct world {
	struct mailbox_plan plan;
	struct mailbox_ends ends[WORLD_MAX];
	struct outbox_map maps[WORLD_MAX];
	uint32_t generation[WORLD_MAX];
	struct mailbox *mb[WORLD_MAX];
};

static inline void world_join(struct world *w, uint32_t k, uint64_t queue_bytes)
{
	w->mb[k] = mailbox_new(&w->plan, k, w->generation, w->ends, queue_bytes, w->maps);
	assert_non_null(w->mb[k]);
}

static inline void world_open(struct world *w, uint32_t n, uint32_t ring_bytes,
			      uint64_t arena_bytes, uint64_t queue_bytes)
{
	memset(w, 0, sizeof(*w));
	assert_int_equal(mailbox_plan(&w->plan, n, (uint64_t)n * (n - 1) * ring_bytes, arena_bytes),
			 0);
	assert_int_equal(w->plan.ring_bytes, ring_bytes);
	for (uint32_t k = 0; k < n; k++) {
		assert_int_equal(mailbox_ends_open(&w->plan, &w->ends[k]), 0);
		assert_int_equal(outbox_map(&w->plan, w->ends[k].rw_fd, true, OUTBOX_ALL_RINGS,
					    &w->maps[k]),
				 0);
		w->generation[k] = 1;
	}
	for (uint32_t k = 0; k < n; k++)
		world_join(w, k, queue_bytes);
}

static inline void world_close(struct world *w)
{
	for (uint32_t k = 0; k < w->plan.n_members; k++) {
		mailbox_detach(w->mb[k]);
		outbox_unmap(&w->plan, &w->maps[k]);
		mailbox_ends_close(&w->ends[k]);
	}
}

/* What the keeper does when a member has died: everything but telling the peers. Its process's
 * private memory goes with it, here detach() does that; it must not touch the outbox, so it gets
 * a spare one. */
static inline void world_kill(struct world *w, uint32_t k)
{
	static struct lane nowhere[WORLD_MAX];

	for (uint32_t i = 0; i < w->plan.n_members; i++)
		w->mb[k]->peers[i].mine = &nowhere[i];
	mailbox_detach(w->mb[k]);
	w->mb[k] = NULL;
	assert_int_equal(mailbox_outbox_reset(&w->plan, &w->ends[k]), 0);
	w->generation[k]++;
}

#endif
