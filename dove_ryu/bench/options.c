/* The generator's command line. */

#include "options.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <stdlib.h>

#include "openflow.h"

static const char USAGE[] =
    "usage: loadgen --connect HOST:PORT --requests DIRECTORY --dswitches N [options]\n"
    "  --outstanding K      closed loop: K requests of each dSwitch under way (default: 32)\n"
    "  --rate R --burst B   open loop: R requests a second in all, in bursts of B of one dSwitch (B: 16)\n"
    "  --idle               no requests; an echo request of each dSwitch every --echo-interval seconds (5)\n"
    "  --warm-up S          closed loop for S seconds, and until every request was made once (default: 1)\n"
    "  --seconds S          seconds that are measured (default: 5)\n"
    "  --ends-with T[:N]    compare nothing; an answer ends with N messages (1) of type packet-out or flow-mod\n"
    "  --barrier            the controller is not ready before it has sent each dSwitch a barrier\n"
    "  --settle S           ready when nothing has come for so long (default: 0.5)\n"
    "  --patience S         give up when no answer has come for so long (default: 5)\n";

_Noreturn void refuse(const char *what, const char *why)
{
    fprintf(stderr, "loadgen: %s: %s\n", what, why);
    exit(2);
}

static double number(const char *option, const char *text, double least)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !(value >= least))
        refuse(option, "a number is needed, and not one so small");
    return value;
}

static void read_address(struct options *options, char *text)
{
    char *colon = strrchr(text, ':');
    if (!colon)
        refuse(text, "write it like 127.0.0.1:6653");
    *colon = 0;
    options->controller.sin_family = AF_INET;
    options->controller.sin_port = htons((uint16_t)number("--connect", colon + 1, 1));
    if (inet_pton(AF_INET, text, &options->controller.sin_addr) != 1)
        refuse(text, "it is no IPv4 address");
}

static void read_end(struct load *load, char *text)
{
    char *colon = strchr(text, ':');
    load->check = false;
    if (colon) {
        load->ends = (uint32_t)number("--ends-with", colon + 1, 1);
        *colon = 0;
    }
    if (strcmp(text, "packet-out") == 0)
        load->ends_with = PACKET_OUT;
    else if (strcmp(text, "flow-mod") == 0)
        load->ends_with = FLOW_MOD;
    else
        refuse(text, "an answer ends with packet-out or flow-mod");
}

static void read_option(struct options *options, struct load *load, const char *name, char *value)
{
    if (strcmp(name, "connect") == 0)
        read_address(options, value);
    else if (strcmp(name, "requests") == 0)
        options->directory = value;
    else if (strcmp(name, "dswitches") == 0)
        load->dswitches = (uint32_t)number("--dswitches", value, 1);
    else if (strcmp(name, "outstanding") == 0)
        load->outstanding = (uint32_t)number("--outstanding", value, 1);
    else if (strcmp(name, "rate") == 0)
        options->rate = number("--rate", value, 1);
    else if (strcmp(name, "burst") == 0)
        load->burst = (uint32_t)number("--burst", value, 1);
    else if (strcmp(name, "warm-up") == 0)
        options->warm_up = number("--warm-up", value, 0);
    else if (strcmp(name, "seconds") == 0)
        options->seconds = number("--seconds", value, 0.01);
    else if (strcmp(name, "settle") == 0)
        options->settle = number("--settle", value, 0);
    else if (strcmp(name, "patience") == 0)
        options->patience = number("--patience", value, 0.1);
    else if (strcmp(name, "echo-interval") == 0)
        options->echo_interval = number("--echo-interval", value, 0.001);
    else if (strcmp(name, "ends-with") == 0)
        read_end(load, value);
    else if (strcmp(name, "idle") == 0)
        options->idle = true;
    else if (strcmp(name, "barrier") == 0)
        options->barrier = true;
    else {
        fputs(USAGE, stdout);
        exit(0);
    }
}

void read_options(struct options *options, struct load *load, int count, char **values)
{
    static const char *const with_value[] = {"connect", "requests", "dswitches", "outstanding", "rate",
                                             "burst",   "warm-up",  "seconds",   "settle",      "patience",
                                             "echo-interval", "ends-with"};
    static const char *const without[] = {"idle", "barrier", "help"};
    struct option known[16] = {0};
    size_t all = 0;
    for (size_t each = 0; each < sizeof with_value / sizeof *with_value; each++)
        known[all++] = (struct option){with_value[each], required_argument, NULL, 0};
    for (size_t each = 0; each < sizeof without / sizeof *without; each++)
        known[all++] = (struct option){without[each], no_argument, NULL, 0};
    *options = (struct options){.warm_up = 1, .seconds = 5, .settle = 0.5, .patience = 5, .echo_interval = 5};
    *load = (struct load){.check = true, .ends = 1, .burst = 16};
    int which, got;
    while ((got = getopt_long(count, values, "", known, &which)) == 0)
        read_option(options, load, known[which].name, optarg);
    if (got != -1 || !options->directory || !options->controller.sin_port || !load->dswitches) {
        fputs(USAGE, stderr);
        exit(2);
    }
    if (options->rate > 0)
        load->outstanding = 0;
    else if (!load->outstanding)
        load->outstanding = 32;
    if (load->outstanding > MOST_OUTSTANDING || options->seconds > MOST_SECONDS)
        refuse("--outstanding or --seconds", "at most 65536, and an hour");
}
