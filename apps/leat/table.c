#include "apps/leat/table.h"
#include "base/buffer.h"
#include "base/mem.h"
#include <string.h>

struct table {
    const table_column *columns;
    size_t column_count, cell_count;
    bool as_json;
    size_t width[TABLE_COLUMNS_MAX];
    leat__buffer text; /* people: cells, each NUL-terminated; programs: the lines as they will be */
};

table *table_new(const table_column *columns, size_t column_count, bool as_json)
{
    table *t = leat__calloc(1, sizeof *t);
    t->columns = columns;
    t->column_count = column_count;
    t->as_json = as_json;
    for (size_t i = 0; i < column_count; i++)
        t->width[i] = strlen(columns[i].name);
    return t;
}

static void add_cell(table *t, const char *text, const char *json)
{
    size_t column = t->cell_count++ % t->column_count;
    if (t->as_json) {
        leat__buffer_text(&t->text, column == 0 ? "{" : ",");
        leat__buffer_json_str(&t->text, leat_str_from(t->columns[column].name));
        leat__buffer_text(&t->text, ":");
        leat__buffer_text(&t->text, json);
        if (column + 1 == t->column_count)
            leat__buffer_text(&t->text, "}\n");
        return;
    }
    size_t length = strlen(text);
    if (length > t->width[column])
        t->width[column] = length;
    leat__buffer_bytes(&t->text, text, length + 1);
}

void table_text(table *t, leat_str text)
{
    leat__buffer json = {0}, plain = {0};
    leat__buffer_json_str(&json, text);
    leat__buffer_bytes(&json, "", 1);
    leat__buffer_bytes(&plain, text.data, text.length);
    leat__buffer_bytes(&plain, "", 1);
    add_cell(t, plain.data, json.data);
    leat__buffer_free(&json);
    leat__buffer_free(&plain);
}

void table_number(table *t, int64_t number)
{
    leat__buffer text = {0};
    leat__buffer_i64_text(&text, number);
    leat__buffer_bytes(&text, "", 1);
    add_cell(t, text.data, text.data);
    leat__buffer_free(&text);
}

void table_flag(table *t, bool value, const char *if_true, const char *if_false)
{
    add_cell(t, value ? if_true : if_false, value ? "true" : "false");
}

void table_nothing(table *t)
{
    add_cell(t, "-", "null");
}

static void print_cell(const table *t, size_t column, const char *text)
{
    int width = (int)t->width[column];
    bool last = column + 1 == t->column_count;
    if (t->columns[column].is_number)
        printf("%*s%s", width, text, last ? "\n" : "  ");
    else
        printf("%-*s%s", last ? 0 : width, text, last ? "\n" : "  ");
}

void table_print(table *t, const char *if_empty)
{
    if (t->as_json) {
        fwrite(t->text.data, 1, t->text.length, stdout);
    } else if (t->cell_count == 0) {
        puts(if_empty);
    } else {
        for (size_t i = 0; i < t->column_count; i++)
            print_cell(t, i, t->columns[i].name);
        const char *cell = t->text.data;
        for (size_t i = 0; i < t->cell_count; i++, cell += strlen(cell) + 1)
            print_cell(t, i % t->column_count, cell);
    }
    leat__buffer_free(&t->text);
    leat__free(t);
}
