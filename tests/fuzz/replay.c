/* replay.c - the main() of a fuzz target in a build without libFuzzer: feeds it every file below
 * the folders named (none is fine), so that inputs once found keep being tested. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    struct stat info;
    if (!file || fstat(fileno(file), &info) != 0) {
        perror(path);
        exit(1);
    }
    size_t length = (size_t)info.st_size;
    uint8_t *bytes = malloc(length + 1);
    if (!bytes || fread(bytes, 1, length, file) != length) {
        perror(path);
        exit(1);
    }
    fclose(file);
    LLVMFuzzerTestOneInput(bytes, length);
    free(bytes);
}

static size_t replay_folder(const char *folder)
{
    DIR *listing = opendir(folder);
    size_t count = 0;
    for (struct dirent *entry; listing && (entry = readdir(listing));) {
        char path[4096];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        replay_file(path);
        count++;
    }
    if (listing)
        closedir(listing);
    return count;
}

int main(int count, char **folders)
{
    size_t files = 0;
    LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
    for (int i = 1; i < count; i++)
        files += replay_folder(folders[i]);
    printf("%zu inputs replayed\n", files);
    return 0;
}
