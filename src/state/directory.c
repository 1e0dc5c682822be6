/* state/directory.c - which slots a task has, by name, and in which layouts their values were
 * written (S4).
 *
 *     row DIRECTORY id -> [format][role][name][map key layout][count] layout 0, layout 1, ...
 *     a value's second byte is the number of its layout; values are rewritten only when they change
 *
 * Numbers of layouts are given once and never again: an old value in the changelog can be read for
 * ever.  A layout from which nothing leads to the current one is no obstacle while no value has it:
 * that is found out when all values are there, and then its text is dropped from the row. */
#include "base/error.h"
#include "base/mem.h"
#include "state/internal.h"
#include <stdlib.h>

enum { FORMAT = 2 }; /* 1 had no layouts that are forgotten */

static char *layout_of(const leat_type *type)
{
    if (type == NULL)
        return leat__strdup("");
    char *text = leat_type_layout(type), *copy = leat__strdup(text);
    free(text);
    return copy;
}

void leat__directory_append(leat__buffer *out, const leat__cells *cells)
{
    char *map_key = layout_of(cells->slot.map_key);
    bool any_forgotten = false;
    for (uint32_t i = 0; i < cells->layouts.count; i++)
        any_forgotten |= cells->layouts.all[i].text[0] == '\0';
    leat__buffer_u8(out, any_forgotten && cells->slot.type != NULL ? FORMAT : FORMAT - 1);
    leat__buffer_u8(out, (uint8_t)cells->role);
    leat__buffer_str(out, leat_str_from(cells->slot.name));
    leat__buffer_str(out, leat_str_from(map_key));
    leat__buffer_varint(out, cells->layouts.count);
    for (uint32_t i = 0; i < cells->layouts.count; i++)
        leat__buffer_str(out, leat_str_from(cells->layouts.all[i].text));
    leat__free(map_key);
}

static void free_layouts(leat__layouts *layouts)
{
    for (uint32_t i = 0; i < layouts->count; i++) {
        leat__free(layouts->all[i].text);
        leat__migration_free(layouts->all[i].migration);
    }
    leat__free(layouts->all);
    *layouts = (leat__layouts){0};
}

void leat__directory_free(leat__cells *cells)
{
    free_layouts(&cells->layouts);
}

static leat_status add_layout(leat__cells *cells, leat_str text, leat_error *error)
{
    leat__layouts *layouts = &cells->layouts;
    if (layouts->count == LEAT__LAYOUTS_MAX)
        return leat__fail(
            error, LEAT_ETYPE, LEAT_RECOVERY_FATAL, cells->slot.name,
            "the state's type has changed %d times, more is not kept; give the slot a new name",
            LEAT__LAYOUTS_MAX);
    layouts->all = leat__realloc(layouts->all, layouts->count + 1, sizeof *layouts->all);
    layouts->all[layouts->count++] = (leat__layout){.text = leat__strndup(text.data, text.length)};
    return LEAT_OK;
}

static leat_status migrate_from(leat__cells *cells, uint32_t index, leat_error *error)
{
    leat__layouts *layouts = &cells->layouts;
    leat__layout *layout = &layouts->all[index];
    leat_error refusal = {0};
    if (index == layouts->current)
        return LEAT_OK;
    leat__migration *migration =
        layout->text[0] == '\0' ? NULL
                                : leat__migration_new(layout->text, cells->slot.type, &refusal);
    if (migration == NULL && refusal.status == LEAT_ECORRUPT)
        return leat__fail(error, LEAT_ECORRUPT, LEAT_RECOVERY_FATAL, cells->slot.name,
                          "a stored layout is damaged: %.300s; remove the state directory, it is "
                          "rebuilt from the changelog",
                          refusal.message);
    if (migration == NULL) {
        layout->refused = layouts->any_refused = true;
        return LEAT_OK;
    }
    if (leat__migration_is_identity(migration)) {
        leat__migration_free(migration);
        migration = NULL;
    }
    layout->migration = migration;
    return LEAT_OK;
}

leat_status leat__layout_refused(const leat__cells *cells, uint32_t layout, size_t value_count,
                                 leat_error *error)
{
    const leat__layout *refused = &cells->layouts.all[layout];
    leat_error cause = {0};
    char many[48] = "values";
    if (refused->text[0] == '\0')
        return leat__row_damaged(error, cells);
    if (value_count != 0)
        (void)snprintf(many, sizeof many, "%zu value%s", value_count, value_count == 1 ? "" : "s");
    leat__migration_free(leat__migration_new(refused->text, cells->slot.type, &cause));
    return leat__fail(error, LEAT_ETYPE, LEAT_RECOVERY_FATAL, cells->slot.name,
                      "%.340s; %s not written since: give the field, or the slot, a new name",
                      cause.message, many);
}

/* Values, chunks of lists too, in a layout. */
static leat_status count_rows(leat__store *store, const leat__cells *cells, leat__row_kind kind,
                              size_t counts[LEAT__LAYOUTS_MAX], leat_error *error)
{
    const leat__backend_ops *ops = store->database->ops;
    leat__buffer prefix = {0};
    leat__row_value row;
    leat_str key, value;
    leat__buffer_bytes(&prefix, store->prefix, sizeof store->prefix);
    leat__row_key_append(&prefix, kind, cells->id, (leat_str){0}, (leat_str){0});
    prefix.length = sizeof store->prefix + 5; /* kind and id */
    leat__rows *rows =
        ops->rows(store->database, (leat_str){prefix.data, prefix.length}, (leat_str){0});
    while (ops->next(rows, &key, &value))
        if (leat__row_value_parse(value, &row) && row.layout < LEAT__LAYOUTS_MAX)
            counts[row.layout]++;
    leat__buffer_free(&prefix);
    return ops->rows_close(rows, error);
}

static leat_status check_slot(leat__store *store, leat__cells *cells, leat_error *error)
{
    size_t counts[LEAT__LAYOUTS_MAX] = {0};
    leat_status status = LEAT_OK;
    if (store->durable) {
        status = count_rows(store, cells, leat__row_kind_of(cells->role), counts, error);
        if (status == LEAT_OK && cells->role == LEAT__ROLE_LIST)
            status = count_rows(store, cells, LEAT__ROW_CHUNK, counts, error);
    } /* else each value was read */
    for (uint32_t i = 0; i < cells->layouts.count && status == LEAT_OK; i++) {
        leat__layout *layout = &cells->layouts.all[i];
        if (!layout->refused)
            continue;
        if (counts[i] != 0)
            return leat__layout_refused(cells, i, counts[i], error);
        cells->directory_pending = cells->directory_pending || layout->text[0] != '\0';
        layout->text[0] = '\0';
    }
    return status;
}

leat_status leat__directory_check(leat__store *store, leat_error *error)
{
    leat_status status = LEAT_OK;
    for (size_t i = 0; i < store->slot_count && status == LEAT_OK; i++)
        if (store->cells_of[i].layouts.any_refused)
            status = check_slot(store, &store->cells_of[i], error);
    return status;
}

/* Finds the current type among the layouts, or adds it. */
static leat_status settle_layouts(leat__cells *cells, leat_error *error)
{
    leat__layouts *layouts = &cells->layouts;
    if (cells->slot.type == NULL)
        return LEAT_OK;
    char *text = layout_of(cells->slot.type);
    layouts->current = 0;
    while (layouts->current < layouts->count &&
           strcmp(layouts->all[layouts->current].text, text) != 0)
        layouts->current++;
    leat_status status = LEAT_OK;
    if (layouts->current == layouts->count) {
        status = add_layout(cells, leat_str_from(text), error);
        cells->directory_pending = true;
    }
    leat__free(text);
    for (uint32_t i = 0; status == LEAT_OK && i < layouts->count; i++)
        status = migrate_from(cells, i, error);
    return status;
}

static leat_status check_kind(const leat__cells *cells, uint8_t role, leat_str map_key,
                              leat_error *error)
{
    static const char *const names[] = {"value", "list", "map", "timer", "?"};
    char *now = layout_of(cells->slot.map_key);
    leat_status status = LEAT_OK;
    if (role != (uint8_t)cells->role)
        status = leat__fail(error, LEAT_ETYPE, LEAT_RECOVERY_FATAL, cells->slot.name,
                            "the state was stored as a %s and is a %s now; give it a new name",
                            names[role < 4 ? role : 4], names[cells->role]);
    else if (!leat_str_equal(map_key, leat_str_from(now)))
        status = leat__fail(
            error, LEAT_ETYPE, LEAT_RECOVERY_FATAL, cells->slot.name,
            "the map's keys were stored as %.*s and are %s now; give the slot a new name",
            (int)map_key.length, map_key.data, now);
    leat__free(now);
    return status;
}

static leat_status add_stored_layout(leat__cells *cells, leat_str text, leat_error *error)
{
    return text.data == NULL ? leat__row_damaged(error, cells) : add_layout(cells, text, error);
}

leat_status leat__directory_row(leat__cells *cells, leat_str value, leat_error *error)
{
    leat__reader reader = leat__reader_of(value);
    uint8_t format = leat__read_u8(&reader), role = leat__read_u8(&reader);
    if (!reader.failed && format > FORMAT)
        return leat__fail(error, LEAT_EVERSION, LEAT_RECOVERY_FATAL, cells->slot.name,
                          "the state was written by a newer version of leat (directory format %d)",
                          format);
    leat_str name = leat__read_str(&reader), map_key = leat__read_str(&reader);
    uint64_t count = leat__read_varint(&reader);
    if (reader.failed || count > LEAT__LAYOUTS_MAX)
        return leat__row_damaged(error, cells);
    if (!leat_str_equal(name, leat_str_from(cells->slot.name)))
        return leat__fail(error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, cells->slot.name,
                          "has the same number on disk as '%.*s'; rename it", (int)name.length,
                          name.data);
    leat_status status = check_kind(cells, role, map_key, error);
    if (status != LEAT_OK)
        return status;
    free_layouts(&cells->layouts);
    for (uint64_t i = 0; status == LEAT_OK && i < count; i++)
        status = add_stored_layout(cells, leat__read_str(&reader), error);
    cells->layouts.stored = cells->layouts.count;
    cells->directory_seen = true;
    cells->directory_pending = false;
    return status == LEAT_OK ? settle_layouts(cells, error) : status;
}

bool leat__changelog_names(leat_str key, leat_str value, leat_str *slot, bool *is_timer)
{
    leat__row_key row;
    if (!leat__row_key_parse(key, &row) || row.kind != LEAT__ROW_DIRECTORY || value.data == NULL)
        return false;
    leat__reader reader = leat__reader_of(value);
    (void)leat__read_u8(&reader); /* format */
    *is_timer = leat__read_u8(&reader) == LEAT__ROLE_TIMER;
    *slot = leat__read_str(&reader);
    return !reader.failed && slot->data != NULL;
}

bool leat__changelog_is_of_map(leat_str key, const char *slot)
{
    leat__row_key row;
    return leat__row_key_parse(key, &row) && row.kind == LEAT__ROW_MAP &&
           row.id == leat__crc32c(0, slot, strlen(slot));
}

static leat_status open_slot(leat__store *store, leat__cells *cells, leat_error *error)
{
    uint32_t seed =
        cells->role == LEAT__ROLE_TIMER ? 1 : 0; /* a slot and a timer may share a name */
    cells->id = leat__crc32c(seed, cells->slot.name, strlen(cells->slot.name));
    for (const leat__cells *other = store->cells_of; other < cells; other++)
        if (other->id == cells->id)
            return leat__fail(error, LEAT_EINVAL, LEAT_RECOVERY_FATAL, cells->slot.name,
                              "has the same number on disk as '%s'; rename one", other->slot.name);
    leat__buffer key = {0}, value = {0};
    leat__buffer_bytes(&key, store->prefix, sizeof store->prefix);
    leat__row_key_append(&key, LEAT__ROW_DIRECTORY, cells->id, (leat_str){0}, (leat_str){0});
    leat_status status = LEAT_ENOTFOUND;
    if (store->durable)
        status = store->database->ops->get(store->database, (leat_str){key.data, key.length},
                                           &value, error);
    if (status == LEAT_OK)
        status = leat__directory_row(cells, (leat_str){value.data, value.length}, error);
    else if (status == LEAT_ENOTFOUND)
        status = settle_layouts(cells, error);
    cells->directory_pending = cells->directory_pending || !cells->directory_seen;
    leat__buffer_free(&key);
    leat__buffer_free(&value);
    return status;
}

leat_status leat__directory_open(leat__store *store, leat_error *error)
{
    leat_status status = LEAT_OK;
    for (size_t i = 0; status == LEAT_OK && i < store->slot_count + store->timer_count; i++) {
        leat__cells *cells = &store->cells_of[i];
        free_layouts(&cells->layouts);
        cells->directory_seen = cells->directory_pending = cells->hold_rows = false;
        status = open_slot(store, cells, error);
    }
    return status;
}

leat__cells *leat__cells_by_id(const leat__store *store, leat__row_kind kind, uint32_t id)
{
    for (size_t i = 0; i < store->slot_count + store->timer_count; i++) {
        leat__cells *cells = &store->cells_of[i];
        if (cells->id != id)
            continue;
        leat__row_kind own = leat__row_kind_of(cells->role);
        if (own == kind || kind == LEAT__ROW_DIRECTORY ||
            (own == LEAT__ROW_LIST && kind == LEAT__ROW_CHUNK))
            return cells;
    }
    return NULL;
}
