/* events/event.c - see event.h.
 *
 *   object ─► each member ─► which field?  (by length, then bytes)
 *               │ found[field] = value, unless one with a better name or from `data` is there
 *               └ "data": the same once more, and what is found there wins
 *   found[] ─► checked and converted, field by field
 *
 * One pass over the members: producers write ten or more of them, and asking for each name in turn
 * would walk them all again each time. */
#include "apps/recommender/events/event.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "apps/recommender/events/timestamp.h"
#include "time/saturate.h"

typedef enum field {
    FIELD_USER,
    FIELD_ITEM,
    FIELD_EVENT,
    FIELD_SESSION,
    FIELD_CATEGORY,
    FIELD_KIND,
    FIELD_TIME,
    FIELD_VALUE,
    FIELD_PRICE,
    FIELD_DATA,
    FIELD_COUNT,
} field;

static const char *const field_names[FIELD_COUNT] = {
    "user_id", "item_id",   "event_id", "session_id", "category",
    "kind",    "timestamp", "value",    "price",      "data",
};

typedef struct alias {
    const char *name;
    uint8_t length, field;
    uint8_t rank; /* of several names present the one of least rank counts */
} alias;

#define ALIAS(text, field, rank)            \
    {                                       \
        text, sizeof(text) - 1, field, rank \
    }
static const alias aliases[] = {
    ALIAS("user_id", FIELD_USER, 0),
    ALIAS("item_id", FIELD_ITEM, 0),
    ALIAS("product_id", FIELD_ITEM, 1),
    ALIAS("item", FIELD_ITEM, 2),
    ALIAS("event_id", FIELD_EVENT, 0),
    ALIAS("session_id", FIELD_SESSION, 0),
    ALIAS("category", FIELD_CATEGORY, 0),
    ALIAS("kind", FIELD_KIND, 0),
    ALIAS("interaction_type", FIELD_KIND, 1),
    ALIAS("event_type", FIELD_KIND, 2),
    ALIAS("type", FIELD_KIND, 3),
    ALIAS("timestamp", FIELD_TIME, 0),
    ALIAS("timestamp_ms", FIELD_TIME, 1),
    ALIAS("time", FIELD_TIME, 2),
    ALIAS("ts", FIELD_TIME, 3),
    ALIAS("value", FIELD_VALUE, 0),
    ALIAS("interaction_value", FIELD_VALUE, 1),
    ALIAS("rating", FIELD_VALUE, 2),
    ALIAS("price", FIELD_PRICE, 0),
    ALIAS("data", FIELD_DATA, 0),
};
enum { ALIAS_LENGTH_MAX = 17, ABSENT = 255, OUTSIDE_DATA = 16 };

typedef struct found_fields {
    leat__json value[FIELD_COUNT];
    uint8_t rank[FIELD_COUNT]; /* ABSENT: not there */
    leat_str name[FIELD_COUNT];
} found_fields;

static const struct {
    double weight;
    const char *name[6];
} kinds[INTERACTION_KINDS] = {
#define X(name, weight, ...) {weight, {__VA_ARGS__}},
    INTERACTION_KIND_MAP(X)
#undef X
};

const char *interaction_kind_name(uint8_t kind)
{
    return kinds[kind < INTERACTION_KINDS ? kind : INTERACTION_OTHER].name[0];
}

double interaction_kind_weight(uint8_t kind)
{
    return kinds[kind < INTERACTION_KINDS ? kind : INTERACTION_OTHER].weight;
}

static bool same_ignoring_case(leat_str text, const char *name)
{
    size_t i = 0;
    for (; i < text.length && name[i] != '\0'; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c >= 'A' && c <= 'Z')
            c = (unsigned char)(c + 32);
        if (c != (unsigned char)name[i])
            return false;
    }
    return i == text.length && name[i] == '\0';
}

interaction_kind interaction_kind_of(leat_str name)
{
    for (int kind = 0; kind < INTERACTION_KINDS; kind++)
        for (int i = 0; i < 6 && kinds[kind].name[i] != NULL; i++)
            if (same_ignoring_case(name, kinds[kind].name[i]))
                return (interaction_kind)kind;
    return INTERACTION_OTHER;
}

static leat_status fail(event_fault *fault, const char *name, const char *format, ...)
    LEAT_PRINTF(3, 4);
static leat_status fail(event_fault *fault, const char *name, const char *format, ...)
{
    if (fault == NULL)
        return LEAT_EDATA;
    snprintf(fault->field, sizeof fault->field, "%s", name);
    va_list args;
    va_start(args, format);
    vsnprintf(fault->reason, sizeof fault->reason, format, args);
    va_end(args);
    return LEAT_EDATA;
}

static const alias *alias_of(leat_str name)
{
    if (name.length > ALIAS_LENGTH_MAX)
        return NULL;
    for (size_t i = 0; i < sizeof aliases / sizeof aliases[0]; i++)
        if (aliases[i].length == name.length &&
            memcmp(aliases[i].name, name.data, name.length) == 0)
            return &aliases[i];
    return NULL;
}

static void collect(leat__json object, uint8_t rank_offset, found_fields *found)
{
    for (leat__json_each each = leat__json_each_of(object); leat__json_next(&each);) {
        const alias *known = alias_of(each.name);
        if (known == NULL || leat__json_type_of(each.value) == LEAT__JSON_NULL)
            continue;
        uint8_t rank = (uint8_t)(known->rank + rank_offset);
        if (rank >= found->rank[known->field])
            continue;
        found->rank[known->field] = rank;
        found->value[known->field] = each.value;
        found->name[known->field] = each.name;
    }
}

bool event_id_text(leat__json value, leat_str *out)
{
    if (leat__json_type_of(value) != LEAT__JSON_NUMBER)
        return leat__json_get_str(value, out);
    *out = leat__json_text(value);
    for (size_t i = 0; i < out->length; i++)
        if (out->data[i] == '.' || out->data[i] == 'e' || out->data[i] == 'E')
            return false;
    return true;
}

static leat_status text_field(const found_fields *found, field which, bool required, leat_str *out,
                              event_fault *fault)
{
    const char *name = field_names[which];
    *out = (leat_str){NULL, 0};
    if (found->rank[which] == ABSENT)
        return required ? fail(fault, name, "%s is missing", name) : LEAT_OK;
    leat__json_type type = leat__json_type_of(found->value[which]);
    if (!event_id_text(found->value[which], out))
        return fail(fault, name, "%s must be a string or an integer, it is %s", name,
                    type == LEAT__JSON_NUMBER ? "a fraction" : leat__json_type_name(type));
    if (out->length > EVENT_ID_BYTES_MAX)
        return fail(fault, name, "%s has %zu bytes, at most %d are allowed", name, out->length,
                    EVENT_ID_BYTES_MAX);
    if (out->length == 0) {
        if (required)
            return fail(fault, name, "%s is empty", name);
        *out = (leat_str){NULL, 0};
    }
    return LEAT_OK;
}

static bool number_of_text(leat_str text, double *out)
{
    char copy[64], *end;
    if (text.length == 0 || text.length >= sizeof copy)
        return false;
    memcpy(copy, text.data, text.length);
    copy[text.length] = '\0';
    *out = strtod(copy, &end);
    return *end == '\0' && isfinite(*out);
}

static leat_status number_field(const found_fields *found, field which, double *out,
                                event_fault *fault)
{
    const char *name = field_names[which];
    leat_str text;
    *out = 0;
    if (found->rank[which] == ABSENT)
        return LEAT_OK;
    leat__json value = found->value[which];
    if (leat__json_get_f64(value, out))
        return LEAT_OK;
    if (leat__json_get_str(value, &text)) {
        if (text.length == 0 || number_of_text(text, out))
            return LEAT_OK;
        return fail(fault, name, "%s is a text that is not a number", name);
    }
    return fail(fault, name, "%s must be a number, it is %s", name,
                leat__json_type_name(leat__json_type_of(value)));
}

static leat_status time_field(const found_fields *found, int64_t accepted_ms, int64_t *out,
                              event_fault *fault)
{
    *out = accepted_ms;
    if (found->rank[FIELD_TIME] == ABSENT)
        return LEAT_OK;
    leat__json value = found->value[FIELD_TIME];
    leat_str text;
    double fraction;
    if (leat__json_get_str(value, &text)) {
        if (!timestamp_parse(text, out))
            return fail(fault, "timestamp",
                        "timestamp '%.*s' is neither ISO 8601 nor epoch milliseconds",
                        (int)(text.length < 40 ? text.length : 40), text.data);
    } else if (!leat__json_get_i64(value, out)) {
        if (!leat__json_get_f64(value, &fraction))
            return fail(fault, "timestamp",
                        "timestamp must be ISO 8601 or epoch milliseconds, it is %s",
                        leat__json_type_name(leat__json_type_of(value)));
        if (!(fraction >= 0 && fraction <= (double)TIMESTAMP_MAX_MS))
            fraction = -1;
        *out = (int64_t)fraction;
    }
    if (*out < 0 || *out > TIMESTAMP_MAX_MS)
        return fail(fault, "timestamp",
                    "timestamp is out of range: epoch milliseconds from 1970 to 9999");
    if (*out > accepted_ms + EVENT_AHEAD_MAX_MS)
        return fail(fault, "timestamp",
                    "timestamp is more than a day in the future: is it in milliseconds?");
    return LEAT_OK;
}

leat_status event_bound_time(interaction *event, int64_t taken_ms, int64_t max_ahead_ms, bool clamp,
                             bool *clamped, event_fault *fault)
{
    *clamped = false;
    if (event->timestamp_ms <= leat__time_add(taken_ms, max_ahead_ms))
        return LEAT_OK;
    if (!clamp)
        return fail(fault, "timestamp",
                    "timestamp is %.1f min ahead of the server's clock, at most %.1f are believed: "
                    "mend the clock or the time zone of who sent it",
                    (double)(event->timestamp_ms - taken_ms) / 6e4, (double)max_ahead_ms / 6e4);
    event->timestamp_ms = taken_ms;
    *clamped = true;
    return LEAT_OK;
}

/* The event types of the envelope that are not interactions. */
static leat_status refuse_other_envelopes(const found_fields *found, event_fault *fault)
{
    static const char *const others[] = {"item_update", "user_profile_update", "system_metric",
                                         "recommendation_request", "recommendation_response"};
    leat_str type;
    if (found->rank[FIELD_KIND] == ABSENT || !leat__json_get_str(found->value[FIELD_KIND], &type))
        return LEAT_OK;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (leat_str_equal(type, leat_str_from(others[i])))
            return fail(fault, "event_type", "event_type '%s' is no user interaction", others[i]);
    return LEAT_OK;
}

static leat_status kind_field(const found_fields *found, uint8_t *out, event_fault *fault)
{
    leat_str name;
    *out = INTERACTION_VIEW;
    if (found->rank[FIELD_KIND] == ABSENT)
        return LEAT_OK;
    if (!leat__json_get_str(found->value[FIELD_KIND], &name))
        return fail(fault, "kind", "%.*s must be a string, it is %s",
                    (int)found->name[FIELD_KIND].length, found->name[FIELD_KIND].data,
                    leat__json_type_name(leat__json_type_of(found->value[FIELD_KIND])));
    if (name.length > EVENT_ID_BYTES_MAX)
        return fail(fault, "kind", "kind has more than %d bytes", EVENT_ID_BYTES_MAX);
    if (leat_str_equal(name, LEAT_STR("user_interaction")))
        return LEAT_OK;
    *out = (uint8_t)interaction_kind_of(name);
    return LEAT_OK;
}

leat_status event_from_json(leat__json value, int64_t accepted_ms, interaction *event,
                            event_fault *fault)
{
    found_fields found;
    memset(found.rank, ABSENT, sizeof found.rank);
    if (leat__json_type_of(value) != LEAT__JSON_OBJECT)
        return fail(fault, "", "an event must be a JSON object, it is %s",
                    leat__json_type_name(leat__json_type_of(value)));
    collect(value, OUTSIDE_DATA, &found);
    if (refuse_other_envelopes(&found, fault) != LEAT_OK)
        return LEAT_EDATA;
    if (found.rank[FIELD_DATA] != ABSENT) {
        leat__json data = found.value[FIELD_DATA];
        if (leat__json_type_of(data) != LEAT__JSON_OBJECT)
            return fail(fault, "data", "data must be an object, it is %s",
                        leat__json_type_name(leat__json_type_of(data)));
        collect(data, 0, &found);
    }
    *event = (interaction){.accepted_ms = accepted_ms};
    leat_status status = text_field(&found, FIELD_USER, true, &event->user_id, fault);
    if (status == LEAT_OK)
        status = text_field(&found, FIELD_ITEM, true, &event->item_id, fault);
    if (status == LEAT_OK)
        status = text_field(&found, FIELD_EVENT, false, &event->event_id, fault);
    if (status == LEAT_OK)
        status = text_field(&found, FIELD_SESSION, false, &event->session_id, fault);
    if (status == LEAT_OK)
        status = text_field(&found, FIELD_CATEGORY, false, &event->category, fault);
    if (status == LEAT_OK)
        status = kind_field(&found, &event->kind, fault);
    if (status == LEAT_OK)
        status = time_field(&found, accepted_ms, &event->timestamp_ms, fault);
    if (status == LEAT_OK)
        status = number_field(&found, FIELD_VALUE, &event->value, fault);
    if (status == LEAT_OK)
        status = number_field(&found, FIELD_PRICE, &event->price, fault);
    return status;
}

leat_status event_parse(leat__json_reader *reader, leat_str text, int64_t accepted_ms,
                        interaction *event, event_fault *fault)
{
    leat_error error;
    leat__json root;
    if (text.length > EVENT_TEXT_BYTES_MAX)
        return fail(fault, "", "the event has %zu bytes, at most %d are allowed", text.length,
                    EVENT_TEXT_BYTES_MAX);
    if (leat__json_open(reader, text, &root, &error) != LEAT_OK)
        return fail(fault, "", "%s", error.message);
    return event_from_json(root, accepted_ms, event, fault);
}
