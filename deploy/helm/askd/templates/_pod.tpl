{{/* Parts of pods. */}}

{{- define "askd.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ .Values.runAsUser }}
runAsGroup: {{ .Values.runAsGroup }}
{{- end -}}

{{/* What no container of this chart goes without. */}}
{{- define "askd.containerSecurity" -}}
allowPrivilegeEscalation: false
privileged: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* The server's: bubblewrap makes namespaces and mounts, which the profile of the runtime refuses. In a user namespace of the
     pod (hostUsers: false) that gives no right on the node. */}}
{{- define "askd.serverSecurity" -}}
allowPrivilegeEscalation: false
privileged: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
{{- if eq .Values.isolation.layer "bubblewrap" }}
procMount: Unmasked
seccompProfile:
  type: Localhost
  localhostProfile: {{ .Values.isolation.seccompProfile }}
{{- else }}
seccompProfile:
  type: RuntimeDefault
{{- end }}
{{- end -}}

{{/* One probe. The name localhost is always allowed, whatever ASKD_ALLOWED_HOSTS says. Arguments: root, path, timing. */}}
{{- define "askd.probe" -}}
httpGet:
  path: {{ .path }}
  {{- if .root.Values.metrics.enabled }}
  port: metrics
  {{- else }}
  port: http
  {{- if .root.Values.tls.existingSecret }}
  scheme: HTTPS
  {{- end }}
  {{- end }}
  httpHeaders:
    - name: Host
      value: localhost
periodSeconds: {{ .timing.periodSeconds }}
failureThreshold: {{ .timing.failureThreshold }}
timeoutSeconds: {{ .timing.timeoutSeconds }}
{{- end -}}

{{- define "askd.env" -}}
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: POD_IP
  valueFrom:
    fieldRef:
      fieldPath: status.podIP
{{- range $name, $value := include "askd.variables" . | fromJson }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "askd.workspacesMount" -}}
- name: workspaces
  mountPath: /workspace
  {{- if and .Values.persistence.workspaces.subPath (or .Values.persistence.workspaces.enabled .Values.persistence.workspaces.existingClaim) }}
  subPath: {{ .Values.persistence.workspaces.subPath }}
  {{- end }}
{{- end -}}

{{- define "askd.mounts" -}}
- name: settings
  mountPath: /etc/askd/settings
  readOnly: true
- name: secrets
  mountPath: /etc/askd/secrets
  readOnly: true
- name: data
  mountPath: /var/lib/askd
- name: config
  mountPath: /home/node/.claude
  {{- with .Values.persistence.config.subPath }}
  subPath: {{ . }}
  {{- end }}
{{ include "askd.workspacesMount" . }}
- name: tmp
  mountPath: /tmp
{{- if .Values.tls.existingSecret }}
- name: tls
  mountPath: /etc/askd/tls
  readOnly: true
{{- end }}
{{- if .Values.tls.clientCaSecret }}
- name: client-ca
  mountPath: /etc/askd/client-ca
  readOnly: true
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Volumes that are not claims of the StatefulSet. Files of secrets belong to root and the pod's group. */}}
{{- define "askd.volumes" -}}
- name: settings
  configMap:
    name: {{ include "askd.fullname" . }}-settings
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      {{- range include "askd.secretFiles" . | fromJsonArray }}
      - secret:
          name: {{ .secret }}
          items:
            - key: {{ .key }}
              path: {{ .file }}
      {{- end }}
{{- with .Values.persistence.data }}
{{- if .existingClaim }}
- name: data
  persistentVolumeClaim:
    claimName: {{ .existingClaim }}
{{- else if not .enabled }}
- name: data
  emptyDir:
    sizeLimit: {{ .size }}
{{- end }}
{{- end }}
- name: config
  {{- if or .Values.persistence.config.enabled .Values.persistence.config.existingClaim }}
  persistentVolumeClaim:
    claimName: {{ include "askd.configClaim" . }}
  {{- else }}
  emptyDir:
    sizeLimit: {{ .Values.persistence.config.size }}
  {{- end }}
{{- with .Values.persistence.workspaces }}
{{- if .existingClaim }}
- name: workspaces
  persistentVolumeClaim:
    claimName: {{ .existingClaim }}
{{- else if not .enabled }}
- name: workspaces
  emptyDir:
    sizeLimit: {{ .emptyDirSize }}
{{- end }}
{{- end }}
- name: tmp
  emptyDir:
    sizeLimit: {{ .Values.persistence.tmp.size }}
{{- with .Values.tls.existingSecret }}
- name: tls
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- with .Values.tls.clientCaSecret }}
- name: client-ca
  secret:
    secretName: {{ . }}
    defaultMode: 0440
    items:
      - key: ca.crt
        path: ca.crt
{{- end }}
{{- if .Values.repositories }}
- name: clone
  configMap:
    name: {{ include "askd.fullname" . }}-clone
    defaultMode: 0555
- name: clone-tmp
  emptyDir:
    medium: Memory
    sizeLimit: 16Mi
{{- range $index, $repository := .Values.repositories }}
{{- with $repository.existingSecret }}
- name: git-{{ $index }}
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- end }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* One container a repository: each sees its own credentials only. */}}
{{- define "askd.clones" -}}
{{- range $index, $repository := .Values.repositories }}
- name: clone-{{ $index }}
  image: {{ default (include "askd.image" $) $.Values.repositoriesInit.image }}
  imagePullPolicy: {{ $.Values.image.pullPolicy }}
  command: [sh, /etc/askd/clone/clone.sh]
  env:
    - name: CLONE_NAME
      value: {{ $repository.name | quote }}
    - name: CLONE_URL
      value: {{ $repository.url | quote }}
    - name: CLONE_REF
      value: {{ $repository.ref | quote }}
    - name: CLONE_DEPTH
      value: {{ hasKey $repository "depth" | ternary $repository.depth 1 | int | quote }}
    - name: CLONE_EXISTING
      value: {{ $.Values.repositoriesInit.existing | quote }}
    - name: CLONE_SECONDS
      value: {{ $.Values.repositoriesInit.timeoutSeconds | int | quote }}
    - name: CLONE_INTO
      value: /workspace
    {{- if $repository.existingSecret }}
    - name: CLONE_SECRET
      value: /etc/askd/git
    {{- end }}
    - name: HOME
      value: /tmp
  volumeMounts:
    - name: clone
      mountPath: /etc/askd/clone
      readOnly: true
    - name: clone-tmp
      mountPath: /tmp
      subPath: clone-{{ $index }}
    {{- if $repository.existingSecret }}
    - name: git-{{ $index }}
      mountPath: /etc/askd/git
      readOnly: true
    {{- end }}
    {{- include "askd.workspacesMount" $ | nindent 4 }}
  securityContext:
    {{- include "askd.containerSecurity" $ | nindent 4 }}
  resources:
    {{- toYaml $.Values.repositoriesInit.resources | nindent 4 }}
{{- end }}
{{- end -}}
