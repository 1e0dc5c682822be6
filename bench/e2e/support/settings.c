#include "bench/e2e/support/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Noreturn void misunderstood(const setting *table, size_t count, const char *word)
{
    fprintf(stderr, "what is '%s'? NAME=VALUE, the names are\n", word);
    for (size_t i = 0; i < count; i++)
        fprintf(stderr, "  %-14s %s\n", table[i].name, table[i].help);
    fprintf(stderr, "  consumer.X, producer.X: setting X of librdkafka\n");
    exit(64);
}

static void assign(const setting *table, size_t count, const char *word)
{
    size_t length = strcspn(word, "=");
    const char *value = word + length + 1;
    if (word[length] == '\0')
        misunderstood(table, count, word);
    for (size_t i = 0; i < count; i++) {
        if (strlen(table[i].name) != length || strncmp(table[i].name, word, length) != 0)
            continue;
        char *end = NULL;
        if (table[i].text != NULL)
            *table[i].text = value;
        else
            *table[i].number = strtoull(value, &end, 10);
        if (end != NULL && (*end != '\0' || end == value))
            misunderstood(table, count, word);
        return;
    }
    misunderstood(table, count, word);
}

void settings_parse(const setting *table, size_t count, int argc, char **argv)
{
    for (int i = 0; i < argc; i++)
        if (strncmp(argv[i], "consumer.", 9) != 0 && strncmp(argv[i], "producer.", 9) != 0)
            assign(table, count, argv[i]);
}
