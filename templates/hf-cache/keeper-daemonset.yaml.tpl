# The keeper makes the mount on the node and holds it, whatever becomes of the worker (the DaemonSet
# hf-cache-mount). The second container watches the mount and sets or lifts the node's taint.
apiVersion: apps/v1
kind: DaemonSet
metadata:
  name: hf-cache-keeper
  namespace: {{NAMESPACE}}
  labels:
    app.kubernetes.io/name: hf-cache
    app.kubernetes.io/component: keeper
    osdc.io/module: hf-cache
  annotations:
    ignore-check.kube-linter.io/privileged-container: "mounting for other pods needs it"
    ignore-check.kube-linter.io/privilege-escalation-container: "implied by privileged"
    ignore-check.kube-linter.io/run-as-non-root: "the keeper mounts as root"
    ignore-check.kube-linter.io/no-liveness-probe: "restarting a keeper heals nothing"
    ignore-check.kube-linter.io/no-readiness-probe: "the container taint answers for the pod"
    ignore-check.kube-linter.io/sensitive-host-mounts: "the mount lies on the host"
spec:
  selector:
    matchLabels:
      app: hf-cache-keeper
  # The new keeper starts beside the old one and takes the mount over from it; only then does the
  # old one go. Readers see nothing of it.
  updateStrategy:
    type: RollingUpdate
    rollingUpdate:
      maxSurge: 10%
      maxUnavailable: 0
  template:
    metadata:
      labels:
        app: hf-cache-keeper
        app.kubernetes.io/name: hf-cache
        app.kubernetes.io/component: keeper
        osdc.io/module: hf-cache
      annotations:
        kubectl.kubernetes.io/default-container: keeper
    spec:
      serviceAccountName: hf-cache-keeper
      automountServiceAccountToken: false
      enableServiceLinks: false
      priorityClassName: system-node-critical
      terminationGracePeriodSeconds: 60
      nodeSelector:
        workload-type: github-runner
      tolerations:
        - operator: Exists
      containers:
        - name: keeper
          image: "{{MOUNT_IMAGE}}"
          args:
            - keep
            - --socket=/run/hf-cache/keeper.sock
            # Who may be the worker, and whose the cache directory becomes.
            - --worker-uid=65532
            - --worker-gid=65532
            - --cache-dir=/mnt/hf-cache-vfs
            - /mnt/hf_cache
          resources:
            requests:
              cpu: 10m
              memory: "{{KEEPER_MEMORY}}"
            limits:
              memory: "{{KEEPER_MEMORY}}"
          # Bidirectional, without which no other pod would see the mount, is granted to privileged
          # containers only. This program has no network code and parses nothing but fixed frames.
          securityContext:
            privileged: true
            runAsUser: 0
            readOnlyRootFilesystem: true
          volumeMounts:
            # The parent and not the mount point: a dead mount could not be bound into a
            # container, and the keeper that must clear it would never start.
            - name: host-mnt
              mountPath: /mnt
              mountPropagation: Bidirectional
            - name: run
              mountPath: /run/hf-cache
        - name: taint
          image: "{{MOUNT_IMAGE}}"
          args:
            - taint
            - --key=node-init.osdc.io/hf-cache
            - --value=true
            - --effect=NoSchedule
            - --node=$(NODE_NAME)
            - --keeper=/run/hf-cache/keeper.sock
            - --mountpoint=/mnt/hf_cache
            - --metrics-address=$(POD_IP)
            - --metrics-port=9465
          env:
            - name: NODE_NAME
              valueFrom:
                fieldRef:
                  fieldPath: spec.nodeName
            - name: POD_IP
              valueFrom:
                fieldRef:
                  fieldPath: status.podIP
          ports:
            - name: metrics
              containerPort: 9465
          # livez: the loop turns. readyz: the keeper holds the mount and a read through it has
          # come back; a thread of its own reads, so the answer never hangs with the mount.
          startupProbe:
            httpGet:
              path: /livez
              port: metrics
            periodSeconds: 2
            failureThreshold: 30
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
          resources:
            requests:
              cpu: 5m
              memory: 16Mi
            limits:
              memory: 16Mi
          securityContext:
            runAsNonRoot: true
            runAsUser: 65532
            runAsGroup: 65532
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities:
              drop: [ALL]
            seccompProfile:
              type: RuntimeDefault
          volumeMounts:
            - name: host-mnt
              mountPath: /mnt
              readOnly: true
              mountPropagation: HostToContainer
            - name: run
              mountPath: /run/hf-cache
            - name: api-token
              mountPath: /var/run/secrets/kubernetes.io/serviceaccount
              readOnly: true
      volumes:
        - name: host-mnt
          hostPath:
            path: /mnt
            type: Directory
        - name: run
          hostPath:
            path: /run/hf-cache
            type: DirectoryOrCreate
        # What automounting would give to both containers.
        - name: api-token
          projected:
            defaultMode: 0444
            sources:
              - serviceAccountToken:
                  path: token
                  expirationSeconds: 3600
              - configMap:
                  name: kube-root-ca.crt
                  items:
                    - key: ca.crt
                      path: ca.crt
