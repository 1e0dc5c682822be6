#include "apps/recommender/serve/session_body.h"

#include "apps/recommender/events/event.h"
#include "base/error.h"

static leat_status wrong(leat_error *error, const char *field, const char *message)
{
    return leat__fail(error, LEAT_EDATA, LEAT_RECOVERY_FATAL, field, "%s %s", field, message);
}

/* "a", 7 or {"item_id":"a"} */
static bool item_of(leat__json value, leat_str *item)
{
    if (leat__json_type_of(value) == LEAT__JSON_OBJECT &&
        !leat__json_member(value, "item_id", &value))
        return false;
    if (!event_id_text(value, item))
        return false;
    return item->length > 0 && item->length <= EVENT_ID_BYTES_MAX;
}

static leat_status read_items(leat__json items, leat_str *clicks, recommend_request *request,
                              leat_error *error)
{
    if (leat__json_type_of(items) != LEAT__JSON_ARRAY)
        return wrong(error, "items", "must be an array of item ids, oldest first");
    for (leat__json_each each = leat__json_each_of(items); leat__json_next(&each);) {
        if (request->click_count == RECOMMEND_CLICKS_MAX)
            return leat__fail(error, LEAT_EDATA, LEAT_RECOVERY_FATAL, "items",
                              "items has more than %d ids; the newest few are enough",
                              RECOMMEND_CLICKS_MAX);
        if (!item_of(each.value, &clicks[request->click_count]))
            return leat__fail(
                error, LEAT_EDATA, LEAT_RECOVERY_FATAL, "items",
                "items[%zu] is no item id: a string of 1 to %d bytes, an integer, or an object "
                "with item_id",
                request->click_count, EVENT_ID_BYTES_MAX);
        request->click_count++;
    }
    return LEAT_OK;
}

static leat_status read_option(leat_str name, leat__json value, recommend_request *request,
                               leat_error *error)
{
    int64_t number;
    if (leat__json_type_of(value) == LEAT__JSON_NULL)
        return LEAT_OK;
    if (leat_str_equal(name, LEAT_STR("n"))) {
        if (!leat__json_get_i64(value, &number) || number < 1 || number > RECOMMEND_MAX)
            return leat__fail(error, LEAT_EDATA, LEAT_RECOVERY_FATAL, "n",
                              "n must be a whole number from 1 to %d", RECOMMEND_MAX);
        request->count = (uint32_t)number;
    } else if (leat_str_equal(name, LEAT_STR("explain"))) {
        if (!leat__json_get_bool(value, &request->explain))
            return wrong(error, "explain", "must be true or false");
    } else if (leat_str_equal(name, LEAT_STR("exclude_seen"))) {
        if (!leat__json_get_bool(value, &request->exclude_seen))
            return wrong(error, "exclude_seen", "must be true or false");
    } else if (leat_str_equal(name, LEAT_STR("category"))) {
        if (!leat__json_get_str(value, &request->category))
            return wrong(error, "category", "must be a string");
    }
    return LEAT_OK;
}

leat_status session_body_read(leat__json_reader *reader, leat_str body, leat_str *clicks,
                              recommend_request *request, leat_error *error)
{
    leat__json root;
    bool has_items = false;
    *request = (recommend_request){.clicks = clicks, .count = 10};
    leat_status status = leat__json_open(reader, body, &root, error);
    if (status != LEAT_OK)
        return status;
    if (leat__json_type_of(root) != LEAT__JSON_OBJECT)
        return wrong(error, "the body", "must be an object with items");
    for (leat__json_each each = leat__json_each_of(root);
         status == LEAT_OK && leat__json_next(&each);) {
        if (!has_items && leat_str_equal(each.name, LEAT_STR("items"))) {
            has_items = true;
            status = read_items(each.value, clicks, request, error);
        } else {
            status = read_option(each.name, each.value, request, error);
        }
    }
    if (status != LEAT_OK || has_items)
        return status;
    return wrong(error, "items", "is missing: the ids of the session's items, oldest first");
}
