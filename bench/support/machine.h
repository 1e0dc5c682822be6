/* bench/support/machine.h - what every benchmark says about where it ran, and how it counts time.
 */
#ifndef BENCH_MACHINE_H
#define BENCH_MACHINE_H
#include <stddef.h>
#include <stdint.h>

enum { BENCH_MACHINE_BYTES = 320 };

/* "Intel(R) Xeon(R) ..., 2 cores, 23 GiB, Linux 6.1, gcc 12.2.0" */
void bench_machine(char text[BENCH_MACHINE_BYTES]);
int64_t bench_now_ns(void);
size_t bench_resident_bytes(void);

/* Exact: sorts the samples. */
typedef struct bench_quantiles {
    double p50, p90, p99, max;
} bench_quantiles;
bench_quantiles bench_quantiles_of(uint32_t *samples, size_t count);
#endif
