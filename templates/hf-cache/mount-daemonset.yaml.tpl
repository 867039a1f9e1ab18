# The worker: reads the bucket, keeps the cache on the node's disk, answers the mount's requests. It
# holds no privilege and may die at any time; the keeper (hf-cache-keeper) keeps the mount.
# One DaemonSet serves all sizes of node: what the worker needs depends on none.
apiVersion: apps/v1
kind: DaemonSet
metadata:
  name: hf-cache-mount
  namespace: {{NAMESPACE}}
  labels:
    app.kubernetes.io/name: hf-cache
    app.kubernetes.io/component: mount
    osdc.io/module: hf-cache
spec:
  selector:
    matchLabels:
      app: hf-cache-mount
  # The new worker waits as a standby until the old one goes, so readers wait for milliseconds.
  updateStrategy:
    type: RollingUpdate
    rollingUpdate:
      maxSurge: 10%
      maxUnavailable: 0
  template:
    metadata:
      labels:
        app: hf-cache-mount
        app.kubernetes.io/name: hf-cache
        app.kubernetes.io/component: mount
        osdc.io/module: hf-cache
    spec:
      serviceAccountName: hf-cache-mount
      automountServiceAccountToken: false
      enableServiceLinks: false
      priorityClassName: system-node-critical
      terminationGracePeriodSeconds: 30
      nodeSelector:
        workload-type: github-runner
      tolerations:
        - operator: Exists
      securityContext:
        runAsNonRoot: true
        runAsUser: 65532
        runAsGroup: 65532
        fsGroup: 65532
        seccompProfile:
          type: RuntimeDefault
      containers:
        - name: mount
          image: "{{MOUNT_IMAGE}}"
          args:
            - serve
            - --socket=/run/hf-cache/keeper.sock
            - --store=s3://{{BUCKET}}
            - --region={{REGION}}
            - --cache-dir=/mnt/hf-cache-vfs
            - --cache-size={{CACHE_SIZE}}
            - --read-timeout={{READ_TIMEOUT}}
            - --refresh-interval={{REFRESH_INTERVAL}}
            - --self-check=/host-mnt/hf_cache
            - --metrics-address=$(POD_IP)
            - --metrics-port=9464
          env:
            - name: POD_IP
              valueFrom:
                fieldRef:
                  fieldPath: status.podIP
          ports:
            - name: metrics
              containerPort: 9464
          # Liveness asks for the process's heartbeat only: a slow bucket is no reason to restart,
          # and a standby is as alive as the worker that serves.
          startupProbe:
            httpGet:
              path: /livez
              port: metrics
            periodSeconds: 2
            failureThreshold: 60
          livenessProbe:
            httpGet:
              path: /livez
              port: metrics
            periodSeconds: 20
            timeoutSeconds: 5
            failureThreshold: 6
          readinessProbe:
            httpGet:
              path: /readyz
              port: metrics
            periodSeconds: 5
            timeoutSeconds: 3
            failureThreshold: 3
          # The worker takes its memory budget from this limit.
          resources:
            requests:
              cpu: 100m
              memory: "{{MEMORY}}"
            limits:
              memory: "{{MEMORY}}"
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities:
              drop: [ALL]
          volumeMounts:
            - name: cache
              mountPath: /mnt/hf-cache-vfs
            - name: run
              mountPath: /run/hf-cache
            # For the self-check of readyz. The parent, as in the keeper's pod.
            - name: host-mnt
              mountPath: /host-mnt
              readOnly: true
              mountPropagation: HostToContainer
      volumes:
        # If the worker is first, root owns these two until the keeper is there and hands them over;
        # the worker waits.
        - name: cache
          hostPath:
            path: /mnt/hf-cache-vfs
            type: DirectoryOrCreate
        - name: run
          hostPath:
            path: /run/hf-cache
            type: DirectoryOrCreate
        - name: host-mnt
          hostPath:
            path: /mnt
            type: Directory
