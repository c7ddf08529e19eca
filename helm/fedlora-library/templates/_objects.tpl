{{/* A claim, unless one is there already. Takes (list . NAME COMPONENT): NAME is its entry below persistence. */}}
{{- define "fedlora.claim" -}}
{{- $ := first . -}}
{{- $own := get $.Values.persistence (index . 1) -}}
{{- if not $own.existingClaim }}
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  {{- $keep := ternary (dict "helm.sh/resource-policy" "keep") dict $own.keep }}
  {{- include "fedlora.metadata" (list $ (index . 2) (printf "-%s" (index . 1)) $keep) | nindent 2 }}
spec:
  accessModes: {{ toYaml $own.accessModes | nindent 4 }}
  {{- if ne $own.storageClass "" }}
  storageClassName: {{ ternary "" $own.storageClass (eq $own.storageClass "-") | quote }}
  {{- end }}
  resources:
    requests:
      storage: {{ $own.size }}
{{- end }}
{{- end -}}

{{/* The volume of a claim. Takes (list . NAME). */}}
{{- define "fedlora.claimVolume" -}}
{{- $ := first . -}}
{{- $name := last . -}}
- name: {{ $name }}
  persistentVolumeClaim:
    claimName: {{ default (printf "%s-%s" (include "fedlora.fullname" $) $name) (get $.Values.persistence $name).existingClaim }}
{{- end -}}

{{/* How many pods may be taken away at once. Takes (list . COMPONENT NAME-SUFFIX). */}}
{{- define "fedlora.disruption" -}}
{{- $ := first . -}}
{{- if $.Values.podDisruptionBudget.enabled }}
apiVersion: {{ ternary "policy/v1beta1" "policy/v1" (semverCompare "<1.21-0" $.Capabilities.KubeVersion.Version) }}
kind: PodDisruptionBudget
metadata:
  {{- include "fedlora.metadata" . | nindent 2 }}
spec:
  maxUnavailable: {{ $.Values.podDisruptionBudget.maxUnavailable }}
  selector:
    matchLabels:
      {{- include "fedlora.selector" (list $ (index . 1)) | nindent 6 }}
{{- end }}
{{- end -}}

{{/* The rule of a network policy that lets pods ask for names. */}}
{{- define "fedlora.dns" -}}
- to: {{ toYaml .Values.networkPolicy.dnsTo | nindent 4 }}
  ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
{{- end -}}

{{/* Whether the cluster knows an object of the Prometheus operator. Takes (list . KIND). */}}
{{- define "fedlora.operator" -}}
{{- if (first .).Capabilities.APIVersions.Has (printf "monitoring.coreos.com/v1/%s" (last .)) -}}true{{- end -}}
{{- end -}}

{{/* What is asked of a pod by Prometheus: one port, under the job and the instance that alerts and dashboards know.
Takes (dict "values" VALUES "port" NAME "job" JOB "instance" INSTANCE ["params" PARAMETERS]). */}}
{{- define "fedlora.endpoint" -}}
- port: {{ .port }}
  path: /metrics
  interval: {{ .values.interval }}
  scrapeTimeout: {{ .values.scrapeTimeout }}
  {{- with .params }}
  params: {{ toYaml . | nindent 4 }}
  {{- end }}
  relabelings:
    - {targetLabel: job, replacement: {{ .job }}}
    - {targetLabel: instance, replacement: {{ .instance }}}
{{- end -}}

{{/* Objects that somebody adds, with what they contain of templates filled in. */}}
{{- define "fedlora.extraObjects" -}}
{{- range .Values.extraObjects }}
---
{{ tpl (toYaml .) $ }}
{{- end }}
{{- end -}}

{{/* What contradicts itself in every chart. */}}
{{- define "fedlora.checks" -}}
{{- if not .Values.tls.enabled }}
{{- fail "tls.enabled is false: sites are known by their keys under TLS alone, and the kit has no way without it; leave the value out" }}
{{- end }}
{{- if and .Values.rendered (ne .Values.rendered .Chart.AppVersion) }}
{{- fail (printf "rendered is %s and the chart is of fedlora %s: render the values anew with `fedlora render helm` of %s, or use the charts of %s" .Values.rendered .Chart.AppVersion .Chart.AppVersion .Values.rendered) }}
{{- end }}
{{- if eq .Values.image.tag "latest" }}
{{- fail "image.tag is latest, which names another image each day; name a version, or leave it out for the chart's own" }}
{{- end }}
{{- end -}}
