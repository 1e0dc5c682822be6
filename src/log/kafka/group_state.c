/* log/kafka/group_state.c - does anybody work in a group now?
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
