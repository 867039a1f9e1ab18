# models.txt as it was when this was generated.
apiVersion: v1
kind: ConfigMap
metadata:
  name: hf-cache-models
  namespace: {{NAMESPACE}}
  labels:
    app.kubernetes.io/name: hf-cache
    app.kubernetes.io/component: refresh
    osdc.io/module: hf-cache
data:
  models.txt: |2
{{MODELS_TXT}}
