#include <ucp/api/ucp.h>
ucs_status_t ucs_global_opts_set_value(const char *name, const char *value);
