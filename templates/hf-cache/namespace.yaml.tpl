apiVersion: v1
kind: Namespace
metadata:
  name: {{NAMESPACE}}
  labels:
    app.kubernetes.io/name: hf-cache
    osdc.io/module: hf-cache
    # One container of the keeper is privileged, and the DaemonSets use host paths. Everything else
    # that "restricted" asks for the other containers do by themselves.
    pod-security.kubernetes.io/enforce: privileged
  annotations:
    osdc.io/cluster: "{{CLUSTER_ID}}"
    osdc.io/cluster-name: "{{CLUSTER_NAME}}"
    osdc.io/bucket: "s3://{{BUCKET}}"
