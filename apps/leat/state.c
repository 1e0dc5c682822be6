#include "apps/leat/tool.h"
int command_state(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    return 70;
}
