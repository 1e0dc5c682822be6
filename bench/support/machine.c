#include "bench/support/machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#ifdef __clang__
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

static void cpu_model(char *text, size_t size)
{
    char line[256];
    snprintf(text, size, "unknown processor");
    FILE *info = fopen("/proc/cpuinfo", "r");
    if (info == NULL)
        return;
    while (fgets(line, sizeof line, info) != NULL) {
        const char *value = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || value == NULL)
            continue;
        snprintf(text, size, "%.*s", (int)strcspn(value + 2, "\n"), value + 2);
        break;
    }
    fclose(info);
}

void bench_machine(char text[BENCH_MACHINE_BYTES])
{
    char model[128];
    struct utsname kernel = {0};
    cpu_model(model, sizeof model);
    uname(&kernel);
    long pages = sysconf(_SC_PHYS_PAGES), page_bytes = sysconf(_SC_PAGE_SIZE);
    snprintf(text, BENCH_MACHINE_BYTES, "%s, %ld cores, %.0f GiB, %s %.32s, %s", model,
             sysconf(_SC_NPROCESSORS_ONLN), (double)pages * (double)page_bytes / (1 << 30),
             kernel.sysname, kernel.release, COMPILER);
}

int64_t bench_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

size_t bench_resident_bytes(void)
{
    long total = 0, resident = 0;
    FILE *statm = fopen("/proc/self/statm", "r");
    if (statm == NULL)
        return 0;
    int read = fscanf(statm, "%ld %ld", &total, &resident);
    fclose(statm);
    return read == 2 ? (size_t)resident * (size_t)sysconf(_SC_PAGE_SIZE) : 0;
}

static int by_value(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

/* `part` of a thousand of the sorted samples are at most the result. */
static double quantile(const uint32_t *sorted, size_t count, size_t part)
{
    size_t place = count * part / 1000;
    return sorted[place < count ? place : count - 1];
}

bench_quantiles bench_quantiles_of(uint32_t *samples, size_t count)
{
    if (count == 0)
        return (bench_quantiles){0};
    qsort(samples, count, sizeof *samples, by_value);
    return (bench_quantiles){.p50 = quantile(samples, count, 500),
                             .p90 = quantile(samples, count, 900),
                             .p99 = quantile(samples, count, 990),
                             .max = quantile(samples, count, 1000)};
}
