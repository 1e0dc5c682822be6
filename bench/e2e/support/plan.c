/* bench/e2e/support/plan.c - events, their users and their texts.
 *
 *   user_of_event   7 2 7 9 2 7        which event is the n-th of a user: first_of_user[user] + n
 *   events_by_user  1 4 | 0 2 5 | 3    is its place in events_by_user
 *                   2     7       9
 *
 * Texts are made when they are needed, the same for the same number. */
#include "bench/e2e/support/plan.h"

#include "base/random.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *zeroed(uint64_t count, size_t size)
{
    void *memory = calloc(count == 0 ? 1 : count, size);
    if (memory == NULL) {
        fprintf(stderr, "bench/e2e: no memory for the plan\n");
        exit(1);
    }
    return memory;
}

static uint64_t user_in_turn(const event_plan *plan, uint64_t event)
{
    uint64_t range = plan->user_range == 0 ? plan->user_count : plan->user_range;
    uint64_t stride = plan->stride == 0 ? 1 : plan->stride;
    return (plan->first_user + event % range) * stride % plan->user_count;
}

void plan_build(event_plan *plan, uint64_t seed)
{
    leat__random random = {.state = seed};
    plan->user_of_event = zeroed(plan->event_count, sizeof *plan->user_of_event);
    plan->first_of_user = zeroed(plan->user_count + 1, sizeof *plan->first_of_user);
    plan->events_by_user = zeroed(plan->event_count, sizeof *plan->events_by_user);
    plan->intended_ns = zeroed(plan->event_count, sizeof *plan->intended_ns);
    for (uint64_t i = 0; i < plan->event_count; i++) {
        uint64_t user =
            seed == 0 ? user_in_turn(plan, i) : leat__random_below(&random, plan->user_count);
        plan->user_of_event[i] = (uint32_t)user;
        plan->first_of_user[user + 1]++;
    }
    for (uint64_t user = 0; user < plan->user_count; user++)
        plan->first_of_user[user + 1] += plan->first_of_user[user];
    uint64_t *next = zeroed(plan->user_count, sizeof *next);
    for (uint64_t i = 0; i < plan->event_count; i++) {
        uint32_t user = plan->user_of_event[i];
        plan->events_by_user[plan->first_of_user[user] + next[user]++] = (uint32_t)i;
    }
    free(next);
}

void plan_free(event_plan *plan)
{
    free(plan->user_of_event);
    free(plan->first_of_user);
    free(plan->events_by_user);
    free(plan->intended_ns);
    free(plan->clicks.users);
    free(plan->clicks.items);
    free(plan->clicks.text);
}

static size_t counted_user(const event_plan *plan, uint32_t user, char out[PLAN_USER_BYTES])
{
    leat__random filler = {.state = user};
    size_t length = (size_t)snprintf(out, PLAN_USER_BYTES, "u%08" PRIu32, user);
    while (length < plan->user_bytes && length + 8 < PLAN_USER_BYTES)
        length += (size_t)snprintf(out + length, PLAN_USER_BYTES - length, "-%07" PRIx64,
                                   leat__random_next(&filler) >> 36);
    return length;
}

static const char *click_field(char *const *fields, const event_plan *plan, uint64_t event)
{
    return fields[event % plan->clicks.count];
}

size_t plan_key(const event_plan *plan, uint64_t event, char out[PLAN_USER_BYTES])
{
    if (plan->clicks.count == 0)
        return counted_user(plan, plan->user_of_event[event], out);
    const char *user = click_field(plan->clicks.users, plan, event);
    return (size_t)snprintf(out, PLAN_USER_BYTES, "%.100s", user);
}

size_t plan_event(const event_plan *plan, uint64_t event, int64_t timestamp_ms,
                  char out[PLAN_EVENT_BYTES])
{
    static const char *const types[] = {"view", "click", "add_to_cart", "purchase"};
    char user[PLAN_USER_BYTES];
    plan_key(plan, event, user);
    if (plan->clicks.count > 0)
        return (size_t)snprintf(
            out, PLAN_EVENT_BYTES,
            "{\"event_id\":\"e%" PRIu64 "\",\"user_id\":\"%s\",\"item_id\":\"%.100s\","
            "\"event_type\":\"click\",\"timestamp_ms\":%" PRId64 "}",
            event, user, click_field(plan->clicks.items, plan, event), timestamp_ms);
    return (size_t)snprintf(
        out, PLAN_EVENT_BYTES,
        "{\"user_id\":\"%s\",\"product_id\":\"p%05" PRIu64 "\",\"category\":\"c%02" PRIu64
        "\",\"event_type\":\"%s\",\"timestamp_ms\":%" PRId64 "}",
        user, event * 7919 % 100000, event % 50, types[event % 4], timestamp_ms);
}

static char *read_text(const char *path)
{
    FILE *file = fopen(path, "rb");
    long bytes = -1;
    if (file != NULL && fseek(file, 0, SEEK_END) == 0)
        bytes = ftell(file);
    if (file == NULL || bytes <= 0) {
        fprintf(stderr, "bench/e2e: %s: there are no clicks\n", path);
        exit(1);
    }
    rewind(file);
    char *text = zeroed((uint64_t)bytes + 1, 1);
    size_t got = fread(text, 1, (size_t)bytes, file);
    text[got] = '\0';
    fclose(file);
    return text;
}

void plan_read_clicks(event_plan *plan, const char *path)
{
    click_list *clicks = &plan->clicks;
    clicks->text = read_text(path);
    size_t rows = 0;
    for (const char *at = clicks->text; (at = strchr(at, '\n')) != NULL; at++)
        rows++;
    clicks->users = zeroed(rows + 1, sizeof *clicks->users);
    clicks->items = zeroed(rows + 1, sizeof *clicks->items);
    char *rest = clicks->text;
    for (char *row; clicks->count <= rows && (row = strsep(&rest, "\n")) != NULL;) {
        char *user = strsep(&row, " ");
        if (row == NULL)
            continue;
        clicks->users[clicks->count] = user;
        clicks->items[clicks->count++] = row;
    }
}

/* The digits after `name`, wherever it stands. */
static bool number_after(const char *text, size_t length, const char *name, uint64_t *number)
{
    const char *at = memmem(text, length, name, strlen(name));
    const char *end = text + length;
    if (at == NULL)
        return false;
    at += strlen(name);
    const char *digits = at;
    for (*number = 0; at < end && *at >= '0' && *at <= '9'; at++)
        *number = *number * 10 + (uint64_t)(*at - '0');
    return at > digits;
}

uint64_t plan_parse_event_id(const char *text, size_t length)
{
    uint64_t event;
    return number_after(text, length, "\"event_id\":\"e", &event) ? event : UINT64_MAX;
}

uint32_t plan_parse_user(const char *text, size_t length)
{
    uint64_t user;
    bool found = number_after(text, length, "\"user_id\":\"u", &user);
    return found && user < UINT32_MAX ? (uint32_t)user : UINT32_MAX;
}

bool plan_parse_count(const char *text, size_t length, uint32_t *user, uint64_t *count)
{
    *user = plan_parse_user(text, length);
    return *user != UINT32_MAX && number_after(text, length, "\"event_count\":", count);
}
