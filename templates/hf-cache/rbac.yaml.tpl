# The container `taint` of the keeper's pod reads and patches its node; nobody else uses this role.
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: hf-cache-taint-remover
  labels:
    app.kubernetes.io/name: hf-cache
    osdc.io/module: hf-cache
rules:
  - apiGroups: [""]
    resources: [nodes]
    verbs: [get, patch]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: hf-cache-taint-remover
  labels:
    app.kubernetes.io/name: hf-cache
    osdc.io/module: hf-cache
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: hf-cache-taint-remover
subjects:
  - kind: ServiceAccount
    name: hf-cache-keeper
    namespace: {{NAMESPACE}}
