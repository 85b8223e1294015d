{{/* Names and labels. A StatefulSet's name and the hash of its revision share a label of 63 characters. */}}

{{- define "askd.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 47 | trimSuffix "-" -}}
{{- end -}}

{{- define "askd.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 47 | trimSuffix "-" -}}
{{- else if contains (include "askd.name" .) .Release.Name -}}
{{- .Release.Name | trunc 47 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "askd.name" .) | trunc 47 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What never changes over the life of a release: a StatefulSet's selector and claims may not. */}}
{{- define "askd.releaseLabels" -}}
app.kubernetes.io/name: {{ include "askd.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "askd.selectorLabels" -}}
{{ include "askd.releaseLabels" . }}
app.kubernetes.io/component: server
{{- end -}}

{{/* Labels of every object, without a component. */}}
{{- define "askd.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "askd.releaseLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: askd
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "askd.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "askd.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "askd.image" -}}
{{- $image := .Values.image -}}
{{- $repository := required "image.repository is empty: say where you pushed the image, such as --set image.repository=registry.example.com/askd (docs/install/docker.md)" $image.repository -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default .Chart.AppVersion $image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "askd.configClaim" -}}
{{- default (printf "%s-config" (include "askd.fullname" .)) .Values.persistence.config.existingClaim -}}
{{- end -}}

{{/* Whether there can be more than one server: `true` or nothing. */}}
{{- define "askd.several" -}}
{{- if or (gt (int .Values.replicas) 1) .Values.autoscaling.enabled .Values.keda.enabled -}}true{{- end -}}
{{- end -}}
