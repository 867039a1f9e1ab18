# BEGIN_MONITORING
# Scraping and alerts; needs the Prometheus operator's resource kinds and the namespace monitoring.
# The monitors keep our own series and drop histogram buckets, so every rule works from counters,
# gauges, _sum and _count.
apiVersion: monitoring.coreos.com/v1
kind: PodMonitor
metadata:
  name: hf-cache-mount
  namespace: monitoring
  labels:
    app.kubernetes.io/part-of: osdc-monitoring
    osdc.io/module: hf-cache
spec:
  namespaceSelector:
    matchNames:
      - {{NAMESPACE}}
  selector:
    matchLabels:
      app: hf-cache-mount
  podMetricsEndpoints:
    - port: metrics
      interval: 60s
      relabelings:
        - sourceLabels: [__meta_kubernetes_pod_node_name]
          targetLabel: node
      metricRelabelings:
        - action: keep
          sourceLabels: [__name__]
          regex: "hfcache_.*"
        - action: drop
          sourceLabels: [__name__]
          regex: "hfcache_.*_bucket"
---
apiVersion: monitoring.coreos.com/v1
kind: PodMonitor
metadata:
  name: hf-cache-keeper
  namespace: monitoring
  labels:
    app.kubernetes.io/part-of: osdc-monitoring
    osdc.io/module: hf-cache
spec:
  namespaceSelector:
    matchNames:
      - {{NAMESPACE}}
  selector:
    matchLabels:
      app: hf-cache-keeper
  podMetricsEndpoints:
    - port: metrics
      interval: 60s
      relabelings:
        - sourceLabels: [__meta_kubernetes_pod_node_name]
          targetLabel: node
      metricRelabelings:
        - action: keep
          sourceLabels: [__name__]
          regex: "hfcache_.*"
        - action: drop
          sourceLabels: [__name__]
          regex: "hfcache_.*_bucket"
---
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: hf-cache-alerts
  namespace: monitoring
  labels:
    app.kubernetes.io/part-of: osdc-monitoring
    osdc.io/module: hf-cache
spec:
  groups:
    - name: hf-cache
      rules:
        - alert: HFCacheMountDown
          expr: hfcache_mount_ready == 0
          for: 2m
          labels:
            severity: critical
            team: pytorch-dev-infra
            priority: P1
          annotations:
            summary: "Model mount of {{ $labels.node }} does not answer"
            description: >-
              A read through /mnt/hf_cache of {{ $labels.node }} has failed for two minutes. The
              node is tainted, so new jobs go elsewhere; those on it fail to read models. Look at
              the keeper's log there, then at the worker's.
        - alert: HFCacheWorkerMissing
          expr: hfcache_worker_connected == 0
          for: 5m
          labels:
            severity: critical
            team: pytorch-dev-infra
            priority: P2
          annotations:
            summary: "No worker serves the model mount of {{ $labels.node }}"
            description: >-
              The keeper of {{ $labels.node }} has had no worker for five minutes and answers reads
              with EIO. See why the hf-cache-mount pod there does not start: image, memory,
              credentials.
        - alert: HFCachePodsUnavailable
          expr: |
            sum by (daemonset) (kube_daemonset_status_number_unavailable{namespace="{{NAMESPACE}}"})
              / sum by (daemonset) (
                kube_daemonset_status_desired_number_scheduled{namespace="{{NAMESPACE}}"})
              > 0.05
          for: 15m
          labels:
            severity: warning
            team: pytorch-dev-infra
            priority: P2
          annotations:
            summary: "{{ $labels.daemonset }} is missing on many nodes"
            description: >-
              {{ $value | humanizePercentage }} of its pods have not been available for 15 minutes;
              nodes that come and go do not explain that many. See the pods' events.
        - alert: HFCacheHandoverFailing
          expr: sum by (node) (increase(hfcache_handovers_total{result!="ok"}[30m])) > 2
          labels:
            severity: warning
            team: pytorch-dev-infra
            priority: P2
          annotations:
            summary: "Workers of {{ $labels.node }} fail to take the mount over"
            description: >-
              {{ $value | humanize }} hand-overs failed within 30 minutes. Workers keep dying; their
              last log lines say why.
        - alert: HFCacheVerifyFailure
          expr: sum by (node) (increase(hfcache_verify_failures_total[30m])) > 0
          labels:
            severity: warning
            team: pytorch-dev-infra
            priority: P2
          annotations:
            summary: "Wrong bytes found by {{ $labels.node }}"
            description: >-
              {{ $value | humanize }} blocks did not match their checksum. They were thrown away and
              fetched again, no job saw them. On one node suspect its disk, on many the bucket's
              object named in the log.
        - alert: HFCacheMemoryNearLimit
          expr: |
            max by (node, pod, container) (container_memory_working_set_bytes{
                namespace="{{NAMESPACE}}", container=~"keeper|mount|taint"})
              / max by (node, pod, container) (container_spec_memory_limit_bytes{
                namespace="{{NAMESPACE}}", container=~"keeper|mount|taint"} > 0)
              > 0.95
          for: 10m
          labels:
            severity: warning
            team: pytorch-dev-infra
            priority: P3
          annotations:
            summary: "{{ $labels.container }} of {{ $labels.pod }} is close to its memory limit"
            description: >-
              {{ $value | humanizePercentage }} of the limit for ten minutes. The budget should make
              this impossible: compare hfcache_memory_bytes part by part and report it.
        - alert: HFCacheOOMKilled
          expr: |
            sum by (pod, container) (kube_pod_container_status_last_terminated_reason{
              namespace="{{NAMESPACE}}", reason="OOMKilled"}) > 0
          labels:
            severity: warning
            team: pytorch-dev-infra
            priority: P2
          annotations:
            summary: "{{ $labels.container }} of {{ $labels.pod }} was killed for its memory"
            description: >-
              Readers were handed over to the next worker. This stays on until the pod is replaced.
              Compare hfcache_memory_bytes with hf_cache.memory and hf_cache.keeper_memory.
        - alert: HFCacheOriginErrors
          expr: |
            sum by (node) (rate(hfcache_origin_requests_total{code!~"2..|304|404"}[10m]))
              / sum by (node) (rate(hfcache_origin_requests_total[10m]))
              > 0.1
          for: 10m
          labels:
            severity: warning
            team: pytorch-dev-infra
            priority: P2
          annotations:
            summary: "More than a tenth of the bucket requests of {{ $labels.node }} fail"
            description: >-
              {{ $value | humanizePercentage }} of its requests to s3://{{BUCKET}} failed over ten
              minutes. What is cached is still served. 403: the role; 503: throttling; no code: the
              network.
        - alert: HFCacheReadsSlow
          expr: |
            sum by (node) (rate(hfcache_fuse_request_duration_seconds_sum{op="read"}[10m]))
              / sum by (node) (rate(hfcache_fuse_request_duration_seconds_count{op="read"}[10m]))
              > 5
          for: 15m
          labels:
            severity: warning
            team: pytorch-dev-infra
            priority: P3
          annotations:
            summary: "Reads of {{ $labels.node }} take long"
            description: >-
              A read takes {{ $value | humanizeDuration }} on average. Look at
              hfcache_memory_waits_total (budget too small) and at the bucket's latency.
        - alert: HFCacheDiskFailed
          expr: hfcache_cache_disk_ok == 0
          for: 5m
          labels:
            severity: warning
            team: pytorch-dev-infra
            priority: P2
          annotations:
            summary: "The cache disk of {{ $labels.node }} is out of use"
            description: >-
              The worker reads past its cache, since the disk gave errors. Jobs work, slower.
              Replace the node.
        - alert: HFCacheTaintStuck
          expr: hfcache_node_tainted == 1
          for: 15m
          labels:
            severity: warning
            team: pytorch-dev-infra
            priority: P2
          annotations:
            summary: "{{ $labels.node }} has carried the hf-cache taint for 15 minutes"
            description: >-
              The node costs money and takes no job. If its mount is ready, see the log of the
              container taint: it may not be allowed to patch the node.
        - alert: HFCacheRefreshStale
          expr: |
            time() - max(kube_cronjob_status_last_successful_time{
              namespace="{{NAMESPACE}}", cronjob="hf-cache-refresh"}) > 172800
          for: 10m
          labels:
            severity: warning
            team: pytorch-dev-infra
            priority: P3
          annotations:
            summary: "The model bucket has not been refreshed for two days"
            description: >-
              The last good run of hf-cache-refresh was {{ $value | humanizeDuration }} ago. Its
              report at the end of the job's log names the model that fails.
# END_MONITORING
