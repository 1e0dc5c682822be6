/* Any bytes as a row of JOB-members and as one of JOB-operators: refused, or read, and then written
 * and read again without a difference. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "engine/members.h"
#include "engine/operators.h"
#include "log/driver.h"
#include "log/sim/sim.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_member(leat_str bytes)
{
    leat__member member, again;
    leat__buffer first = {0}, second = {0};
    leat_error error;
    if (leat__member_decode(bytes, &member, &error) != LEAT_OK)
        return;
    leat__member_encode(&member, &first);
    LEAT_ASSERT(leat__member_decode((leat_str){first.data, first.length}, &again, &error) ==
                LEAT_OK);
    leat__member_encode(&again, &second);
    LEAT_ASSERT(first.length == second.length);
    LEAT_ASSERT(memcmp(first.data, second.data, first.length) == 0);
    leat__buffer_free(&first);
    leat__buffer_free(&second);
    leat__member_free(&member);
    leat__member_free(&again);
}

static void append(leat_log *log, leat_str key, leat_str value)
{
    leat_log_record record = {.topic = "f-operators", .key = key, .value = value};
    if (leat_log_append(log, &record, 1, NULL) != LEAT_OK)
        abort();
}

static void assert_alike(const leat__entry *a, const leat__entry *b)
{
    LEAT_ASSERT(strcmp(a->name, b->name) == 0 && strcmp(a->stage, b->stage) == 0 &&
                strcmp(a->key, b->key) == 0);
    LEAT_ASSERT(a->kind == b->kind && a->dropped == b->dropped && a->number == b->number);
}

/* Two rows: the key and the value of each are a quarter of the input. */
static void read_operators(const char *data, size_t size)
{
    leat_log *log;
    leat__entries entries = {0}, again = {0};
    size_t quarter = size / 4;
    if (leat_log_open(&log, "sim:fuzz", NULL, NULL) != LEAT_OK ||
        leat_topic_create(log, "f-operators",
                          &(leat_topic_opts){.partition_count = 1, .compacted = true},
                          NULL) != LEAT_OK)
        abort();
    for (size_t i = 0; i < 2; i++)
        append(log, (leat_str){data + 2 * i * quarter, quarter},
               (leat_str){data + (2 * i + 1) * quarter, quarter});
    leat_error error;
    if (leat__entries_read(&entries, log, NULL, "f", &error) == LEAT_OK) {
        for (size_t i = 0; i < entries.count; i++)
            (void)leat__entry_change(&entries, entries.all[i].name);
        leat_status status = leat__entries_write(&entries, log, 1000, &error);
        if (status == LEAT_OK) {
            LEAT_ASSERT(leat__entries_read(&again, log, NULL, "f", &error) == LEAT_OK);
            LEAT_ASSERT(again.count == entries.count);
            for (size_t i = 0; i < entries.count; i++)
                assert_alike(&entries.all[i], leat__entry_of(&again, entries.all[i].name));
        }
    }
    leat__entries_free(&entries);
    leat__entries_free(&again);
    leat_log_close(log);
    leat__sim_forget("fuzz");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if (data[0] % 2 == 0)
        read_member((leat_str){(const char *)data + 1, size - 1});
    else
        read_operators((const char *)data + 1, size - 1);
    return 0;
}
