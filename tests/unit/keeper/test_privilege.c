/* SPDX-License-Identifier: BSD-2-Clause */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "child.h"
#include "keeper/privilege.h"

static const struct privilege_user nobody = {
	.change = true, .uid = 65534, .gid = 65534, .name = "nobody"};

/* One line of /proc/self/status as a number. */
static uint64_t status_hex(const char *field)
{
	FILE *f = fopen("/proc/self/status", "r");
	char line[256];
	uint64_t value = UINT64_MAX;
	while (f && fgets(line, sizeof(line), f))
		if (strncmp(line, field, strlen(field)) == 0 && line[strlen(field)] == ':')
			value = strtoull(line + strlen(field) + 1, NULL, 16);
	if (f)
		fclose(f);
	return value;
}

static int root_keeps_little(void *ctx)
{
	bool shield = *(bool *)ctx;
	uint64_t want = 1u << CAP_SETUID | 1u << CAP_SETGID | 1u << CAP_KILL;
	if (shield)
		want |= 1u << CAP_NET_ADMIN | (uint64_t)1 << CAP_BPF | (uint64_t)1 << CAP_PERFMON;
	CHECK(privilege_reduce(shield, true) == 0);
	CHECK(status_hex("CapEff") == want && status_hex("CapPrm") == want);
	CHECK(status_hex("CapBnd") == 0 && status_hex("CapInh") == 0 && status_hex("CapAmb") == 0);
	CHECK(status_hex("NoNewPrivs") == 1);
	CHECK(privilege_has(CAP_KILL) && !privilege_has(CAP_SYS_ADMIN));
	CHECK(privilege_has(CAP_BPF) == shield);
	return 0;
}

TEST(privilege, keeper_keeps_what_supervising_and_the_shield_need)
{
	if (geteuid())
		skip();
	bool shield = true;
	assert_int_equal(in_child(root_keeps_little, &shield), 0);
}

TEST(privilege, keeper_without_a_shield_keeps_nothing_for_it)
{
	if (geteuid())
		skip();
	bool shield = false;
	assert_int_equal(in_child(root_keeps_little, &shield), 0);
}

static int worker_has_nothing(void *ctx)
{
	if (*(bool *)ctx) /* as in life: from a keeper that has reduced itself */
		CHECK(privilege_reduce(true, true) == 0);
	CHECK(privilege_drop_all(&nobody) == 0);
	CHECK(status_hex("CapEff") == 0 && status_hex("CapPrm") == 0);
	CHECK(status_hex("CapBnd") == 0 && status_hex("CapInh") == 0 && status_hex("CapAmb") == 0);
	CHECK(status_hex("NoNewPrivs") == 1);
	CHECK(getuid() == 65534 && geteuid() == 65534 && getgid() == 65534 && getegid() == 65534);
	CHECK(getgroups(0, NULL) == 0);
	CHECK(setuid(0) < 0 && errno == EPERM);
	CHECK(setgid(0) < 0 && errno == EPERM);
	CHECK(open("/etc/shadow", O_RDONLY) < 0 && errno == EACCES);
	struct rlimit r;
	CHECK(getrlimit(RLIMIT_CORE, &r) == 0 && r.rlim_cur == 0 && r.rlim_max == 0);
#ifndef SLUICE_SAN
	CHECK(prctl(PR_GET_DUMPABLE) == 0);
#endif
	return 0;
}

static int builder_keeps_bpf(void *ctx)
{
	CHECK(privilege_reduce(true, true) == 0); /* as the keeper did before */
	CHECK(privilege_keep_bpf() == 0);
	CHECK(status_hex("CapEff") == (uint64_t)1 << CAP_BPF);
	CHECK(status_hex("CapPrm") == (uint64_t)1 << CAP_BPF);
	CHECK(status_hex("CapBnd") == 0 && status_hex("NoNewPrivs") == 1);
	return 0;
}

TEST(privilege, who_builds_lists_keeps_what_making_maps_needs)
{
	if (geteuid() != 0)
		test_skip("needs root");
	assert_int_equal(in_child(builder_keeps_bpf, NULL), 0);
}

TEST(privilege, worker_is_nobody_without_any_capability)
{
	if (geteuid())
		skip();
	bool reduced = false;
	assert_int_equal(in_child(worker_has_nothing, &reduced), 0);
}

TEST(privilege, worker_of_a_reduced_keeper_is_the_same)
{
	if (geteuid())
		skip();
	bool reduced = true;
	assert_int_equal(in_child(worker_has_nothing, &reduced), 0);
}

static int nobody_becomes_nothing_more(void *ctx)
{
	CHECK(privilege_drop_all(&nobody) == 0);
	struct privilege_user u;
	CHECK(privilege_find_user("root", "", &u) == 0);
	CHECK(!u.change && u.cannot && u.uid == 65534);
	CHECK(privilege_reduce(true, false) == 0);
	CHECK(privilege_drop_all(&u) == 0);
	return 0;
}

TEST(privilege, unprivileged_keeper_goes_on_as_it_is)
{
	if (geteuid())
		skip();
	assert_int_equal(in_child(nobody_becomes_nothing_more, NULL), 0);
}

TEST(privilege, user_and_group_are_looked_up)
{
	struct privilege_user u;
	assert_int_equal(privilege_find_user("no-such-user-here", "", &u), -ENOENT);
	assert_int_equal(privilege_find_user("", "no-such-group-here", &u), -ENOENT);
	assert_int_equal(privilege_find_user("", "", &u), 0);
	assert_false(u.change);
	assert_int_equal(u.uid, geteuid());
	if (geteuid() == 0) {
		assert_int_equal(privilege_find_user("nobody", "daemon", &u), 0);
		assert_true(u.change);
		assert_int_equal(u.uid, 65534);
		assert_int_equal(u.gid, 1);
	}
}

TEST_MAIN()
