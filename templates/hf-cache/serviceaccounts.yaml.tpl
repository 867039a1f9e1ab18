# Three identities, none of which can do what another can: read the bucket, write the bucket, taint
# the node. The first two name an IAM role unless roles are bound in another way (EKS Pod Identity).
# No pod gets a token of its account unasked.
apiVersion: v1
kind: ServiceAccount
metadata:
  name: hf-cache-mount
  namespace: {{NAMESPACE}}
  labels:
    app.kubernetes.io/name: hf-cache
    app.kubernetes.io/component: mount
    osdc.io/module: hf-cache{{MOUNT_ROLE_ANNOTATION}}
automountServiceAccountToken: false
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: hf-cache-refresh
  namespace: {{NAMESPACE}}
  labels:
    app.kubernetes.io/name: hf-cache
    app.kubernetes.io/component: refresh
    osdc.io/module: hf-cache{{REFRESH_ROLE_ANNOTATION}}
automountServiceAccountToken: false
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: hf-cache-keeper
  namespace: {{NAMESPACE}}
  labels:
    app.kubernetes.io/name: hf-cache
    app.kubernetes.io/component: keeper
    osdc.io/module: hf-cache
automountServiceAccountToken: false
