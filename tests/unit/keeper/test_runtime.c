/* SPDX-License-Identifier: BSD-2-Clause */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/clock.h"
#include "child.h"
#include "keeper/runtime.h"

static char top[64], dir[80], control[96];
static struct config cfg;

static void fresh(void)
{
	strcpy(top, "/tmp/sluice-runtime-XXXXXX");
	assert_non_null(mkdtemp(top));
	snprintf(dir, sizeof(dir), "%s/run", top);
	snprintf(control, sizeof(control), "%s/control.sock", dir);
	memset(&cfg, 0, sizeof(cfg));
	cfg.runtime_dir = dir;
	cfg.admin.control_socket = control;
	cfg.admin.control_mode = 0660;
	cfg.admin.control_group = "";
}

static void gone(void)
{
	static const char *const left[] = {"keeper.lock", "sluiced.pid", "members", "control.sock"};
	char path[160];
	for (size_t i = 0; i < sizeof(left) / sizeof(left[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, left[i]);
		unlink(path);
	}
	rmdir(dir);
	assert_int_equal(rmdir(top), 0); /* nothing else was left */
}

static bool exists(const char *name)
{
	char path[160];
	struct stat st;
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return lstat(path, &st) == 0;
}

TEST(runtime, directory_is_made_and_cleared_again)
{
	fresh();
	struct runtime r;
	assert_int_equal(runtime_open(&r, &cfg), 0);
	struct runtime_member m[] = {{"worker-0", getpid()}, {"worker-1", 0}};
	runtime_members_write(&r, m, 2);
	int fd = runtime_control_open(&r, &cfg);
	assert_true(fd >= 0);
	assert_true(exists("members") && exists("sluiced.pid") && exists("control.sock"));
	close(fd);
	runtime_close(&r);
	assert_false(exists("members") || exists("sluiced.pid") || exists("control.sock"));
	gone();
}

TEST(runtime, a_second_keeper_is_refused_and_takes_nothing_away)
{
	fresh();
	struct runtime a, b;
	assert_int_equal(runtime_open(&a, &cfg), 0);
	struct runtime_member m[] = {{"worker-0", getpid()}};
	runtime_members_write(&a, m, 1);
	assert_int_equal(runtime_open(&b, &cfg), -EBUSY);
	runtime_close(&b);
	assert_true(exists("members") && exists("sluiced.pid"));
	assert_int_equal(runtime_open(&b, &cfg), -EBUSY);
	runtime_close(&a);
	assert_int_equal(runtime_open(&b, &cfg), 0);
	runtime_close(&b);
	gone();
}

TEST(runtime, a_directory_that_others_may_write_is_refused)
{
	fresh();
	struct runtime r;
	assert_int_equal(mkdir(dir, 0755), 0);
	assert_int_equal(chmod(dir, 0777), 0);
	assert_int_equal(runtime_open(&r, &cfg), -EPERM);
	if (geteuid() == 0) {
		chmod(dir, 0755);
		assert_int_equal(chown(dir, 65534, 65534), 0);
		assert_int_equal(runtime_open(&r, &cfg), -EPERM);
	}
	gone();
}

TEST(runtime, control_socket_has_its_mode_from_the_first_moment)
{
	fresh();
	struct runtime r;
	struct stat st;
	assert_int_equal(runtime_open(&r, &cfg), 0);
	int fd = runtime_control_open(&r, &cfg);
	assert_int_equal(stat(control, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0660);
	close(fd);
	runtime_close(&r);
	cfg.admin.control_group = "no-such-group-here";
	assert_int_equal(runtime_open(&r, &cfg), 0);
	assert_int_equal(runtime_control_open(&r, &cfg), -ENOENT);
	runtime_close(&r);
	gone();
}

TEST(runtime, stale_control_socket_goes_and_a_live_one_stays)
{
	fresh();
	struct runtime r;
	assert_int_equal(runtime_open(&r, &cfg), 0);
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	strcpy(sa.sun_path, control);
	int other = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(other, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(other, 1), 0);
	assert_int_equal(runtime_control_open(&r, &cfg), -EADDRINUSE);
	assert_true(exists("control.sock"));
	close(other); /* its owner has died; the name stays */
	int fd = runtime_control_open(&r, &cfg);
	assert_true(fd >= 0);
	close(fd);
	runtime_close(&r);

	assert_int_equal(runtime_open(&r, &cfg), 0);
	assert_int_equal(mkdir(control, 0700), 0); /* not a socket: not ours to remove */
	assert_int_equal(runtime_control_open(&r, &cfg), -EEXIST);
	assert_int_equal(rmdir(control), 0);
	runtime_close(&r);
	gone();
}

TEST(runtime, a_name_too_long_for_a_socket_is_said)
{
	fresh();
	struct runtime r;
	char name[200];
	memset(name, 'x', sizeof(name) - 1);
	name[0] = '/';
	name[sizeof(name) - 1] = '\0';
	cfg.admin.control_socket = name;
	assert_int_equal(runtime_open(&r, &cfg), 0);
	assert_int_equal(runtime_control_open(&r, &cfg), -ENAMETOOLONG);
	runtime_close(&r);
	gone();
}

/* A keeper that is killed: its lock goes, its files stay. */
static void leave_behind(pid_t orphan, uint64_t start_time)
{
	char text[128], path[160];
	int n = snprintf(text, sizeof(text), "worker-0 %d %llu\nnonsense\nworker-1 1 0\n",
			 (int)orphan, (unsigned long long)start_time);
	assert_int_equal(mkdir(dir, 0755), 0);
	snprintf(path, sizeof(path), "%s/members", dir);
	int fd = open(path, O_WRONLY | O_CREAT, 0644);
	assert_int_equal(write(fd, text, (size_t)n), n);
	close(fd);
}

static pid_t sleeper(unsigned ms)
{
	pid_t pid = fork();
	if (pid == 0) {
		usleep(ms * 1000);
		_exit(0);
	}
	return pid;
}

TEST(runtime, a_start_waits_for_the_workers_of_a_dead_keeper)
{
	fresh();
	struct runtime r;
	pid_t orphan = sleeper(300);
	leave_behind(orphan, runtime_start_time(orphan));
	uint64_t before = clock_mono_ms();
	assert_int_equal(runtime_open(&r, &cfg), 0);
	assert_true(clock_mono_ms() - before >= 200);
	int st;
	assert_int_equal(waitpid(orphan, &st, WNOHANG), orphan);
	assert_true(WIFEXITED(st)); /* by itself: it was not killed */
	assert_false(exists("members"));
	runtime_close(&r);
	gone();
}

TEST(runtime, a_stranger_with_a_recycled_number_is_left_alone)
{
	fresh();
	struct runtime r;
	pid_t stranger = sleeper(60000);
	leave_behind(stranger, runtime_start_time(stranger) - 1);
	uint64_t before = clock_mono_ms();
	assert_int_equal(runtime_open(&r, &cfg), 0);
	assert_true(clock_mono_ms() - before < 5000);
	assert_int_equal(waitpid(stranger, NULL, WNOHANG), 0);
	kill(stranger, SIGKILL);
	waitpid(stranger, NULL, 0);
	runtime_close(&r);
	gone();
}

TEST_MAIN()
