# Helm values of one runner scale set (chart gha-runner-scale-set). hfcache-gen renders this file
# once for each runner definition; docs/templates.md lists placeholders and blocks.
githubConfigUrl: "{{GITHUB_CONFIG_URL}}"
githubConfigSecret: "{{GITHUB_SECRET_NAME}}"
runnerScaleSetName: "{{RUNNER_NAME_PREFIX}}{{RUNNER_NAME}}"
runnerGroup: "{{RUNNER_GROUP}}"
minRunners: 0
{{MAX_RUNNERS_LINE}}

# The job container is a pod of its own, started by the hooks below; there is no work volume that
# both would have to share.
containerMode:
  type: kubernetes-novolume

controllerServiceAccount:
  name: arc-gha-rs-controller
  namespace: arc-systems

listenerTemplate:
  spec:
    # Listeners must run while there are no runner nodes at all, so they live on the base nodes.
    tolerations:
      - key: CriticalAddonsOnly
        operator: Equal
        value: "true"
        effect: NoSchedule
    containers:
      - name: listener
        env:
          # Nine tenths of the memory limit below.
          - name: GOMEMLIMIT
            value: "1152MiB"
          # What is kept ready, and how far it may go.
          - name: CAPACITY_AWARE_ENABLED
            value: "true"
          - name: CAPACITY_AWARE_PROACTIVE_CAPACITY
            value: "{{PROACTIVE_CAPACITY}}"
          - name: CAPACITY_AWARE_MAX_BURST_CAPACITY
            value: "{{MAX_BURST_CAPACITY}}"
          - name: CAPACITY_AWARE_HUD_FAILURE_BASE_CAPACITY
            value: "{{HUD_FAILURE_BASE_CAPACITY}}"
          - name: CAPACITY_AWARE_HUD_FAILURE_MULTIPLIER
            value: "1"
          # Where the queue of all clusters can be read.
          - name: CAPACITY_AWARE_HUD_API_URL
            value: "https://hud.example.org/api/queued-jobs?org=example-org"
          - name: CAPACITY_AWARE_HUD_API_TOKEN
            valueFrom:
              secretKeyRef:
                name: hud-api-token
                key: token
                optional: true
          # How this cluster shares a label's queue with its peers.
          - name: CAPACITY_AWARE_CLUSTER_INDEX
            value: "{{CAPACITY_AWARE_CLUSTER_INDEX}}"
          - name: CAPACITY_AWARE_CLUSTER_COUNT
            value: "{{CAPACITY_AWARE_CLUSTER_COUNT}}"
          - name: CAPACITY_AWARE_AGE_THRESHOLD_SECONDS
            value: "{{CAPACITY_AWARE_AGE_THRESHOLD_SECONDS}}"
          - name: CAPACITY_AWARE_FRESH_MULTIPLIER
            value: "{{CAPACITY_AWARE_FRESH_MULTIPLIER}}"
          - name: CAPACITY_AWARE_RECALCULATE_INTERVAL
            value: "30s"
          - name: CAPACITY_AWARE_REPORT_INTERVAL
            value: "10s"
          - name: CAPACITY_AWARE_PLACEHOLDER_TIMEOUT
            value: "20m"
          # The size of the two placeholder pods. A placeholder that is smaller than what takes
          # its place reserves nothing: these repeat the resources of the job container and of
          # the runner container.
          - name: CAPACITY_AWARE_WORKFLOW_CPU
            value: "{{VCPU}}"
          - name: CAPACITY_AWARE_WORKFLOW_MEMORY
            value: "{{MEMORY}}"
          - name: CAPACITY_AWARE_WORKFLOW_GPU
            value: "{{GPU_COUNT}}"
          - name: CAPACITY_AWARE_WORKFLOW_DISK
            value: "{{DISK_SIZE}}"
          - name: CAPACITY_AWARE_WORKFLOW_SCHEDULER_NAME
            value: "{{SCHEDULER_NAME}}"
          - name: CAPACITY_AWARE_NODE_FLEET
            value: "{{NODE_FLEET}}"
          - name: CAPACITY_AWARE_RUNNER_CLASS
            value: "{{RUNNER_CLASS}}"
          - name: CAPACITY_AWARE_RUNNER_CPU
            value: "750m"
          - name: CAPACITY_AWARE_RUNNER_MEMORY
            value: "1Gi"
          - name: CAPACITY_AWARE_RUNNER_NODE_FLEET
            value: "c7i-runner"
        resources:
          requests:
            cpu: "250m"
            memory: "1280Mi"
          limits:
            cpu: "250m"
            memory: "1280Mi"

# The listener's own defaults label every series with the job, the event and the ref; these lists
# leave out what grows without bound.
listenerMetrics:
  counters:
    gha_started_jobs_total:
      labels: [enterprise, organization, repository, job_workflow_name]
    gha_completed_jobs_total:
      labels: [enterprise, organization, repository, job_workflow_name, job_result]
    gha_capacity_hud_requests_total:
      labels: [enterprise, organization, repository, namespace, name, result]
    gha_capacity_pair_creates_total:
      labels: [enterprise, organization, repository, namespace, name, result]
    gha_capacity_pair_deletes_total:
      labels: [enterprise, organization, repository, namespace, name, result, reason]
    gha_capacity_reconcile_skips_total:
      labels: [enterprise, organization, repository, namespace, name, reason]
  gauges:
    gha_assigned_jobs:
      labels: [enterprise, organization, repository, namespace, name]
    gha_running_jobs:
      labels: [enterprise, organization, repository, namespace, name]
    gha_registered_runners:
      labels: [enterprise, organization, repository, namespace, name]
    gha_busy_runners:
      labels: [enterprise, organization, repository, namespace, name]
    gha_idle_runners:
      labels: [enterprise, organization, repository, namespace, name]
    gha_desired_runners:
      labels: [enterprise, organization, repository, namespace, name]
    gha_min_runners:
      labels: [enterprise, organization, repository, namespace, name]
    gha_max_runners:
      labels: [enterprise, organization, repository, namespace, name]
    gha_capacity_advertised_max_runners:
      labels: [enterprise, organization, repository, namespace, name]
    gha_capacity_desired_pairs:
      labels: [enterprise, organization, repository, namespace, name]
    gha_capacity_hud_enabled:
      labels: [enterprise, organization, repository, namespace, name]
    gha_capacity_pairs:
      labels: [enterprise, organization, repository, namespace, name]
    gha_capacity_placeholder_pods:
      labels: [enterprise, organization, repository, namespace, name, role, phase]
    gha_capacity_proactive_capacity:
      labels: [enterprise, organization, repository, namespace, name]
    gha_capacity_queued_jobs:
      labels: [enterprise, organization, repository, namespace, name]
    gha_capacity_reconcile_last_success_timestamp_seconds:
      labels: [enterprise, organization, repository, namespace, name, phase]
    gha_capacity_running_pairs:
      labels: [enterprise, organization, repository, namespace, name]
  histograms:
    gha_job_startup_duration_seconds:
      labels: [enterprise, organization, repository, job_workflow_name]
      buckets: [5, 15, 30, 60, 120, 300, 600, 1200, 2400]
    gha_job_execution_duration_seconds:
      labels: [enterprise, organization, repository, job_workflow_name, job_result]
      buckets: [15, 60, 300, 900, 1800, 3600, 7200, 14400]
    gha_capacity_reconcile_duration_seconds:
      labels: [enterprise, organization, repository, namespace, name, phase]
      buckets: [0.1, 0.3, 1, 3, 10, 30]
    gha_capacity_hud_request_duration_seconds:
      labels: [enterprise, organization, repository, namespace, name, result]
      buckets: [0.1, 0.3, 1, 3, 10, 30]

template:
  metadata:
    annotations:
      karpenter.sh/do-not-disrupt: "true"
  spec:
    serviceAccountName: arc-runner
    # Below placeholders of jobs, above those of runners: a runner pod may take the room that was
    # held for runners, never the room held for a job.
    priorityClassName: arc-runner
    # Runner pods have a fleet to themselves; only the job's pod goes to {{NODE_FLEET}}.
    nodeSelector:
      workload-type: github-runner
      node-fleet: "c7i-runner"
    tolerations:
      - key: node-fleet
        operator: Equal
        value: "c7i-runner"
        effect: NoSchedule
      - key: instance-type
        operator: Exists
        effect: NoSchedule
    initContainers:
      # A DaemonSet puts the container hooks on the node and may replace them at any time. The pod
      # waits for them and works on a copy, so that a job never sees them change half-way.
      - name: copy-hooks
        image: public.ecr.aws/docker/library/alpine:3.22
        command: ["/bin/sh", "-euc"]
        args:
          - |
            left=60
            until [ -s /node-hooks/dist/index.js ]; do
              left=$((left - 1))
              if [ "$left" -eq 0 ]; then
                echo "no container hooks on this node after 5 minutes" >&2
                exit 1
              fi
              sleep 5
            done
            cp -R /node-hooks/dist /opt/runner-hooks/
            if [ -r /node-hooks/.version ]; then
              cp /node-hooks/.version /opt/runner-hooks/
            fi
            cmp /node-hooks/dist/index.js /opt/runner-hooks/dist/index.js
        resources:
          requests:
            cpu: "100m"
            memory: "64Mi"
          limits:
            cpu: "100m"
            memory: "64Mi"
        volumeMounts:
          - name: node-hooks
            mountPath: /node-hooks
            readOnly: true
          - name: hooks
            mountPath: /opt/runner-hooks
    containers:
      - name: runner
        image: "{{RUNNER_IMAGE}}"
        command: ["/home/runner/run.sh"]
        env:
          - name: RUNNER_FEATURE_FLAG_EPHEMERAL
            value: "true"
          - name: ACTIONS_RUNNER_CONTAINER_HOOKS
            value: /home/runner/hook-extensions/wrapper.js
          - name: ACTIONS_RUNNER_CONTAINER_HOOK_TEMPLATE
            value: /home/runner/hook-extensions/job-pod.yaml
          # The image of a job may still be in the making when the job starts.
          - name: ACTIONS_RUNNER_PREPARE_JOB_TIMEOUT_SECONDS
            value: "7200"
          # A workspace copied wrongly loses what earlier steps wrote to the environment file.
          - name: ACTIONS_RUNNER_COPY_VERIFY_ENABLED
            value: "true"
          - name: ACTIONS_RUNNER_COPY_VERIFY_RETRIES
            value: "3"
          # Runner (.NET, limit in hex: 200 MiB) and hooks (Node) share the container's 1 GiB; the
          # rest is for the buffers of files being copied.
          - name: DOTNET_GCHeapHardLimit
            value: "C800000"
          - name: DOTNET_GCConserveMemory
            value: "5"
          - name: NODE_OPTIONS
            value: "--max-old-space-size=128"
        # Repeated in the listener's CAPACITY_AWARE_RUNNER_CPU and _MEMORY.
        resources:
          requests:
            cpu: "750m"
            memory: "1Gi"
          limits:
            cpu: "750m"
            memory: "1Gi"
        volumeMounts:
          - name: hooks
            mountPath: /opt/runner-hooks
            readOnly: true
          - name: hook-extensions
            mountPath: /home/runner/hook-extensions
            readOnly: true
    volumes:
      - name: node-hooks
        hostPath:
          path: /mnt/runner-container-hooks
          type: DirectoryOrCreate
      - name: hooks
        emptyDir:
          sizeLimit: 64Mi
      - name: hook-extensions
        configMap:
          name: arc-runner-hook-{{RUNNER_NAME_NORMALIZED}}
          defaultMode: 0555
---
# What the runner's hooks read: the pod a job runs in, and a wrapper around the hooks.
apiVersion: v1
kind: ConfigMap
metadata:
  name: arc-runner-hook-{{RUNNER_NAME_NORMALIZED}}
  namespace: arc-runners
  labels:
    osdc.io/module: {{MODULE_NAME}}
  annotations:
    osdc.io/runner: "{{RUNNER_NAME_PREFIX}}{{RUNNER_NAME}}"
    osdc.io/instance-type: "{{INSTANCE_TYPE}}"
data:
  job-pod.yaml: |
    metadata:
      annotations:
        karpenter.sh/do-not-disrupt: "true"
    spec:
      # Strangers' code runs here: no token for the cluster's API.
      serviceAccountName: arc-workflow
      automountServiceAccountToken: false
      # Takes the room of the placeholder that was kept for it.
      priorityClassName: arc-workflow
{{SCHEDULER_NAME_LINE}}
      # Every fleet taints its nodes with its name, and the pod tolerates one of these taints. So
      # the fleet needs to be no more than a preference here; the runner class is a condition.
      affinity:
        nodeAffinity:
{{RUNNER_CLASS_JOB_AFFINITY}}          preferredDuringSchedulingIgnoredDuringExecution:
            - weight: 50
              preference:
                matchExpressions:
                  - key: workload-type
                    operator: In
                    values:
                      - github-runner
                  - key: node-fleet
                    operator: In
                    values:
                      - "{{NODE_FLEET}}"{{GPU_NODE_SELECTOR_AFFINITY}}
      tolerations:
        - key: instance-type
          operator: Exists
          effect: NoSchedule
        - key: node-fleet
          operator: Equal
          value: "{{NODE_FLEET}}"
          effect: NoSchedule{{GPU_JOB_TOLERATIONS}}
      containers:
        - name: "$job"
          env:
            # BEGIN_PYPI_CACHE
            # Packages come through the cluster's own index; the public one is its upstream.
            - name: PIP_INDEX_URL
              value: "http://pypi-cache.pypi-cache.svc:8080/simple/"
            - name: PIP_TRUSTED_HOST
              value: "pypi-cache.pypi-cache.svc"
            - name: UV_DEFAULT_INDEX
              value: "http://pypi-cache.pypi-cache.svc:8080/simple/"
            - name: UV_INSECURE_HOST
              value: "pypi-cache.pypi-cache.svc:8080"
            # END_PYPI_CACHE
            # BEGIN_HF_CACHE
            # Models come from the node's read-only mount. What the libraries write beside models
            # goes to a directory of the pod's own, since their default is below HF_HOME.
            - name: HF_HOME
              value: "/mnt/hf_cache"
            - name: HF_HUB_CACHE
              value: "/mnt/hf_cache/hub"
            - name: HF_HUB_OFFLINE
              value: "{{HF_HUB_OFFLINE}}"
            - name: HF_MODULES_CACHE
              value: "/mnt/hf_scratch/modules"
            - name: HF_DATASETS_CACHE
              value: "/mnt/hf_scratch/datasets"
            - name: HF_CACHE_S3_BUCKET
              value: "{{HF_CACHE_BUCKET}}"
            - name: HF_CACHE_S3_REGION
              value: "{{HF_CACHE_REGION}}"
            # END_HF_CACHE
            # The memory limit in bytes, for tools that would otherwise look at the node's.
            - name: TORCH_CI_MAX_MEMORY
              value: "{{MEMORY_BYTES}}"{{IMEX_ENV}}
          # Requests equal limits: a job neither takes from its neighbours nor lends to them.
          resources:
            requests:
              cpu: "{{VCPU}}"
              memory: "{{MEMORY}}"
              ephemeral-storage: "{{DISK_SIZE}}"{{GPU_REQUEST}}
            limits:
              cpu: "{{VCPU}}"
              memory: "{{MEMORY}}"
              ephemeral-storage: "{{DISK_SIZE}}"{{GPU_LIMIT}}
          volumeMounts:
            - name: shm
              mountPath: /dev/shm
            # BEGIN_HF_CACHE
            # HostToContainer: a mount that is made anew appears in running pods too.
            - name: hf-cache
              mountPath: /mnt/hf_cache
              readOnly: true
              mountPropagation: HostToContainer
            - name: hf-scratch
              mountPath: /mnt/hf_scratch
            # END_HF_CACHE
      volumes:
        # The runtime's 64 MiB are too few for NCCL and for data loaders.
        - name: shm
          emptyDir:
            medium: Memory
            sizeLimit: 2Gi
        # BEGIN_HF_CACHE
        # Create: on a node that has no mount a job finds an empty cache and says which model it
        # misses, where a path that must exist would leave its pod waiting without a word. No type
        # gets a pod past a dead mount; that is the keeper's work.
        - name: hf-cache
          hostPath:
            path: /mnt/hf_cache
            type: DirectoryOrCreate
        - name: hf-scratch
          emptyDir:
            sizeLimit: "{{DISK_SIZE}}"
        # END_HF_CACHE
  wrapper.js: |
    #!/usr/bin/env node
    // Runs the real container hook and says in the job's log whose fault a failure is. It changes
    // neither what the hook reads nor how it ends; where it cannot tell, it keeps quiet.
    'use strict';
    const { spawn } = require('node:child_process');
    const { constants } = require('node:os');

    const HOOK = '/opt/runner-hooks/dist/index.js';
    const STEPS = new Set(['run_script_step', 'run_container_step']);

    let hook = null; // the running hook
    let asked = null; // the first signal that came from outside

    function annotate(text) {
      const safe = text.replace(/%/g, '%25').replace(/\r/g, '%0D').replace(/\n/g, '%0A');
      process.stdout.write('::error::' + safe + '\n');
    }

    for (const signal of ['SIGTERM', 'SIGINT']) {
      process.on(signal, () => {
        if (!hook) process.exit(128 + constants.signals[signal]); // nothing has been started
        asked = asked || signal;
        hook.kill(signal);
      });
    }

    function readInput() {
      return new Promise((resolve) => {
        const parts = [];
        const done = () => resolve(Buffer.concat(parts));
        process.stdin.on('data', (part) => parts.push(part));
        process.stdin.on('end', done);
        process.stdin.on('error', done);
      });
    }

    // Ends in {code, signal} as the hook did, or in {error} if it could not be started.
    function runHook(input) {
      return new Promise((resolve) => {
        hook = spawn(process.execPath, [HOOK], { stdio: ['pipe', 'inherit', 'inherit'] });
        hook.on('error', (error) => resolve({ error }));
        hook.on('close', (code, signal) => resolve({ code, signal }));
        // A hook that ends without reading its input is no failure of ours.
        hook.stdin.on('error', () => {});
        hook.stdin.end(input);
      });
    }

    // What is being done, "" if the input is not what hooks usually get.
    function commandOf(input) {
      try {
        return String(JSON.parse(input.toString('utf8')).command || '');
      } catch {
        return '';
      }
    }

    // The hook may turn the signal into the exit code that shells use for it.
    function cancelledBy(end) {
      if (end.signal === 'SIGTERM' || end.code === 128 + constants.signals.SIGTERM) {
        return 'SIGTERM';
      }
      if (end.signal === 'SIGINT' || end.code === 128 + constants.signals.SIGINT) {
        return 'SIGINT';
      }
      return asked;
    }

    function verdict(command, end) {
      if (end.error) {
        return 'The container hook could not be started (' + end.error.message +
          '). This is a fault of the runner, not of the workflow.';
      }
      if (end.code === 0) return null;
      const cancelled = cancelledBy(end);
      if (STEPS.has(command) && cancelled) {
        return 'The step was cancelled (' + cancelled + '): by hand, by a newer run, by ' +
          'fail-fast or because the runner was shut down. Its script did not fail by itself.';
      }
      if (cancelled) return null;
      if (end.signal) {
        return 'The container hook was killed by ' + end.signal + ' during "' + command +
          '". This is a fault of the runner, not of the workflow.';
      }
      if (STEPS.has(command)) {
        return 'The script of this step failed with exit code ' + end.code +
          '. The cause is in the output above; the runner itself works.';
      }
      if (command === 'prepare_job') {
        return 'The container of this job could not be prepared (exit code ' + end.code +
          '). Check its image name first; otherwise this is a fault of the runner.';
      }
      return null;
    }

    function exitCode(end) {
      if (end.error) return 1;
      return end.signal ? 128 + (constants.signals[end.signal] || 0) : end.code;
    }

    async function main() {
      const input = await readInput();
      const end = await runHook(input);
      process.exitCode = exitCode(end);
      const text = verdict(commandOf(input), end);
      if (text) annotate(text);
    }

    main().catch((error) => {
      process.stderr.write('hook wrapper: ' + error.stack + '\n');
      if (process.exitCode === undefined) process.exitCode = 1;
    });
