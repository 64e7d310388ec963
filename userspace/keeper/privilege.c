/* SPDX-License-Identifier: BSD-2-Clause */
/* privilege.c - capset(2) and prctl(2), directly: three calls do not need a library.
 *
 * The keeper stays root in name, because the files that it must remove at the end (control
 * socket, pins) are root's; but with SECBIT_NOROOT that name gives no capability, and with an empty
 * bounding set no program that it could start would have one either. What it keeps is in its
 * permitted set alone. */
#include "keeper/privilege.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/log.h"

#define BIT(cap) ((uint64_t)1 << (cap))

static int capabilities_get(uint64_t *effective, uint64_t *permitted)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];
	*effective = *permitted = 0;
	if (syscall(SYS_capget, &head, data) < 0)
		return -errno;
	*effective = data[0].effective | (uint64_t)data[1].effective << 32;
	*permitted = data[0].permitted | (uint64_t)data[1].permitted << 32;
	return 0;
}

/* Permitted and effective alike; nothing inheritable. */
static int capabilities_set(uint64_t keep)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {
		{.effective = (uint32_t)keep, .permitted = (uint32_t)keep},
		{.effective = (uint32_t)(keep >> 32), .permitted = (uint32_t)(keep >> 32)},
	};
	return syscall(SYS_capset, &head, data) < 0 ? -errno : 0;
}

bool privilege_has(int capability)
{
	uint64_t effective, permitted;
	return capabilities_get(&effective, &permitted) == 0 && (effective & BIT(capability));
}

/* ---- users -------------------------------------------------------------------------------- */

static int find_group(const char *group, gid_t *gid)
{
	errno = 0;
	const struct group *g = getgrnam(group);
	if (!g) {
		log_error("group: there is no group \"%s\" here: create it or name another", group);
		return errno ? -errno : -ENOENT;
	}
	*gid = g->gr_gid;
	return 0;
}

int privilege_find_user(const char *user, const char *group, struct privilege_user *out)
{
	*out = (struct privilege_user){.uid = geteuid(), .gid = getegid()};
	if (*user) {
		errno = 0;
		const struct passwd *pw = getpwnam(user);
		if (!pw) {
			log_error("user: there is no user \"%s\" here: create it (useradd "
				  "--system %s) or name another",
				  user, user);
			return errno ? -errno : -ENOENT;
		}
		out->uid = pw->pw_uid;
		out->gid = pw->pw_gid;
	}
	int err = *group ? find_group(group, &out->gid) : 0;
	if (err)
		return err;
	snprintf(out->name, sizeof(out->name), "%s", user);
	out->change = out->uid != geteuid() || out->gid != getegid();
	if (out->change && !(privilege_has(CAP_SETUID) && privilege_has(CAP_SETGID))) {
		out->change = false;
		out->cannot = true;
		out->uid = geteuid();
		out->gid = getegid();
	}
	return 0;
}

void privilege_say_user(const struct privilege_user *user)
{
	if (user->cannot)
		log_info("workers stay uid %u: becoming \"%s\" needs root", user->uid, user->name);
	if (user->uid == 0)
		log_warn("workers run as root (without capabilities): set user to a user that owns "
			 "nothing");
}

/* ---- giving up ------------------------------------------------------------------------------ */

/* What the keeper holds while it supervises. */
static uint64_t wanted(bool shield, bool change_user)
{
	uint64_t keep = 0;
	if (shield) {
		keep |= BIT(CAP_NET_ADMIN);
		/* before Linux 5.8 one capability stood for all of BPF */
		if (prctl(PR_CAPBSET_READ, CAP_BPF) < 0)
			keep |= BIT(CAP_SYS_ADMIN);
		else
			keep |= BIT(CAP_BPF) | BIT(CAP_PERFMON);
	}
	if (change_user) /* a successor becomes the user too, and a straggler must be killed */
		keep |= BIT(CAP_SETUID) | BIT(CAP_SETGID) | BIT(CAP_KILL);
	return keep;
}

/* What execve(2) and ambient sets could bring back. All of it fails without CAP_SETPCAP, which
 * whoever has something to lose here has. */
static void forget_the_way_back(void)
{
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED |
					 SECBIT_NO_CAP_AMBIENT_RAISE |
					 SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED);
	for (int cap = 0; prctl(PR_CAPBSET_READ, cap) >= 0; cap++)
		prctl(PR_CAPBSET_DROP, cap);
}

/* Memory that holds keys goes neither to a core file nor to a debugger. */
static int hide_memory(void)
{
	if (setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}) < 0)
		return -errno;
#ifdef SLUICE_SAN
	/* the leak checker attaches to its own process */
	return prctl(PR_SET_DUMPABLE, 1) < 0 ? -errno : 0;
#else
	return prctl(PR_SET_DUMPABLE, 0) < 0 ? -errno : 0;
#endif
}

int privilege_reduce(bool shield, bool change_user)
{
	uint64_t effective, permitted;
	int err = capabilities_get(&effective, &permitted);
	if (err)
		return err;
	forget_the_way_back();
	err = capabilities_set(permitted & wanted(shield, change_user));
	if (err)
		return err;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	return hide_memory();
}

int privilege_keep_bpf(void)
{
	uint64_t effective, permitted;
	int err = capabilities_get(&effective, &permitted);
	if (err)
		return err;
	forget_the_way_back();
	err = capabilities_set(
		permitted &
		(prctl(PR_CAPBSET_READ, CAP_BPF) < 0 ? BIT(CAP_SYS_ADMIN) : BIT(CAP_BPF)));
	if (err)
		return err;
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : hide_memory();
}

static int become(const struct privilege_user *user)
{
	if (setgroups(0, NULL) < 0 || setresgid(user->gid, user->gid, user->gid) < 0 ||
	    setresuid(user->uid, user->uid, user->uid) < 0)
		return -errno;
	uid_t r, e, s;
	gid_t rg, eg, sg;
	if (getresuid(&r, &e, &s) < 0 || getresgid(&rg, &eg, &sg) < 0)
		return -errno;
	if (r != user->uid || e != user->uid || s != user->uid || rg != user->gid ||
	    eg != user->gid || sg != user->gid || getgroups(0, NULL) != 0)
		return -EPERM;
	return 0;
}

int privilege_drop_all(const struct privilege_user *user)
{
	forget_the_way_back();
	int err = user->change ? become(user) : 0;
	if (err)
		return err;
	err = capabilities_set(0);
	if (err)
		return err;
	uint64_t effective, permitted;
	err = capabilities_get(&effective, &permitted);
	if (err)
		return err;
	if (effective || permitted)
		return -EPERM;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	return hide_memory();
}
