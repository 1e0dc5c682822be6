/* What a broker's answers to a transaction's records are taken for (R6). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "log/kafka/member.h"

enum { RECORDS = 4 };

typedef struct world {
    kafka_member member;
    kafka_txn txn;
    kafka_staged records[RECORDS];
    kafka_part parts[1];
} world;

static void begin(world *w)
{
    *w = (world){.parts = {{.first = -1}}};
    w->txn.member = &w->member;
    w->txn.records = w->records;
    w->txn.record_count = RECORDS;
    w->txn.parts = w->parts;
    w->txn.part_count = 1;
    w->member.txn = &w->txn;
}

static void report(world *w, size_t record, int64_t offset)
{
    rd_kafka_message_t message = {.offset = offset, ._private = &w->records[record]};
    leat__kafka_delivered(NULL, &message, &w->member);
}

static void records_lie_from_the_first_to_the_last(void **state)
{
    (void)state;
    world w;
    begin(&w);
    for (size_t i = 0; i < RECORDS; i++)
        report(&w, i, 10 + (int64_t)i);
    assert_int_equal(w.parts[0].first, 10);
    assert_int_equal(w.parts[0].next, 14);
    assert_int_equal(w.txn.delivered, RECORDS);
}

/* The client tells -1001, -1000 and so on of a batch that the broker had already. */
static void where_a_batch_without_an_offset_lies_is_not_known(void **state)
{
    (void)state; /* R6 */
    for (size_t unknown = 0; unknown < RECORDS; unknown++) {
        world w;
        begin(&w);
        for (size_t i = 0; i < RECORDS; i++)
            report(&w, i, i == unknown ? RD_KAFKA_OFFSET_INVALID + (int64_t)i : 10 + (int64_t)i);
        assert_int_equal(w.parts[0].first, -1);
        assert_int_equal(w.parts[0].next, -1);
        assert_int_equal(w.txn.delivered, RECORDS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_lie_from_the_first_to_the_last),
        cmocka_unit_test(where_a_batch_without_an_offset_lies_is_not_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
