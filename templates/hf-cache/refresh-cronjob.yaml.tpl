# The only writer of the bucket. Files go from the Hub straight into the bucket, so neither disk nor
# memory grows with the size of a model.
apiVersion: batch/v1
kind: CronJob
metadata:
  name: hf-cache-refresh
  namespace: {{NAMESPACE}}
  labels:
    app.kubernetes.io/name: hf-cache
    app.kubernetes.io/component: refresh
    osdc.io/module: hf-cache
spec:
  schedule: "{{REFRESH_SCHEDULE}}"
  timeZone: Etc/UTC
  concurrencyPolicy: Forbid
  startingDeadlineSeconds: 600
  successfulJobsHistoryLimit: 3
  failedJobsHistoryLimit: 3
  jobTemplate:
    metadata:
      labels:
        app.kubernetes.io/name: hf-cache
        app.kubernetes.io/component: refresh
        osdc.io/module: hf-cache
    spec:
      # A run that is cut goes on where it was: what is in the bucket is not sent again.
      backoffLimit: 2
      activeDeadlineSeconds: 21600
      ttlSecondsAfterFinished: 604800
      template:
        metadata:
          labels:
            app: hf-cache-refresh
            app.kubernetes.io/name: hf-cache
            app.kubernetes.io/component: refresh
            osdc.io/module: hf-cache
          annotations:
            karpenter.sh/do-not-disrupt: "true"
        spec:
          serviceAccountName: hf-cache-refresh
          automountServiceAccountToken: false
          enableServiceLinks: false
          restartPolicy: Never
          terminationGracePeriodSeconds: 60
          nodeSelector:
            workload-type: github-runner
          # Any fleet but those with GPUs, whose taint is not here.
          tolerations:
            - key: node-fleet
              operator: Exists
              effect: NoSchedule
            - key: instance-type
              operator: Exists
              effect: NoSchedule
          securityContext:
            runAsNonRoot: true
            runAsUser: 65532
            runAsGroup: 65532
            fsGroup: 65532
            seccompProfile:
              type: RuntimeDefault
          containers:
            - name: refresh
              image: "{{REFRESH_IMAGE}}"
              args:
                - sync
                - --models=/etc/hf-cache/models.txt
                - --to=s3://{{BUCKET}}
                # Everything it uses, sockets included; the rest of the limit is the image's.
                - --memory=192Mi
              env:
                - name: AWS_REGION
                  value: "{{REGION}}"
                # Only gated and private models need it.
                - name: HF_TOKEN
                  valueFrom:
                    secretKeyRef:
                      name: hf-cache-token
                      key: token
                      optional: true
              resources:
                requests:
                  cpu: 500m
                  memory: 256Mi
                  ephemeral-storage: 64Mi
                limits:
                  memory: 256Mi
                  ephemeral-storage: 64Mi
              securityContext:
                allowPrivilegeEscalation: false
                readOnlyRootFilesystem: true
                capabilities:
                  drop: [ALL]
              volumeMounts:
                - name: models
                  mountPath: /etc/hf-cache
                  readOnly: true
          volumes:
            - name: models
              configMap:
                name: hf-cache-models
