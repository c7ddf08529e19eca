{{/* The name of everything that a release makes; room is left for what is put behind it. */}}
{{- define "fedlora.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 46 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 46 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What a pod is found by. Takes (list . COMPONENT). */}}
{{- define "fedlora.selector" -}}
{{- $ := first . -}}
app.kubernetes.io/name: {{ default $.Chart.Name $.Values.nameOverride }}
app.kubernetes.io/instance: {{ $.Release.Name }}
app.kubernetes.io/component: {{ last . }}
{{- end -}}

{{/* Labels of an object. Takes (list . COMPONENT). */}}
{{- define "fedlora.labels" -}}
{{- $ := first . -}}
{{ include "fedlora.selector" . }}
app.kubernetes.io/part-of: fedlora
app.kubernetes.io/version: {{ $.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $.Chart.Name $.Chart.Version | replace "+" "_" }}
{{- with $.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The metadata of an object. Takes (list . COMPONENT NAME-SUFFIX [ANNOTATIONS]). */}}
{{- define "fedlora.metadata" -}}
{{- $ := first . -}}
name: {{ include "fedlora.fullname" $ }}{{ index . 2 }}
namespace: {{ $.Release.Namespace }}
labels:
  {{- include "fedlora.labels" (list $ (index . 1)) | nindent 2 }}
{{- $annotations := merge (dict) (index (append . dict) 3) (default dict $.Values.commonAnnotations) -}}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The image of a role, by tag or by digest, from the registry that is to take the place of all others.
Takes (list . ROLE [END-OF-TAG]). */}}
{{- define "fedlora.image" -}}
{{- $ := first . -}}
{{- $role := index . 1 -}}
{{- $image := $.Values.image -}}
{{- $prefix := $image.prefix -}}
{{- with $.Values.global.imageRegistry -}}
{{- $prefix = printf "%s/%s" (trimSuffix "/" .) (regexReplaceAll "^[^/]*[.:][^/]*/" $prefix "") -}}
{{- end -}}
{{- $name := printf "%s%s" $prefix $role -}}
{{- $end := index (append . "") 2 -}}
{{- with get (default dict $image.digests) (printf "%s%s" $role $end) -}}
{{- printf "%s@%s" $name . -}}
{{- else -}}
{{- printf "%s:%s%s" $name (default $.Chart.AppVersion $image.tag) $end -}}
{{- end -}}
{{- end -}}
