{{/* What both jobs begin with: the evaluator's key where nobody else can read it, the base model, and the checkpoints.
Takes (list . FOLLOW): whether the mirror is one look, or waits until the run has ended. */}}
{{- define "evaluator.begin" -}}
{{- $ := first . -}}
- name: credentials
  {{- include "fedlora.container" (list $ "evaluator") | nindent 2 }}
  command: [tini, --]
  args: [sh, -ec, "mkdir -p -m 0700 /run/private/own; install -m 0400 /run/secrets/* /run/private/own/"]
  resources: {{ toYaml $.Values.resources.init | nindent 4 }}
  volumeMounts:
    - {name: secrets, mountPath: /run/secrets, readOnly: true}
    - {name: private, mountPath: /run/private}
    - {name: scratch, mountPath: /tmp, subPath: credentials}
{{ include "fedlora.modelContainer" (list $ "") }}
{{- end -}}

{{/* The mirror of the run's checkpoints. Takes (list . KEEP EVERY). */}}
{{- define "evaluator.mirror" -}}
{{- $ := first . -}}
- name: mirror
  {{- include "fedlora.container" (list $ "evaluator") | nindent 2 }}
  command: [tini, --]
  args:
    - fedlora
    - checkpoint
    - fetch
    - {{ $.Values.run }}
    - --source
    - {{ $.Values.superlink.host }}:{{ $.Values.superlink.checkpointPort }}
    - --ca-certificate
    - /etc/fedlora/ca.crt
    - --evaluator
    - /run/private/own
    - --every
    - {{ last . | quote }}
    - --keep
    - {{ index . 1 | quote }}
    - --follow
  {{- include "fedlora.environment" (list $ (dict "FEDLORA_RUNS" "/evaluator/runs")) | nindent 2 }}
  resources: {{ toYaml $.Values.resources.mirror | nindent 4 }}
  volumeMounts:
    - {name: configuration, mountPath: /etc/fedlora/ca.crt, subPath: ca.crt, readOnly: true}
    - {name: private, mountPath: /run/private, readOnly: true}
    - {name: results, mountPath: /evaluator}
    - {name: scratch, mountPath: /tmp, subPath: mirror}
{{- end -}}

{{/* The volumes of both. */}}
{{- define "evaluator.volumes" -}}
{{ include "fedlora.claimVolume" (list . "model") }}
{{ include "fedlora.claimVolume" (list . "results") }}
{{ include "fedlora.modelVolume" . }}
- name: secrets
  secret:
    secretName: {{ .Values.secrets.existingSecret }}
    defaultMode: 0400
    items:
      {{- range $file, $key := .Values.secrets.keys }}
      - {key: {{ $key }}, path: {{ $file }}}
      {{- end }}
- name: private
  emptyDir:
    medium: Memory
    sizeLimit: 1Mi
- name: configuration
  configMap:
    name: {{ include "fedlora.fullname" . }}
{{ include "fedlora.scratch" . }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* A job of this pod. It cannot be changed once it is made, so another pod is another job, by the hash in its name.
Takes (list . NAME POD). */}}
{{- define "evaluator.job" -}}
{{- $ := first . -}}
{{- $template := include "evaluator.template" . -}}
apiVersion: batch/v1
kind: Job
metadata:
  {{- include "fedlora.metadata" (list $ "evaluator" (printf "-%s-%s" (index . 1) ($template | sha256sum | trunc 8))) | nindent 2 }}
spec:
  backoffLimit: 6
  template:
    {{- $template | nindent 4 }}
{{- end -}}

{{- define "evaluator.template" -}}
{{- $ := first . -}}
metadata:
  labels:
    {{- include "fedlora.podLabels" (list $ "evaluator") | nindent 4 }}
    fedlora.org/part: {{ index . 1 }}
  annotations:
    {{- include "fedlora.podAnnotations" (list $ (dict "fedlora.org/run" $.Values.run)) | nindent 4 }}
spec:
  restartPolicy: OnFailure
  {{- include "fedlora.pod" $ | nindent 2 }}
  {{- with $.Values.superlink.hostAliases }}
  hostAliases: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- last . | nindent 2 }}
{{- end -}}

{{/* Base model against the newest adapter of a run that has ended, on held-out records; the scores are the log. */}}
{{- define "evaluator.scores" -}}
initContainers:
  {{- include "evaluator.begin" (list .) | nindent 2 }}
  {{- include "evaluator.mirror" (list . 1 1) | nindent 2 }}
containers:
  - name: evaluator
    {{- include "fedlora.container" (list . "evaluator") | nindent 4 }}
    command: [tini, --]
    args: [python, -m, evaluator, /etc/fedlora/evaluation.toml, {{ .Values.run }}]
    {{- include "fedlora.environment" (list . dict) | nindent 4 }}
    resources: {{ toYaml .Values.resources.evaluator | nindent 6 }}
    volumeMounts:
      - {name: configuration, mountPath: /etc/fedlora/evaluation.toml, subPath: evaluation.toml, readOnly: true}
      - {name: model, mountPath: /model, readOnly: true}
      - {name: held-out, mountPath: /held-out, readOnly: true{{ with .Values.scores.subPath }}, subPath: {{ . }}{{ end }}}
      - {name: results, mountPath: /evaluator, readOnly: true}
      - {name: scratch, mountPath: /tmp, subPath: evaluator}
      {{- with .Values.extraVolumeMounts }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
volumes:
  {{- include "evaluator.volumes" . | nindent 2 }}
  - name: held-out
    persistentVolumeClaim:
      claimName: {{ .Values.scores.existingClaim }}
      readOnly: true
{{- end -}}

{{/* Benchmarks of each N-th round, as rounds come, until the run has ended. */}}
{{- define "evaluator.benchmarks" -}}
initContainers:
  {{- include "evaluator.begin" (list .) | nindent 2 }}
containers:
  {{- include "evaluator.mirror" (list . 0 .Values.benchmarks.every) | nindent 2 }}
  - name: benchmarks
    {{- include "fedlora.container" (list . "evaluator") | nindent 4 }}
    command: [tini, --]
    args:
      - fedlora
      - benchmark
      - run
      - /evaluator/results/{{ .Values.run }}
      - --run
      - {{ .Values.run }}
      - --every
      - {{ .Values.benchmarks.every | quote }}
      - --base-model
      - /model/base
      - --threads
      - {{ .Values.benchmarks.threads | quote }}
      {{- range $name, $file := .Values.benchmarks.sets }}
      - --set
      - {{ $name }}=/sets/{{ $file }}
      {{- end }}
      {{- with .Values.benchmarks.extraArgs }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    {{- include "fedlora.environment" (list . (dict "FEDLORA_RUNS" "/evaluator/runs" "OMP_WAIT_POLICY" "PASSIVE")) | nindent 4 }}
    resources: {{ toYaml .Values.resources.evaluator | nindent 6 }}
    volumeMounts:
      - {name: model, mountPath: /model, readOnly: true}
      - {name: sets, mountPath: /sets, readOnly: true}
      - {name: results, mountPath: /evaluator}
      - {name: scratch, mountPath: /tmp, subPath: benchmarks}
      {{- with .Values.extraVolumeMounts }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
volumes:
  {{- include "evaluator.volumes" . | nindent 2 }}
  - name: sets
    persistentVolumeClaim:
      claimName: {{ .Values.benchmarks.existingClaim }}
      readOnly: true
{{- end -}}
