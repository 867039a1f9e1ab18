/* aws_config.h: what the environment and the files in ~/.aws say, as the AWS SDKs read them.
 *
 * Read once, when the object is made. Settings come from the environment first, then from the
 * profile (AWS_PROFILE, else "default") in AWS_CONFIG_FILE (~/.aws/config, sections `[profile x]`
 * and `[default]`) and AWS_SHARED_CREDENTIALS_FILE (~/.aws/credentials, sections `[x]`); of a key
 * in both files the credentials file's wins.
 *
 * Threads: constant after it is made.
 */
#ifndef HFC_AWS_CONFIG_H
#define HFC_AWS_CONFIG_H

#include <stddef.h>

#include "error.h"

struct hfc_aws_config;

/* A file that does not exist is empty; one that can't be read or parsed is an error with
 * file:line. A profile that was named and is in neither file is an error too. */
struct hfc_aws_config *hfc_aws_config_load(struct hfc_error *err);
void hfc_aws_config_free(struct hfc_aws_config *c);

/* The profile's name and the value of one of its keys (lower case), or NULL. */
const char *hfc_aws_config_profile(const struct hfc_aws_config *c);
const char *hfc_aws_config_get(const struct hfc_aws_config *c, const char *key);

/* AWS_REGION, AWS_DEFAULT_REGION, the profile's `region`; NULL: none is set. */
const char *hfc_aws_config_region(const struct hfc_aws_config *c);

/* The endpoint of a service ("s3", "sts"): AWS_ENDPOINT_URL_<SERVICE>, AWS_ENDPOINT_URL, the
 * profile's `endpoint_url`; NULL: AWS's own. AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=true makes it
 * NULL. */
const char *hfc_aws_config_endpoint(const struct hfc_aws_config *c, const char *service);

/* AWS_CA_BUNDLE or the profile's `ca_bundle`; NULL: the system's. */
const char *hfc_aws_config_ca_bundle(const struct hfc_aws_config *c);

/* An environment variable whose name begins with AWS_, as it was; NULL: not set, or empty. */
const char *hfc_aws_config_env(const struct hfc_aws_config *c, const char *name);

/* Parses the text of one ini file: calls set() for each section, with key and value NULL, and for
 * each key. Keys are made lower case; keys, values and sections are trimmed; '#' and ';' at the
 * start of a line are comments, " #" and " ;" behind a value too; indented lines are nested
 * settings and are passed over. -1: `err` holds "NAME:LINE: what is wrong". For tests and fuzzing.
 */
int hfc_aws_ini_parse(const char *name, const char *text, size_t n,
                      void (*set)(void *ctx, const char *section, const char *key,
                                  const char *value),
                      void *ctx, struct hfc_error *err);

#endif
