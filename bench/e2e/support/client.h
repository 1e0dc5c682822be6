/* bench/e2e/support/client.h - librdkafka handles for benchmarks: a mistake ends the program. */
#ifndef BENCH_E2E_CLIENT_H
#define BENCH_E2E_CLIENT_H
#include <librdkafka/rdkafka.h>

_Noreturn void client_fail(const char *what, const char *why);
/* Ends the program unless error is NULL; frees it never. */
void client_check(rd_kafka_error_t *error, const char *what);

/* pairs: name, value, ..., NULL. Then those of argv that begin with "consumer." or "producer.",
 * by the kind. A producer has a delivery report: a record that is not delivered ends the program.
 */
rd_kafka_t *client_new(rd_kafka_type_t type, const char *const *pairs, int argc, char **argv);
#endif
