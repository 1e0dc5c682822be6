/* commands/index.c - `leat-recommender index`: the session index of the committed sessions, built
 * from nothing, in the canonical form of session_index_dump.  Works while a server runs. */
#include <unistd.h>

#include "apps/recommender/commands/commands.h"
#include "apps/recommender/job/records.h"
#include "apps/recommender/serve/server.h"
#include "base/error.h"

enum { POLL_RECORDS = 256, WAIT_US = 2000 };

static leat_status add_records(model *into, leat_json_decoder *decoder,
                               const leat_log_record *records, size_t count, leat_error *error)
{
    for (size_t i = 0; i < count; i++) {
        closed_session session = {0};
        if (records[i].value.data == NULL)
            continue;
        leat_status status =
            leat_json_decode(decoder, &closed_session_type, records[i].value, &session, error);
        if (status != LEAT_OK)
            return status;
        model_add_session(into, &session);
    }
    return LEAT_OK;
}

static leat_status read_partition(leat_log *log, leat_log_reader *reader, const char *topic,
                                  uint32_t partition, model *into, leat_json_decoder *decoder,
                                  leat_error *error)
{
    int64_t begin, end, position;
    leat_log_record records[POLL_RECORDS];
    leat_status status = leat_log_bounds(log, topic, partition, &begin, &end, error);
    if (status == LEAT_OK)
        status = leat_log_reader_seek(reader, topic, partition, LEAT_OFFSET_BEGIN, error);
    for (position = begin; status == LEAT_OK && position < end;) {
        size_t count = 0;
        status = leat_log_reader_poll(reader, records, POLL_RECORDS, &count, error);
        if (status == LEAT_OK)
            status = add_records(into, decoder, records, count, error);
        if (status == LEAT_OK)
            status = leat_log_reader_position(reader, topic, partition, &position, error);
        if (status == LEAT_OK && count == 0 && position < end) /* it is on its way */
            usleep(WAIT_US);
    }
    leat_log_reader_remove(reader, topic, partition);
    return status;
}

static leat_status build(leat_log *log, const char *name, model *into, leat_error *error)
{
    leat_topic_opts topic;
    leat_log_reader *reader = NULL;
    leat_status status = leat_topic_describe(log, name, &topic, error);
    if (status == LEAT_OK)
        status = leat_log_reader_new(log, NULL, NULL, &reader, error);
    if (status != LEAT_OK)
        return status;
    leat_json_decoder *decoder = leat_json_decoder_new();
    for (uint32_t p = 0; status == LEAT_OK && p < topic.partition_count; p++)
        status = read_partition(log, reader, name, p, into, decoder, error);
    leat_json_decoder_free(decoder);
    leat_log_reader_free(reader);
    return status;
}

static leat_status print_index(const recommender_settings *settings, leat_error *error)
{
    leat_log *log = NULL;
    leat_log_opts opts = {.read_only = true, .must_exist = true};
    leat_status status = recommender_open_log(settings, &opts, &log, error);
    if (status != LEAT_OK)
        return status;
    model *built = model_new(&settings->index, &settings->popular);
    status = build(log, settings->topics.sessions, built, error);
    if (status == LEAT_OK)
        status = session_index_dump(built->index, stdout, error);
    model_free(built);
    leat_log_close(log);
    return status;
}

int index_main(int argc, char **argv)
{
    recommender_settings settings = recommender_defaults();
    flag table[1 + SETTINGS_FLAGS] = {
        {"data-dir", FLAG_TEXT, &settings.data_dir, 0, 0, "DIR", "of a server, running or not"},
    };
    settings_flags(&settings, table + 1);
    flags parsed = {.table = table, .count = 1 + SETTINGS_FLAGS};
    leat_error error = {0};
    leat_status status = flags_parse(&parsed, argc, argv, &error);
    if (status == LEAT_OK && parsed.help) {
        printf(
            "usage: leat-recommender index --data-dir DIR | --log LOG\n\n"
            "Prints the session index that the committed `sessions` topic gives, one JSON object\n"
            "a line, in a canonical order. GET /v1/debug/index prints what a server holds.\n\n");
        flags_print(&parsed, stdout);
    } else if (status == LEAT_OK && settings.data_dir == NULL && settings.log_url == NULL) {
        status = leat__fail(&error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, "index",
                            "--data-dir DIR or --log LOG is missing");
    } else if (status == LEAT_OK) {
        status = print_index(&settings, &error);
    }
    flags_free(&parsed);
    return status == LEAT_OK ? 0 : command_failed(&error);
}
