// SPDX-License-Identifier: GPL-2.0
/*
 * The life of a pin: what it does to holes, unwritten and shared extents; that
 * it survives munmap, close, unlink and exec, keeps the blocks, and gives them
 * back; and that a registration over several files is all or nothing.
 */
#include <linux/falloc.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "layout_lease_common.h"

FIXTURE(life)
{
	struct ll_env env;
	char path[LL_PATH];
	struct ll_holder h;
};

FIXTURE_VARIANT(life)
{
	enum ll_fs fs;
	const char *policy;
};

FIXTURE_VARIANT_ADD(life, ext4_break) {
	.fs = LL_EXT4, .policy = "break",
};

FIXTURE_VARIANT_ADD(life, ext4_deny) {
	.fs = LL_EXT4, .policy = "deny",
};

FIXTURE_VARIANT_ADD(life, xfs_break) {
	.fs = LL_XFS, .policy = "break",
};

FIXTURE_VARIANT_ADD(life, xfs_deny) {
	.fs = LL_XFS, .policy = "deny",
};

FIXTURE_SETUP(life)
{
	ASSERT_EQ(0, ll_setup(&self->env, variant->fs, variant->policy));
	ASSERT_EQ(0, ll_file(&self->env, "f", LL_FILE_SIZE, self->path));
	ASSERT_EQ(0, ll_holder_pin(&self->h, self->path, true, LL_SIG));
}

FIXTURE_TEARDOWN(life)
{
	ll_holder_end(&self->h);
	ll_teardown(&self->env);
}

/*
 * The pin stands: under "deny" truncate is refused, under "break" it waits
 * (the holder ignores its signal, and the deadline is far away).
 */
static int stands(struct ll_env *env, const char *path)
{
	struct ll_breaker b;
	int ret, result = 0;

	ret = ll_sysctl("lease-break-time", 25) ?:
	      ll_breaker_start(&b, OP_FTRUNCATE, path, 0, 0);
	if (ret)
		return ret;
	ret = ll_breaker_wait(&b, 400, &result);
	if (ret == -ETIMEDOUT) {
		ll_breaker_end(&b);
		return 1;
	}
	return ret ?: result == -ETXTBSY;
}

TEST_F(life, pin_survives_munmap)
{
	EXPECT_EQ(0, ll_hold(&self->h, .op = H_UNMAP));
	EXPECT_EQ(1, stands(&self->env, self->path));
	EXPECT_EQ(0, ll_holder_dereg(&self->h, 0));
	EXPECT_EQ(0, ll_ret(truncate(self->path, 0)));
}

TEST_F(life, pin_survives_munmap_and_close)
{
	EXPECT_EQ(0, ll_hold(&self->h, .op = H_UNMAP));
	EXPECT_EQ(0, ll_hold(&self->h, .op = H_CLOSE));
	EXPECT_EQ(1, stands(&self->env, self->path));
	EXPECT_EQ(0, ll_holder_dereg(&self->h, 0));
	EXPECT_EQ(0, ll_ret(truncate(self->path, 0)));
	/* and the lease went with its last pin */
	EXPECT_EQ(0, ll_remount(self->env.root, "layout_lease=off"));
}

TEST_F(life, closed_lease_is_still_breakable)
{
	EXPECT_EQ(0, ll_hold(&self->h, .op = H_UNMAP));
	EXPECT_EQ(0, ll_hold(&self->h, .op = H_CLOSE));
	ASSERT_EQ(0, ll_policy(&self->env, "break"));
	EXPECT_EQ(0, ll_ret(truncate(self->path, 0)));
	EXPECT_EQ(SIGKILL, ll_holder_wait(&self->h, LL_SOON));
}

/* With the open file, not with the descriptor: a mapping keeps it as well. */
TEST_F(life, lease_ends_with_its_open_file_and_last_pin)
{
	ASSERT_EQ(0, ll_holder_open(&self->h, 1, self->path));
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_CLOSE));
	EXPECT_EQ(0, ll_holder_reg(&self->h, 1, 1, 0, LL_PAGE));
	EXPECT_EQ(0, ll_holder_dereg(&self->h, 1));
	ASSERT_EQ(0, ll_hold(&self->h, .op = H_UNMAP));
	ASSERT_EQ(0, ll_holder_dereg(&self->h, 0));
	EXPECT_EQ(-EOPNOTSUPP, ll_holder_reg(&self->h, 1, 1, 0, LL_PAGE));
}

TEST_F(life, unlinked_file_keeps_its_blocks_until_the_last_pin_goes)
{
	int64_t before, during, after, blocks = LL_FILE_SIZE / LL_PAGE;

	before = ll_free_blocks(self->env.root);
	EXPECT_EQ(0, ll_ret(unlink(self->path)));
	EXPECT_EQ(0, ll_hold(&self->h, .op = H_UNMAP));
	EXPECT_EQ(0, ll_hold(&self->h, .op = H_CLOSE));
	during = ll_free_blocks(self->env.root);
	EXPECT_GT(before + blocks / 2, during);
	EXPECT_TRUE(ll_holder_alive(&self->h));
	EXPECT_EQ(0, ll_holder_dereg(&self->h, 0));
	for (int i = 0; i < 100; i++) {
		after = ll_free_blocks(self->env.root);
		if (after >= during + blocks)
			break;
		ll_sleep_ms(20);
	}
	EXPECT_LE(during + blocks, after);
}

TEST_F(life, hole_is_allocated)
{
	char sparse[LL_PATH];

	ASSERT_EQ(0, ll_sparse(&self->env, "sparse", LL_FILE_SIZE, sparse));
	ASSERT_EQ(0, ll_blocks(sparse));
	ASSERT_EQ(0, ll_holder_open(&self->h, 1, sparse));
	ASSERT_EQ(0, ll_holder_lease(&self->h, 1, true, LL_SIG));
	EXPECT_EQ(0, ll_holder_reg(&self->h, 1, 1, 0, LL_MIB));
	EXPECT_LE(LL_MIB / 512, ll_blocks(sparse));
	EXPECT_EQ(0, ll_extent_flags(sparse, 0) & FIEMAP_EXTENT_UNWRITTEN);
	EXPECT_EQ(0, ll_extent_flags(sparse, LL_MIB - LL_PAGE) &
		  FIEMAP_EXTENT_UNWRITTEN);
	EXPECT_EQ(1, ll_filled(sparse, 0, LL_MIB, 0));
}

TEST_F(life, unwritten_extent_is_written)
{
	char path[LL_PATH];
	int fd;

	ASSERT_EQ(0, ll_sparse(&self->env, "unwritten", 0, path));
	fd = ll_open(path, O_RDWR);
	ASSERT_EQ(0, ll_ret(fallocate(fd, 0, 0, LL_FILE_SIZE)));
	close(fd);
	ASSERT_EQ(FIEMAP_EXTENT_UNWRITTEN,
		  ll_extent_flags(path, 0) & FIEMAP_EXTENT_UNWRITTEN);
	ASSERT_EQ(0, ll_holder_open(&self->h, 1, path));
	ASSERT_EQ(0, ll_holder_lease(&self->h, 1, true, LL_SIG));
	EXPECT_EQ(0, ll_holder_reg(&self->h, 1, 1, LL_MIB, LL_PIN_LEN));
	EXPECT_EQ(0, ll_extent_flags(path, LL_MIB) & FIEMAP_EXTENT_UNWRITTEN);
	EXPECT_EQ(1, ll_filled(path, 0, LL_FILE_SIZE, 0));
}

/* Nobody asks to write, but the device must not see a hole either. */
TEST_F(life, read_only_registration_allocates_too)
{
	char sparse[LL_PATH];
	struct ll_rdma r;
	struct ibv_mr *mr;
	void *map;
	int fd;

	ASSERT_EQ(0, ll_sparse(&self->env, "sparse", LL_FILE_SIZE, sparse));
	fd = ll_open(sparse, O_RDWR);
	map = ll_map_fd(fd, LL_FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	ASSERT_NE(NULL, map);
	ASSERT_EQ(0, ll_rdma_open(&r));
	ASSERT_EQ(0, ll_take(fd, true, SIGKILL));
	ASSERT_EQ(0, ll_reg_access(&r, map, LL_MIB, 0, &mr));
	EXPECT_LE(LL_MIB / 512, ll_blocks(sparse));
	EXPECT_EQ(0, ll_dereg(&mr));
	ll_rdma_close(&r);
	close(fd);
}

TEST_F(life, two_files_in_one_registration_are_all_or_nothing)
{
	size_t len = LL_PIN_LEN;
	struct ll_rdma r;
	struct ibv_mr *mr;
	char other[LL_PATH], *map;
	int fd, fd2;

	ASSERT_EQ(0, ll_holder_dereg(&self->h, 0));
	ASSERT_EQ(0, ll_file(&self->env, "g", LL_FILE_SIZE, other));
	fd = ll_open(self->path, O_RDWR);
	fd2 = ll_open(other, O_RDWR);
	map = ll_map_fd(fd, 2 * len, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	ASSERT_NE(MAP_FAILED, mmap(map + len, len, PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_FIXED, fd2, 0));
	ASSERT_EQ(0, ll_rdma_open(&r));
	ASSERT_EQ(0, ll_take(fd, true, SIGKILL));
	EXPECT_EQ(-EOPNOTSUPP, ll_reg(&r, map, 2 * len, &mr));
	/* nothing: no pin keeps the lease */
	EXPECT_EQ(0, ll_setlease(fd, F_UNLCK));
	ASSERT_EQ(0, ll_take(fd, true, SIGKILL));
	ASSERT_EQ(0, ll_take(fd2, true, SIGKILL));
	EXPECT_EQ(0, ll_reg(&r, map, 2 * len, &mr));
	EXPECT_EQ(-EBUSY, ll_setlease(fd, F_UNLCK));
	EXPECT_EQ(-EBUSY, ll_setlease(fd2, F_UNLCK));
	EXPECT_EQ(-EDEADLK, ll_ret(truncate(self->path, 0)));
	EXPECT_EQ(-EDEADLK, ll_ret(truncate(other, 0)));
	EXPECT_EQ(0, ll_dereg(&mr));
	EXPECT_EQ(0, ll_ret(truncate(self->path, 0)));
	EXPECT_EQ(0, ll_ret(truncate(other, 0)));
	ll_rdma_close(&r);
	close(fd);
	close(fd2);
}

TEST_F(life, two_filesystems_and_memory_in_one_registration)
{
	size_t len = LL_PIN_LEN;
	struct ll_env env2;
	struct ll_rdma r;
	struct ibv_mr *mr;
	char other[LL_PATH], *map;
	int fd, fd2;

	ASSERT_EQ(0, ll_holder_dereg(&self->h, 0));
	ASSERT_EQ(0, ll_setup(&env2, !variant->fs, variant->policy));
	ASSERT_EQ(0, ll_file(&env2, "g", LL_FILE_SIZE, other));
	fd = ll_open(self->path, O_RDWR);
	fd2 = ll_open(other, O_RDWR);
	map = mmap(NULL, 3 * len, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, mmap(map, len, PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_FIXED, fd, 0));
	ASSERT_NE(MAP_FAILED, mmap(map + 2 * len, len, PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_FIXED, fd2, 0));
	ASSERT_EQ(0, ll_rdma_open(&r));
	ASSERT_EQ(0, ll_take(fd, true, SIGKILL));
	EXPECT_EQ(-EOPNOTSUPP, ll_reg(&r, map, 3 * len, &mr));
	EXPECT_EQ(0, ll_setlease(fd, F_UNLCK));
	ASSERT_EQ(0, ll_take(fd, true, SIGKILL));
	ASSERT_EQ(0, ll_take(fd2, true, SIGKILL));
	EXPECT_EQ(0, ll_reg(&r, map, 3 * len, &mr));
	EXPECT_EQ(-EDEADLK, ll_ret(truncate(self->path, 0)));
	EXPECT_EQ(-EDEADLK, ll_ret(truncate(other, 0)));
	EXPECT_EQ(0, ll_dereg(&mr));
	ll_rdma_close(&r);
	close(fd);
	close(fd2);
	ll_teardown(&env2);
}

TEST_F(life, pin_of_a_killed_holder_is_gone)
{
	ASSERT_EQ(0, ll_ret(kill(self->h.pid, SIGKILL)));
	EXPECT_EQ(SIGKILL, ll_holder_wait(&self->h, LL_SOON));
	ASSERT_EQ(0, ll_policy(&self->env, "break"));
	EXPECT_EQ(0, ll_ret(truncate(self->path, 0)));
	EXPECT_EQ(0, ll_policy(&self->env, "off"));
}

/* Anonymous memory that faults only when somebody serves it, at an address. */
static int unserved(char *addr, size_t len)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = {
		.range = { .start = (uintptr_t)addr, .len = len },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC);

	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) ||
	    mmap(addr, len, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED ||
	    ioctl(fd, UFFDIO_REGISTER, &reg))
		return -errno;
	return fd;
}

/* Registers file and unserved memory as one: it hangs behind the file's pages. */
static void hang_in_registration(const char *path, int ready)
{
	int fd = ll_open(path, O_RDWR);
	struct ll_rdma r;
	struct ibv_mr *mr;
	char *map;

	map = ll_map_fd(fd, LL_FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	if (!map || ll_rdma_open(&r) || ll_take(fd, true, LL_SIG) ||
	    unserved(map + LL_FAR, LL_PAGE) < 0 || write(ready, "", 1) != 1)
		_exit(1);
	ll_reg(&r, map, LL_FAR + LL_PAGE, &mr);
	_exit(2);
}

TEST_F(life, fatal_signal_ends_a_registration_and_leaves_no_pin)
{
	int ready[2], status;
	char byte;
	pid_t pid;

	ASSERT_EQ(0, ll_holder_dereg(&self->h, 0));
	ASSERT_EQ(0, pipe(ready));
	pid = fork();
	if (!pid)
		hang_in_registration(self->path, ready[1]);
	close(ready[1]);
	ASSERT_EQ(1, read(ready[0], &byte, 1));
	EXPECT_EQ(-ETIMEDOUT, ll_wait_exit(pid, 500, &status));
	ASSERT_EQ(0, ll_ret(kill(pid, SIGKILL)));
	ASSERT_EQ(0, ll_wait_exit(pid, LL_SOON, &status));
	EXPECT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(0, ll_policy(&self->env, "off"));
	EXPECT_EQ(0, ll_ret(truncate(self->path, 0)));
}

/* Programs of this directory, run by the lease holder through exec. */
static int tool(char *path, const char *name)
{
	ssize_t len = readlink("/proc/self/exe", path, LL_PATH - 1);
	char *slash;

	if (len < 0)
		return -errno;
	path[len] = '\0';
	slash = strrchr(path, '/');
	snprintf(slash + 1, path + LL_PATH - slash - 1, "%s", name);
	return 0;
}

TEST_F(life, lease_survives_exec)
{
	char program[LL_PATH];
	int status;
	pid_t pid;

	ASSERT_EQ(0, ll_holder_dereg(&self->h, 0));
	ASSERT_EQ(0, tool(program, "pin_file"));
	/* what the program gets without a lease of its own process */
	pid = fork();
	if (!pid)
		_exit(execl(program, program, self->path, "0", NULL));
	ASSERT_EQ(0, ll_wait_exit(pid, LL_SOON, &status));
	EXPECT_EQ(EOPNOTSUPP, WEXITSTATUS(status));
	pid = fork();
	if (!pid) {
		int fd = open(self->path, O_RDWR);

		if (fd < 0 || ll_take(fd, true, SIGKILL))
			_exit(1);
		_exit(execl(program, program, self->path, "0", NULL));
	}
	ASSERT_EQ(0, ll_wait_exit(pid, LL_SOON, &status));
	EXPECT_TRUE(WIFEXITED(status));
	EXPECT_EQ(0, WEXITSTATUS(status));
}

FIXTURE(reflink)
{
	struct ll_env env;
	char path[LL_PATH], other[LL_PATH];
	struct ll_holder h;
};

FIXTURE_SETUP(reflink)
{
	ASSERT_EQ(0, ll_setup(&self->env, LL_XFS, "break"));
	ASSERT_EQ(0, ll_file(&self->env, "f", LL_FILE_SIZE, self->path));
	ASSERT_EQ(0, ll_sparse(&self->env, "f.2", LL_FILE_SIZE, self->other));
	ASSERT_EQ(0, ll_break(OP_CLONE_SRC, self->path, 0, LL_FILE_SIZE));
	ASSERT_EQ(FIEMAP_EXTENT_SHARED,
		  ll_extent_flags(self->path, 0) & FIEMAP_EXTENT_SHARED);
	ASSERT_EQ(0, ll_holder_start(&self->h));
}

FIXTURE_TEARDOWN(reflink)
{
	ll_holder_end(&self->h);
	ll_teardown(&self->env);
}

TEST_F(reflink, shared_extent_is_unshared_before_the_device_sees_it)
{
	ASSERT_EQ(0, ll_holder_open(&self->h, 0, self->path));
	ASSERT_EQ(0, ll_holder_lease(&self->h, 0, true, SIGKILL));
	EXPECT_EQ(0, ll_holder_reg(&self->h, 0, 0, 0, LL_PIN_LEN));
	EXPECT_EQ(0, ll_extent_flags(self->path, 0) & FIEMAP_EXTENT_SHARED);
	EXPECT_NE(ll_physical(self->path, 0), ll_physical(self->other, 0));
	EXPECT_EQ(1, ll_filled(self->path, 0, LL_FILE_SIZE, 'f'));
	EXPECT_EQ(1, ll_filled(self->other, 0, LL_FILE_SIZE, 'f'));
	EXPECT_EQ(FIEMAP_EXTENT_SHARED,
		  ll_extent_flags(self->path, LL_FAR) & FIEMAP_EXTENT_SHARED);
}

/* Mapped and read before: the page tables show the shared block. */
TEST_F(reflink, shared_extent_that_is_mapped_is_unshared)
{
	char *map = ll_map_path(self->path, LL_FILE_SIZE, PROT_READ | PROT_WRITE,
				MAP_SHARED);

	ASSERT_NE(NULL, map);
	EXPECT_EQ('f', map[0]);
	ASSERT_EQ(0, ll_holder_open(&self->h, 0, self->path));
	ASSERT_EQ(0, ll_holder_lease(&self->h, 0, true, SIGKILL));
	EXPECT_EQ(0, ll_holder_reg(&self->h, 0, 0, 0, LL_PIN_LEN));
	map[0] = 'w';
	EXPECT_EQ(1, ll_filled(self->path, 0, 1, 'w'));
	EXPECT_EQ(1, ll_filled(self->other, 0, LL_PAGE, 'f'));
	EXPECT_EQ(0, ll_extent_flags(self->path, 0) & FIEMAP_EXTENT_SHARED);
}

/* Direct I/O takes pages for reading: those that files share are not anonymous. */
TEST_F(reflink, shared_extent_can_be_written_from)
{
	static const char copy[] = "/copied";	/* not DAX */
	const char *map = ll_map_path(self->path, LL_FILE_SIZE, PROT_READ, MAP_SHARED);
	int status, ret;
	pid_t pid;

	ASSERT_NE(NULL, map);
	EXPECT_EQ('f', map[0]);
	pid = fork();
	if (!pid) {
		int fd = open(copy, O_WRONLY | O_CREAT | O_TRUNC | O_DIRECT, 0600);

		_exit(write(fd, map, LL_PAGE) == LL_PAGE ? 0 : 1);
	}
	ret = ll_wait_exit(pid, LL_SOON, &status);
	EXPECT_EQ(0, ret);
	if (ret)
		kill(pid, SIGKILL);
	else
		EXPECT_EQ(0, status);
	EXPECT_EQ(1, ll_filled(copy, 0, LL_PAGE, 'f'));
	EXPECT_NE(0, ll_extent_flags(self->path, 0) & FIEMAP_EXTENT_SHARED);
	unlink(copy);
}

/* Page faults that it takes to read these pages. */
static long read_faults(const char *map, size_t len)
{
	struct rusage before, after;
	size_t i;

	getrusage(RUSAGE_SELF, &before);
	for (i = 0; i < len; i += LL_PAGE)
		__atomic_load_n(&map[i], __ATOMIC_RELAXED);
	getrusage(RUSAGE_SELF, &after);
	return after.ru_minflt - before.ru_minflt;
}

/*
 * Read by the holder itself, through huge entries and through small ones: its
 * page tables show the shared blocks, but not writable.
 */
TEST_F(reflink, shared_extent_that_the_holder_has_read_is_unshared)
{
	static const size_t huge = 2 * LL_MIB;
	struct ll_rdma r;
	struct ibv_mr *mr;
	char path[LL_PATH], other[LL_PATH], *map;
	int fd, shift;
	long faults;

	ll_name(&self->env, "g", path);
	fd = ll_open(path, O_RDWR | O_CREAT);
	ASSERT_LE(0, fd);
	/* in one go, so that the blocks are aligned */
	ASSERT_EQ(0, ll_ret(fallocate(fd, 0, 0, LL_FILE_SIZE)));
	ASSERT_EQ(0, ll_write_fill(path, 0, LL_FILE_SIZE, 'g'));
	ASSERT_EQ(0, ll_sparse(&self->env, "g.2", LL_FILE_SIZE, other));
	ASSERT_EQ(0, ll_break(OP_CLONE_SRC, path, 0, LL_FILE_SIZE));
	ASSERT_EQ(0, ll_rdma_open(&r));
	ASSERT_EQ(0, ll_take(fd, true, LL_SIG));
	for (shift = 0; shift < 2; shift++) {
		off_t off = shift * LL_FAR;

		ASSERT_EQ(FIEMAP_EXTENT_SHARED,
			  ll_extent_flags(path, off) & FIEMAP_EXTENT_SHARED);
		map = ll_map_fd(fd, LL_FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, shift);
		ASSERT_NE(NULL, map);
		faults = read_faults(map + off, huge);
		EXPECT_TRUE(shift ? faults >= 512 : faults <= 8) TH_LOG("%ld faults", faults);
		ASSERT_EQ(0, ll_reg(&r, map + off, LL_PIN_LEN, &mr));
		EXPECT_EQ(0, ll_extent_flags(path, off) & FIEMAP_EXTENT_SHARED);
		EXPECT_NE(ll_physical(path, off), ll_physical(other, off));
		map[off] = 'w';
		EXPECT_EQ(1, ll_filled(path, off, 1, 'w'));
		EXPECT_EQ(1, ll_filled(other, off, LL_PAGE, 'g'));
		ASSERT_EQ(0, ll_dereg(&mr));
		munmap(map, LL_FILE_SIZE);
	}
	ll_rdma_close(&r);
	close(fd);
}

/*
 * A block that is not shared, beside one that is: the COW fork, once it is filled
 * for the neighbour, reaches over both. What is pinned must not move into it.
 */
TEST_F(reflink, pinned_block_beside_a_shared_one_stays_where_it_is)
{
	char path[LL_PATH], other[LL_PATH];
	int64_t block;
	int fd;

	/* all but the first page is shared */
	ASSERT_EQ(0, ll_file(&self->env, "g", LL_FILE_SIZE, path));
	ASSERT_EQ(0, ll_sparse(&self->env, "g.2", LL_FILE_SIZE, other));
	ASSERT_EQ(0, ll_break(OP_CLONE_SRC, path, LL_PAGE, 31 * LL_PAGE));
	ASSERT_EQ(0, ll_extent_flags(path, 0) & FIEMAP_EXTENT_SHARED);
	ASSERT_EQ(FIEMAP_EXTENT_SHARED,
		  ll_extent_flags(path, LL_PAGE) & FIEMAP_EXTENT_SHARED);
	ASSERT_EQ(0, ll_holder_open(&self->h, 0, path));
	ASSERT_EQ(0, ll_holder_lease(&self->h, 0, true, SIGKILL));
	ASSERT_EQ(0, ll_holder_reg(&self->h, 0, 0, 0, LL_PAGE));
	block = ll_physical(path, 0);
	ASSERT_LT(0, block);

	EXPECT_EQ(0, ll_write_fill(path, LL_PAGE, LL_PAGE, 'w'));
	EXPECT_EQ(0, ll_write_fill(path, 0, LL_PAGE, 'w'));
	EXPECT_EQ(block, ll_physical(path, 0));
	fd = ll_open(path, O_RDWR);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, ll_ret(fsync(fd)));
	EXPECT_EQ(0, ll_hold(&self->h, .op = H_STORE, .a = 0, .b = 's'));
	EXPECT_EQ(0, ll_ret(fallocate(fd, FALLOC_FL_UNSHARE_RANGE, 0,
				      LL_FILE_SIZE)));
	EXPECT_EQ(block, ll_physical(path, 0));
	EXPECT_EQ(1, ll_filled(path, 0, 1, 's'));
	EXPECT_EQ(1, ll_filled(path, 1, 2 * LL_PAGE - 1, 'w'));
	EXPECT_EQ(1, ll_filled(other, LL_PAGE, 31 * LL_PAGE, 'f'));
	close(fd);
}

TEST_HARNESS_MAIN
