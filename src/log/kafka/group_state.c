/* log/kafka/group_state.c - does anybody work in a group now, and its end.
 *
 * With the older of the client's two calls, as in rejoin.c: the newer one fails an assertion now
 * and then when the group's coordinator is gone (2.15.1).
 */
#include "base/error.h"
#include "log/kafka/kafka.h"
#include <string.h>

leat_status leat__kafka_group_members(leat_log *base, const char *group, size_t *count,
                                      leat_error *error)
{
    leat__kafka *log = leat__kafka_of(base);
    char name[LEAT__KAFKA_NAME_BYTES];
    const struct rd_kafka_group_list *groups = NULL;
    *count = 0;
    leat_status status = leat__kafka_name(log, group, name, error);
    if (status != LEAT_OK)
        return status;
    rd_kafka_resp_err_t code =
        rd_kafka_list_groups(log->admin, name, &groups, log->options.connect_timeout_ms);
    for (int i = 0; groups != NULL && i < groups->group_cnt; i++)
        if (strcmp(groups->groups[i].group, name) == 0)
            *count += (size_t)groups->groups[i].member_cnt;
    if (groups != NULL)
        rd_kafka_group_list_destroy(groups);
    /* a broker that did not answer may be the one that knows them */
    return code == RD_KAFKA_RESP_ERR_NO_ERROR || *count != 0
               ? LEAT_OK
               : leat__kafka_fail(error, code, group, "the members of group '%.80s'", group);
}

static void send_delete(rd_kafka_t *handle, const void *what, rd_kafka_AdminOptions_t *options,
                        rd_kafka_queue_t *queue)
{
    rd_kafka_DeleteGroup_t *group = rd_kafka_DeleteGroup_new(what);
    rd_kafka_DeleteGroups(handle, &group, 1, options, queue);
    rd_kafka_DeleteGroup_destroy(group);
}

static leat_status forget_failed(rd_kafka_resp_err_t code, const char *group, leat_error *error)
{
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR || code == RD_KAFKA_RESP_ERR_GROUP_ID_NOT_FOUND)
        return LEAT_OK;
    if (code == RD_KAFKA_RESP_ERR_NON_EMPTY_GROUP)
        return leat__fail(error, LEAT_ELOCKED, LEAT_RECOVERY_FATAL, group,
                          "processes of it are at work; end them first (one that died counts until "
                          "its session is over)");
    return leat__kafka_fail(error, code, group, "deleting group '%.80s'", group);
}

leat_status leat__kafka_group_forget(leat_log *base, const char *group, leat_error *error)
{
    leat__kafka *log = leat__kafka_of(base);
    char name[LEAT__KAFKA_NAME_BYTES];
    rd_kafka_event_t *event;
    leat_status status = leat__kafka_name(log, group, name, error);
    if (status == LEAT_OK)
        status = leat__kafka_administer(log, RD_KAFKA_ADMIN_OP_DELETEGROUPS, send_delete, name,
                                        &event, error);
    if (status != LEAT_OK)
        return status;
    size_t count;
    const rd_kafka_group_result_t **results =
        rd_kafka_DeleteGroups_result_groups(rd_kafka_event_DeleteGroups_result(event), &count);
    const rd_kafka_error_t *failed = count == 1 ? rd_kafka_group_result_error(results[0]) : NULL;
    if (failed != NULL)
        status = forget_failed(rd_kafka_error_code(failed), group, error);
    rd_kafka_event_destroy(event);
    return status;
}
