/* names.h: names on which the programs have to agree. */
#ifndef HFC_NAMES_H
#define HFC_NAMES_H

/* A cluster's bucket is this and the cluster's id. */
#define HFC_BUCKET_PREFIX "pytorch-hf-model-cache-"

/* The module that a cluster lists to have the cache. */
#define HFC_MODULE "hf-cache"

#endif
