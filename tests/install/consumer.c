/* consumer.c - a user's program: built against an installed leat by test_install.py. */
#include <leat/base.h>
#include <leat/record.h>

#include <stdio.h>
#include <stdlib.h>

struct click {
    int64_t ts_ms;
    leat_str user;
};
LEAT_RECORD(click, ts_ms, user);

int main(void)
{
    leat_json_decoder *decoder = leat_json_decoder_new();
    struct click click = {0};
    leat_error error = {0};
    if (leat_json_decode(decoder, &click_type, LEAT_STR("{\"user\":\"ada\",\"ts_ms\":7}"), &click,
                         &error) != LEAT_OK) {
        fprintf(stderr, "%s: %s\n", error.where, error.message);
        return 1;
    }
    char *json = leat_json_encode(&click_type, &click);
    printf("leat %s %s\n", leat_version(), json);
    free(json);
    leat_json_decoder_free(decoder);
    return 0;
}
