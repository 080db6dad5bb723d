/* A wall clock that jumps: adds the seconds that the file of NODESEAL_CLOCK holds. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t id, struct timespec *now)
{
	long failed = syscall(SYS_clock_gettime, id, now);
	const char *path = getenv("NODESEAL_CLOCK");
	if (failed || id != CLOCK_REALTIME || !path)
		return failed;
	FILE *file = fopen(path, "re");
	long seconds = 0;
	if (file && fscanf(file, "%ld", &seconds) == 1)
		now->tv_sec += seconds;
	if (file)
		fclose(file);
	return 0;
}
