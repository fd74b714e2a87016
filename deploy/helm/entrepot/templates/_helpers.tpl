{{- define "entrepot.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "entrepot.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "entrepot.name" .) .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "entrepot.name" .) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "entrepot.selectorLabels" -}}
app.kubernetes.io/name: {{ include "entrepot.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "entrepot.labels" -}}
{{ include "entrepot.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}

{{- define "entrepot.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "entrepot.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "entrepot.adminSecret" -}}
{{- default (printf "%s-admin" (include "entrepot.fullname" .)) .Values.admin.existingSecret }}
{{- end }}

{{- /* The token of the secret that the chart makes, in base64: one alone for all that is rendered at a time. */}}
{{- define "entrepot.adminToken" -}}
{{- if not (hasKey .Values.admin "made") }}
{{- $there := lookup "v1" "Secret" .Release.Namespace (include "entrepot.adminSecret" .) }}
{{- if and $there $there.data (hasKey $there.data "admin-token") }}
{{- $_ := set .Values.admin "made" (index $there.data "admin-token") }}
{{- else }}
{{- $_ := set .Values.admin "made" (randAlphaNum 40 | b64enc) }}
{{- end }}
{{- end }}
{{- .Values.admin.made }}
{{- end }}

{{- /* Not empty where pods have the node's own network. */}}
{{- define "entrepot.hostNetwork" -}}
{{- if and (eq .Values.kind "DaemonSet") .Values.daemonSet.hostNetwork }}true{{ end }}
{{- end }}

{{- /* Where kubelet asks; it asks the pod's own address unless told. */}}
{{- define "entrepot.probeHost" -}}
{{- if and (include "entrepot.hostNetwork" .) (not (has .Values.daemonSet.adminIP (list "0.0.0.0" "::"))) -}}
, host: {{ .Values.daemonSet.adminIP | quote }}
{{- end }}
{{- end }}

{{- /* Of an address and a port. */}}
{{- define "entrepot.address" -}}
{{- $ip := first . }}
{{- if contains ":" $ip }}[{{ $ip }}]{{ else }}{{ $ip }}{{ end }}:{{ int (last .) }}
{{- end }}

{{- /* What the chart decides, over what the values say. */}}
{{- define "entrepot.config" -}}
{{- $listen := printf "%s:5000" .Values.bindAddress }}
{{- $admin := printf "%s:5001" .Values.bindAddress }}
{{- if include "entrepot.hostNetwork" . }}
{{- $listen = include "entrepot.address" (list .Values.daemonSet.hostIP .Values.daemonSet.hostPort) }}
{{- $admin = include "entrepot.address" (list .Values.daemonSet.adminIP .Values.daemonSet.adminPort) }}
{{- if and .Values.serviceMonitor.enabled (has .Values.daemonSet.adminIP (list "127.0.0.1" "::1")) }}
{{- fail "serviceMonitor.enabled: with daemonSet.hostNetwork Prometheus reaches the pods only where daemonSet.adminIP is an address of the node, such as 0.0.0.0" }}
{{- end }}
{{- end }}
{{- $own := dict
  "listen" $listen
  "admin" (dict "listen" $admin "tokenFile" "/run/secrets/entrepot/admin-token")
  "dataDir" "/var/lib/entrepot" }}
{{- if .Values.tls.existingSecret }}
{{- $_ := set $own "tls" (dict "cert" "/run/secrets/entrepot-tls/tls.crt" "key" "/run/secrets/entrepot-tls/tls.key") }}
{{- end }}
{{- if and (eq .Values.kind "DaemonSet") (not (hasKey .Values.config "publicUrl")) }}
{{- $scheme := ternary "https" "http" (ne .Values.tls.existingSecret "") }}
{{- $_ := set $own "publicUrl" (printf "%s://%s" $scheme (include "entrepot.address" (list .Values.daemonSet.hostIP .Values.daemonSet.hostPort))) }}
{{- end }}
{{- toYaml (mergeOverwrite (deepCopy .Values.config) $own) }}
{{- end }}

{{- define "entrepot.pod" -}}
metadata:
  labels:
    {{- include "entrepot.labels" . | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    {{- /* A changed configuration starts it anew, and so does another token, which is read at the start alone. */}}
    checksum/config: {{ include "entrepot.config" . | sha256sum }}
    {{- if not .Values.admin.existingSecret }}
    checksum/admin: {{ include "entrepot.adminToken" . | sha256sum }}
    {{- end }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "entrepot.serviceAccount" . }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- if include "entrepot.hostNetwork" . }}
  hostNetwork: true
  dnsPolicy: Default
  {{- end }}
  terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 10001
    runAsGroup: 10001
    fsGroup: 10001
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile:
      type: RuntimeDefault
    {{- with .Values.seLinuxOptions }}
    seLinuxOptions:
      {{- toYaml . | nindent 6 }}
    {{- end }}
  {{- if eq .Values.kind "DaemonSet" }}
  initContainers:
    # A directory of the node is root's and open to all, and fsGroup does not change it.
    - name: owner
      image: {{ printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      command: [sh, -c, 'chmod 0750 /var/lib/entrepot && chown 10001:10001 /var/lib/entrepot']
      securityContext:
        runAsNonRoot: false
        runAsUser: 0
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities:
          drop: [ALL]
          add: [CHOWN, FOWNER]
      volumeMounts:
        - name: data
          mountPath: /var/lib/entrepot
  {{- end }}
  containers:
    - name: entrepot
      image: {{ printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities:
          drop: [ALL]
      ports:
        - name: registry
          containerPort: {{ if include "entrepot.hostNetwork" . }}{{ .Values.daemonSet.hostPort }}{{ else }}5000{{ end }}
          {{- if eq .Values.kind "DaemonSet" }}
          hostIP: {{ .Values.daemonSet.hostIP | quote }}
          hostPort: {{ .Values.daemonSet.hostPort }}
          {{- end }}
        - name: admin
          containerPort: {{ if include "entrepot.hostNetwork" . }}{{ .Values.daemonSet.adminPort }}{{ else }}5001{{ end }}
      {{- with .Values.env }}
      env:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.envFrom }}
      envFrom:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      # A large index, or one on a slow disk, may take a while to open.
      startupProbe:
        httpGet: { path: /healthz, port: admin{{ include "entrepot.probeHost" . }} }
        periodSeconds: 2
        failureThreshold: 150
      livenessProbe:
        httpGet: { path: /healthz, port: admin{{ include "entrepot.probeHost" . }} }
        periodSeconds: 20
        timeoutSeconds: 10
        failureThreshold: 3
      readinessProbe:
        httpGet: { path: /readyz, port: admin{{ include "entrepot.probeHost" . }} }
        periodSeconds: 10
        timeoutSeconds: 5
      {{- with .Values.resources }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      volumeMounts:
        - name: data
          mountPath: /var/lib/entrepot
        - name: config
          mountPath: /etc/entrepot
          readOnly: true
        - name: admin
          mountPath: /run/secrets/entrepot
          readOnly: true
        {{- if .Values.tls.existingSecret }}
        - name: tls
          mountPath: /run/secrets/entrepot-tls
          readOnly: true
        {{- end }}
        {{- with .Values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    - name: config
      configMap:
        name: {{ include "entrepot.fullname" . }}
    - name: admin
      secret:
        secretName: {{ include "entrepot.adminSecret" . }}
        items:
          - { key: admin-token, path: admin-token }
    {{- if .Values.tls.existingSecret }}
    - name: tls
      secret:
        secretName: {{ .Values.tls.existingSecret }}
    {{- end }}
    {{- if eq .Values.kind "DaemonSet" }}
    - name: data
      hostPath:
        path: {{ .Values.daemonSet.hostPath }}
        type: DirectoryOrCreate
    {{- else if not .Values.persistence.enabled }}
    - name: data
      emptyDir: {}
    {{- end }}
    {{- with .Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
