#include "apps/leat/tool.h"
#include "base/error.h"
#include "log/driver.h"
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

volatile sig_atomic_t tool_stopped;

int tool_fail(const char *command, const leat_error *error)
{
    fflush(stdout);
    fprintf(stderr, "leat %s: %s%s%s\n", command, error->where, error->where[0] == '\0' ? "" : ": ",
            error->message);
    return leat_status_exit_code(error->status);
}

leat_status tool_open_for_reading(leat_log **log, const char *url, leat_error *error)
{
    const leat_log_opts opts = {.read_only = true, .must_exist = true};
    return leat_log_open(log, url, &opts, error);
}

static void on_signal(int signal_number)
{
    (void)signal_number;
    tool_stopped = 1;
}

void tool_catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal}; /* no SA_RESTART: a sleep ends at once */
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

bool tool_write(leat__buffer *out, leat_error *error)
{
    size_t at = 0;
    while (at < out->length) {
        ssize_t written = write(STDOUT_FILENO, out->data + at, out->length - at);
        if (written >= 0) {
            at += (size_t)written;
        } else if (errno != EINTR) {
            error->status = LEAT_OK;
            if (errno != EPIPE)
                (void)leat__fail(error, leat__errno_status(errno), LEAT_RECOVERY_FATAL, "stdout",
                                 "%s", strerror(errno));
            return false;
        }
    }
    out->length = 0;
    return true;
}

const char *tool_thousands(uint64_t number)
{
    static char texts[4][32];
    static unsigned turn;
    char digits[24], *text = texts[turn++ % 4], *at = text;
    int length = snprintf(digits, sizeof digits, "%" PRIu64, number);
    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0)
            *at++ = ',';
        *at++ = digits[i];
    }
    *at = '\0';
    return text;
}

leat_status tool_stands_still(leat_log *log, const char *job, leat_error *error)
{
    size_t running;
    leat_status status = leat__log_group_members(log, job, &running, error);
    if (status != LEAT_OK || running == 0)
        return status;
    return leat__fail(error, LEAT_ELOCKED, LEAT_RECOVERY_FATAL, job,
                      "%zu of its processes are at work; end them first (one that died counts "
                      "until its session is over)",
                      running);
}
